//! FFmpeg as a publisher, a process of its own that does not outlive its owner.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// The demo's clip as a file.
pub fn demo_clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/demo/clip.flv")
}

/// A running FFmpeg.
pub struct Ffmpeg(Child);

impl Ffmpeg {
    /// Publishes what `arguments` (inputs and encoders) make, as `app/name`.
    ///
    /// # Errors
    /// When FFmpeg is not there.
    pub fn publish<'a>(server: SocketAddr, stream: &str, arguments: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::publish_to(&format!("rtmp://{server}/{stream}"), arguments)
    }

    /// The same to an address of any scheme.
    ///
    /// # Errors
    /// As [`Ffmpeg::publish`].
    pub fn publish_to<'a>(url: &str, arguments: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]).args(arguments);
        command.args(["-f", "flv", url]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(Self(command.spawn().context("starting ffmpeg: is it installed?")?))
    }

    /// Publishes a file as it is, over and over.
    ///
    /// # Errors
    /// As [`Ffmpeg::publish`].
    pub fn copy(server: SocketAddr, stream: &str, file: &Path) -> Result<Self> {
        let file = file.to_str().context("a path that is not UTF-8")?;
        Self::publish(server, stream, ["-re", "-stream_loop", "-1", "-i", file, "-c", "copy"])
    }

    /// Waits until it ends by itself and gives out its exit code and what it complained about.
    ///
    /// # Errors
    /// When its process can't be waited for.
    pub async fn end(mut self) -> Result<(Option<i32>, String)> {
        let mut complaints = String::new();
        if let Some(mut errors) = self.0.stderr.take() {
            errors.read_to_string(&mut complaints).await?;
        }
        Ok((self.0.wait().await?.code(), complaints))
    }

    /// Kills it on the spot: the gateway sees its connection end in the middle of a stream.
    ///
    /// # Errors
    /// When its process can't be waited for.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.0.kill().await?)
    }
}
