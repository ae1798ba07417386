//! Viewers without flows get the stream as files that FFmpeg plays, and stay live.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::ffprobe::{decode, probe};
use integration_tests::gateway::{gateway, gateway_with};
use integration_tests::publisher::Publisher;
use integration_tests::tlv::{Dialect, Message, Viewer};
use integration_tests::viewer::PATIENCE;
use tempfile::tempdir;
use tokio::time::timeout;

/// What the gateway lets be unacknowledged.
const WINDOW: u64 = 2_500_000;

async fn next(viewer: &mut Viewer) -> Result<Message> {
    timeout(PATIENCE, viewer.next()).await.context("nothing comes")?
}

/// A viewer's files, of sound and of pictures, played for `seconds` of 30 pictures, and its metadata.
async fn files(viewer: &mut Viewer, seconds: usize) -> Result<([Vec<u8>; 2], Vec<String>)> {
    let (mut audio, mut video, mut metadata, mut pictures) = (vec![], vec![], vec![], 0);
    while pictures < seconds * 30 {
        match next(viewer).await? {
            Message::Init { width: 0, segment, codec } => {
                assert_eq!(codec, "mp4a.40.2");
                audio.extend(segment);
            }
            Message::Init { segment, codec, .. } => {
                assert_eq!(codec, "avc1.4d401f");
                video.extend(segment);
            }
            Message::Segment(segment) => {
                video.extend(segment);
                pictures += 1;
            }
            Message::Audio(segment) => audio.extend(segment),
            Message::Metadata(text) => metadata.push(text),
            Message::Keyframe(..) => {}
        }
    }
    Ok(([audio, video], metadata))
}

async fn ffmpeg_plays(dialect: Dialect) -> Result<()> {
    let gateway = gateway().await?;
    let publisher = Publisher::start(gateway.rtmp, "live/files", Live::new(Clip::demo()?, Stamps::None, 7000)).await?;
    let mut viewer = Viewer::play(gateway.websocket, dialect, "live/files").await?;
    let ([audio, video], metadata) = files(&mut viewer, 3).await?;
    let codes = ["NetStream.Play.Start", "NetStream.Play.PublishNotify"];
    for code in codes {
        assert!(metadata.iter().any(|text| text.contains(code)), "{code} is not in {metadata:?}");
    }
    let folder = tempdir()?;
    for (name, file, codec) in [("audio.mp4", audio, "aac"), ("video.mp4", video, "h264")] {
        let path = folder.path().join(name);
        fs::write(&path, file)?;
        let (stream, packets) = probe(&path).await?;
        assert_eq!(stream.codec_name, codec);
        assert!(packets[0].flags.starts_with('K') && packets.len() >= 90);
        for pair in packets.windows(2) {
            let step = pair[1].dts - pair[0].dts;
            assert!(if codec == "aac" { step == 1024 } else { (33..=34).contains(&step) }, "{pair:?}");
        }
        assert_eq!(decode(&path).await?, packets.len(), "{name}");
    }
    publisher.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn ffmpeg_plays_what_standard_websocket_carries() -> Result<()> {
    ffmpeg_plays(Dialect::Acknowledged).await
}

#[tokio::test]
async fn ffmpeg_plays_what_websocketstream_carries() -> Result<()> {
    ffmpeg_plays(Dialect::Stream).await
}

#[tokio::test]
async fn a_viewer_that_does_not_acknowledge_is_sent_a_window_and_then_the_newest_group() -> Result<()> {
    let gateway = gateway().await?;
    let publisher = Publisher::start(gateway.rtmp, "live/silent", Live::new(Clip::heavy()?, Stamps::All, 0)).await?;
    let mut viewer = Viewer::play(gateway.websocket, Dialect::Silent, "live/silent").await?;
    let mut last = 0;
    // Far longer than the 33 ms between two pictures.
    while let Ok(message) = timeout(Duration::from_secs(2), viewer.next()).await {
        if let Message::Keyframe(_, time) = message? {
            last = time;
        }
    }
    let received = viewer.received();
    assert!((WINDOW..WINDOW + 200_000).contains(&received), "{received} bytes without an acknowledgement");

    // Another viewer sees when there is a newer group.
    let mut other = Viewer::play(gateway.websocket, Dialect::Acknowledged, "live/silent").await?;
    while !matches!(next(&mut other).await?, Message::Keyframe(_, time) if time > last) {}
    viewer.acknowledge();
    let live =
        publisher.log().all().iter().rev().find(|sent| sent.tag.track == Track::Video).map(|sent| sent.tag.timestamp);
    let live = u64::from(live.context("nothing is published")?);
    let begins = loop {
        match next(&mut viewer).await? {
            Message::Keyframe(_, time) => break time,
            Message::Segment(_) => anyhow::bail!("a picture from before the key frame"),
            _ => {}
        }
    };
    ensure!(begins > last, "the group that it had got already");
    ensure!(begins + 2100 > live, "goes on at {begins} while {live} is published");
    publisher.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn more_frames_a_segment_are_fewer_segments() -> Result<()> {
    let gateway = gateway_with(|config| config.delivery.segment_frames = 3).await?;
    let publisher = Publisher::start(gateway.rtmp, "live/three", Live::new(Clip::demo()?, Stamps::None, 0)).await?;
    let mut viewer = Viewer::play(gateway.websocket, Dialect::Stream, "live/three").await?;
    let (mut groups, mut segments) = (0, 0);
    while groups < 3 {
        match next(&mut viewer).await? {
            Message::Keyframe(..) => groups += 1,
            Message::Segment(_) if groups == 2 => segments += 1,
            _ => {}
        }
    }
    assert_eq!(segments, 10, "of a group of 30 pictures");
    publisher.stop().await?;
    gateway.stop().await
}
