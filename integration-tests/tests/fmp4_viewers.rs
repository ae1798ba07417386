//! Viewers of fragmented MP4 get the stream as files that FFmpeg plays, with flows or without, and stay live.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use headwater::delivery::Format;
use headwater::media::Track;
use integration_tests::carrier::Dialer;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::ffprobe::{decode, probe};
use integration_tests::fragment::{Fragment, Reference};
use integration_tests::gateway::{Running, gateway, gateway_with};
use integration_tests::publisher::Publisher;
use integration_tests::tlv::{Dialect, Message, Viewer};
use integration_tests::transport::Transport;
use integration_tests::viewer::{self, PATIENCE, Seen};
use tempfile::tempdir;
use tokio::time::timeout;

/// What the gateway lets be unacknowledged.
const WINDOW: u64 = 2_500_000;

/// Where messages come from.
enum Source {
    Flowless(Viewer),
    Flows(viewer::Viewer),
}

impl Source {
    /// The next ones. Where there are flows, a status is as metadata.
    async fn next(&mut self) -> Result<Vec<Message>> {
        match self {
            Source::Flowless(viewer) => Ok(vec![next(viewer).await?]),
            Source::Flows(viewer) => match timeout(PATIENCE, viewer.next()).await.context("nothing comes")?? {
                Seen::Packaged(messages) => Ok(messages),
                Seen::Status(code) => Ok(vec![Message::Metadata(code)]),
                Seen::Data(_) => Ok(vec![]),
                seen => bail!("{seen:?}"),
            },
        }
    }
}

async fn next(viewer: &mut Viewer) -> Result<Message> {
    timeout(PATIENCE, viewer.next()).await.context("nothing comes")?
}

/// A viewer's files, of sound and of pictures, played for `seconds` of 30 pictures, and its metadata.
async fn files(source: &mut Source, seconds: usize) -> Result<([Vec<u8>; 2], Vec<String>)> {
    let (mut audio, mut video, mut metadata, mut pictures) = (vec![], vec![], vec![], 0);
    let mut said = 0;
    while pictures < seconds * 30 {
        for message in source.next().await? {
            match message {
                Message::Init { width: 0, segment, codec } => {
                    assert_eq!(codec, "mp4a.40.2");
                    audio.extend(segment);
                }
                Message::Init { segment, codec, .. } => {
                    assert_eq!(codec, "avc1.4d401f");
                    video.extend(segment);
                }
                Message::Segment(segment) => {
                    let reference = Fragment::read(&segment)?.reference;
                    if let Some(Reference { wall, .. }) = reference {
                        let age = wall.elapsed().context("from the future")?;
                        ensure!(age < PATIENCE, "a picture that came {age:?} ago");
                        said += 1;
                    }
                    video.extend(segment);
                    pictures += 1;
                }
                Message::Audio(segment) => audio.extend(segment),
                Message::Metadata(text) => metadata.push(text),
                Message::Keyframe(..) => {}
            }
        }
    }
    ensure!((seconds..=seconds + 1).contains(&said), "{said} of {pictures} pictures say when they came");
    Ok(([audio, video], metadata))
}

async fn ffmpeg_plays(play: impl AsyncFnOnce(&Running, &str) -> Result<Source>) -> Result<()> {
    let gateway = gateway().await?;
    let publisher = Publisher::start(gateway.rtmp, "live/files", Live::new(Clip::demo()?, Stamps::None, 7000)).await?;
    let mut source = play(&gateway, "live/files").await?;
    let ([audio, video], metadata) = files(&mut source, 3).await?;
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
    ffmpeg_plays(async |gateway, stream| {
        Ok(Source::Flowless(Viewer::play(gateway.websocket, Dialect::Acknowledged, stream).await?))
    })
    .await
}

#[tokio::test]
async fn ffmpeg_plays_what_websocketstream_carries() -> Result<()> {
    ffmpeg_plays(async |gateway, stream| {
        Ok(Source::Flowless(Viewer::play(gateway.websocket, Dialect::Stream, stream).await?))
    })
    .await
}

#[tokio::test]
async fn ffmpeg_plays_what_native_quic_carries() -> Result<()> {
    ffmpeg_plays(async |gateway, stream| {
        let stream = format!("{stream}?format=fmp4");
        Ok(Source::Flows(viewer::Viewer::play(gateway.quic, Transport::Quic, &stream).await?))
    })
    .await
}

#[tokio::test]
async fn ffmpeg_plays_what_webtransport_carries_on_its_port_for_fmp4() -> Result<()> {
    ffmpeg_plays(async |gateway, stream| {
        let dialer = Dialer::for_format(Transport::WebTransport, Format::Fmp4)?;
        Ok(Source::Flows(viewer::Viewer::play_by(&dialer, gateway.webtransport_fmp4, stream).await?))
    })
    .await
}

#[tokio::test]
async fn ffmpeg_plays_what_rtwebsocket_carries() -> Result<()> {
    ffmpeg_plays(async |gateway, stream| {
        let stream = format!("{stream}?format=fmp4");
        Ok(Source::Flows(viewer::Viewer::play(gateway.websocket, Transport::Ws, &stream).await?))
    })
    .await
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
