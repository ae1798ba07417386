//! What the encoder that most people use sends.

use std::io::Write;

use anyhow::Result;
use headwater::media::Track;
use integration_tests::clip::Clip;
use integration_tests::compare::decodable_from_the_start;
use integration_tests::ffmpeg::{Ffmpeg, demo_clip};
use integration_tests::gateway::gateway;
use integration_tests::transport::Transport;
use integration_tests::viewer::{Kept, Kind, Recorder};

const PICTURES: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"];
const SOUND: [&str; 4] = ["-f", "lavfi", "-i", "sine=sample_rate=48000"];
const H264: [&str; 8] = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "30"];
const AAC: [&str; 4] = ["-c:a", "aac", "-ac", "2"];

/// Presentation minus decode time, from an AVC body.
fn composition(frame: &Kept) -> i32 {
    match frame.body[..] {
        [_, _, a, b, c, ..] => i32::from_be_bytes([a, b, c, 0]) >> 8,
        _ => 0,
    }
}

#[tokio::test]
async fn a_copied_file_arrives_unchanged() -> Result<()> {
    let gateway = gateway().await?;
    let _ffmpeg = Ffmpeg::copy(gateway.rtmp, "live/copy", &demo_clip())?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/copy").await?;
    let seen =
        viewer.until(|seen| seen.track(Track::Video).count() >= 60 && seen.track(Track::Audio).count() >= 90).await?;
    decodable_from_the_start(seen)?;
    assert!(seen.data.iter().any(|name| name == "onMetaData"));
    let clip = Clip::demo()?;
    for track in [Track::Video, Track::Audio] {
        let published: Vec<_> = clip.frames.iter().filter(|frame| frame.track == track).collect();
        let first = seen.track(track).next().and_then(|seen| published.iter().position(|tag| tag.body == seen.body));
        let looped = published.iter().cycle().skip(first.unwrap_or_default());
        assert!(seen.track(track).zip(looped).all(|(seen, tag)| seen.body == tag.body), "{track:?}");
    }
    gateway.stop().await
}

#[tokio::test]
async fn b_frames_keep_their_composition_times() -> Result<()> {
    let gateway = gateway().await?;
    let arguments =
        [&["-re"][..], &PICTURES, &["-re"], &SOUND, &H264, &["-bf", "2", "-b_strategy", "0"], &AAC].concat();
    let _ffmpeg = Ffmpeg::publish(gateway.rtmp, "live/b", arguments)?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/b").await?;
    let seen =
        viewer.until(|seen| seen.track(Track::Video).count() >= 90 && seen.track(Track::Audio).count() >= 60).await?;
    decodable_from_the_start(seen)?;
    let video: Vec<_> = seen.track(Track::Video).collect();
    let presented = |frame: &&Kept| frame.timestamp.wrapping_add_signed(composition(frame));
    assert!(!video.iter().map(presented).is_sorted(), "frames come in another order than they are shown");
    // The last few frames' neighbours are still to come.
    let mut shown: Vec<_> = video.iter().map(presented).collect();
    shown.sort_unstable();
    let steps = shown[..shown.len() - 4].windows(2).map(|pair| pair[1] - pair[0]);
    assert!(steps.clone().all(|step| (33..=34).contains(&step)), "{:?}", steps.collect::<Vec<_>>());
    gateway.stop().await
}

#[tokio::test]
async fn sound_alone_is_a_stream() -> Result<()> {
    let gateway = gateway().await?;
    let _ffmpeg = Ffmpeg::publish(gateway.rtmp, "live/sound", [&["-re"][..], &SOUND, &AAC].concat())?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/sound").await?;
    let seen = viewer.until(|seen| seen.track(Track::Audio).count() >= 90).await?;
    decodable_from_the_start(seen)?;
    assert_eq!(seen.track(Track::Video).count(), 0);
    gateway.stop().await
}

#[tokio::test]
async fn pictures_alone_are_a_stream() -> Result<()> {
    let gateway = gateway().await?;
    let _ffmpeg = Ffmpeg::publish(gateway.rtmp, "live/pictures", [&["-re"][..], &PICTURES, &H264].concat())?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/pictures").await?;
    let seen = viewer.until(|seen| seen.track(Track::Video).count() >= 60).await?;
    decodable_from_the_start(seen)?;
    assert_eq!(seen.track(Track::Audio).count(), 0);
    gateway.stop().await
}

/// From a source that has AAC's configuration in every frame only, FFmpeg first sends an empty one.
#[tokio::test]
async fn an_empty_audio_configuration_is_not_the_streams_end() -> Result<()> {
    let gateway = gateway().await?;
    let mut source = tempfile::NamedTempFile::with_suffix(".aac")?;
    source.write_all(&adts(&Clip::demo()?))?;
    let _ffmpeg = Ffmpeg::copy(gateway.rtmp, "live/adts", source.path())?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/adts").await?;
    let seen = viewer.until(|seen| seen.track(Track::Audio).count() >= 90).await?;
    decodable_from_the_start(seen)?;
    assert!(seen.of(Kind::Configuration).all(|frame| frame.body.len() > 2), "viewers get no empty configuration");
    gateway.stop().await
}

#[tokio::test]
async fn a_publisher_that_leaves_in_order_is_told_good_bye() -> Result<()> {
    let gateway = gateway().await?;
    let clip = demo_clip();
    let arguments = ["-re", "-t", "1", "-i", clip.to_str().unwrap_or_default(), "-c", "copy"];
    let ffmpeg = Ffmpeg::publish(gateway.rtmp, "live/short", arguments)?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/short").await?;
    let seen = viewer.until(|seen| seen.has_status("NetStream.Play.UnpublishNotify")).await?;
    assert_eq!(seen.track(Track::Video).count(), 30);
    assert_eq!(ffmpeg.end().await?, (Some(0), String::new()));
    gateway.stop().await
}

/// The clip's sound as an ADTS file.
fn adts(clip: &Clip) -> Vec<u8> {
    let audio = clip.frames.iter().filter(|frame| frame.track == Track::Audio);
    let mut file = Vec::new();
    for frame in audio {
        let payload = &frame.body[2..];
        // AAC-LC, 48 kHz, stereo.
        let length = payload.len() + 7;
        file.extend_from_slice(&[0xff, 0xf1, 0x4c, 0x80 | (length >> 11) as u8, (length >> 3) as u8]);
        file.extend_from_slice(&[(length << 5) as u8 | 0x1f, 0xfc]);
        file.extend_from_slice(payload);
    }
    file
}
