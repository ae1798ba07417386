//! FFmpeg's judgement on a file.

use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

/// One packet, times in the track's timescale.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Packet {
    /// Presentation time.
    pub pts: i64,
    /// Decode time.
    pub dts: i64,
    /// How long it lasts; 0 where FFmpeg does not say.
    #[serde(default)]
    pub duration: i64,
    /// `K` for one that a decoder may begin with.
    pub flags: String,
}

/// What a file's only stream is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stream {
    /// `h264`, `aac`.
    pub codec_name: String,
    /// `1/1000`.
    pub time_base: String,
    /// In pixels; 0 for sound.
    #[serde(default)]
    pub width: u32,
}

#[derive(Debug, Deserialize)]
struct Probed {
    streams: Vec<Stream>,
    packets: Vec<Packet>,
}

/// What ffprobe says of a file with one track.
///
/// # Errors
/// When it finds anything wrong, or is not there.
pub async fn probe(file: &Path) -> Result<(Stream, Vec<Packet>)> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "warning", "-show_streams", "-show_packets", "-of", "json"]).arg(file);
    let output = run(command).await?;
    let Probed { mut streams, packets } = serde_json::from_slice(&output.stdout)?;
    ensure!(streams.len() == 1, "{} streams", streams.len());
    Ok((streams.remove(0), packets))
}

/// Decodes all of a file and gives out how many frames that were.
///
/// # Errors
/// When a frame can't be decoded, or FFmpeg is not there.
pub async fn decode(file: &Path) -> Result<usize> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "warning", "-nostdin", "-xerror", "-i"]).arg(file);
    command.args(["-fps_mode", "passthrough", "-f", "framecrc", "-"]);
    let output = run(command).await?;
    Ok(String::from_utf8(output.stdout)?.lines().filter(|line| !line.starts_with('#')).count())
}

async fn run(mut command: Command) -> Result<Output> {
    let output = command.kill_on_drop(true).output().await;
    let output = output.context("ffmpeg is needed: sudo apt-get install ffmpeg")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{:?}: {said}", command.as_std());
    Ok(output)
}
