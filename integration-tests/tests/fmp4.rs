//! What is made for Media Source Extensions, judged by FFmpeg.

use std::fs;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use headwater::media::Track;
use headwater::media::codec::{aac, avc};
use headwater::media::flv::{self, Configuration};
use headwater::media::fmp4::{self, init};
use headwater::media::time::Timestamp;
use integration_tests::clip::{Clip, Tag};
use integration_tests::ffprobe::{Packet, decode, probe};
use tempfile::tempdir;

/// One track of a clip as a file, `frames` of it in each fragment.
fn file(clip: &Clip, track: Track, frames: usize) -> Result<Vec<u8>> {
    let of_track = |tag: &&Tag| tag.track == track;
    let record = clip.configurations.iter().find(of_track).context("no configuration")?;
    let (init, mut fragments) = match flv::configuration_in(track, &record.body) {
        Some(Configuration::Avc(record)) => {
            (init::avc(record)?, fmp4::Track::avc(&avc::Configuration::read(record)?, frames))
        }
        Some(Configuration::Aac(record)) => {
            (init::aac(record)?, fmp4::Track::aac(&aac::Configuration::read(record)?, frames))
        }
        other => anyhow::bail!("{other:?}"),
    };
    let mut file = BytesMut::from(&init.segment[..]);
    for tag in clip.frames.iter().filter(of_track) {
        let shared = Bytes::clone(&tag.body);
        let coded = flv::coded_in(track, &shared).context("no frame")?;
        let made = fragments.push(Timestamp::from_millis(tag.timestamp.into()), coded, &shared);
        made.into_iter().for_each(|fragment| fragment.write(&mut file));
    }
    fragments.finish().into_iter().for_each(|fragment| fragment.write(&mut file));
    Ok(file.to_vec())
}

async fn ffmpeg_takes(track: Track, frames: usize) -> Result<Vec<Packet>> {
    let folder = tempdir()?;
    let path = folder.path().join("track.mp4");
    let clip = Clip::demo()?;
    fs::write(&path, file(&clip, track, frames)?)?;
    let (stream, packets) = probe(&path).await?;
    match track {
        Track::Video => {
            assert_eq!((&*stream.codec_name, &*stream.time_base, stream.width), ("h264", "1/1000", 640));
        }
        _ => assert_eq!((&*stream.codec_name, &*stream.time_base), ("aac", "1/48000")),
    }
    let count = clip.frames.iter().filter(|tag| tag.track == track).count();
    assert_eq!((packets.len(), decode(&path).await?), (count, count));
    Ok(packets)
}

#[tokio::test]
async fn every_picture_is_where_it_was_published() -> Result<()> {
    let clip = Clip::demo()?;
    for frames in [1, 3] {
        let packets = ffmpeg_takes(Track::Video, frames).await?;
        for (packet, tag) in packets.iter().zip(clip.frames.iter().filter(|tag| tag.track == Track::Video)) {
            let composition = i64::from(i32::from_be_bytes([tag.body[2], tag.body[3], tag.body[4], 0]) >> 8);
            assert_eq!((packet.dts, packet.pts - packet.dts), (tag.timestamp.into(), composition));
            assert_eq!(packet.flags.starts_with('K'), tag.body[0] >> 4 == 1, "{packet:?}");
            assert!((33..=34).contains(&packet.duration), "{packet:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn sound_is_without_a_gap() -> Result<()> {
    for frames in [1, 3] {
        let packets = ffmpeg_takes(Track::Audio, frames).await?;
        for (packet, n) in packets.iter().zip(0..) {
            // FFmpeg leaves out how long the first one of a fragmented file is.
            assert_eq!((packet.dts, packet.duration), (n * 1024, if n == 0 { 0 } else { 1024 }), "{packet:?}");
        }
    }
    Ok(())
}
