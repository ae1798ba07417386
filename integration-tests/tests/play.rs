//! A stream arrives at its viewers as it was published.

use anyhow::Result;
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::compare::{decodable_from_the_start, unbroken};
use integration_tests::gateway::gateway;
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::Recorder;

async fn every_frame_arrives(transport: Transport, first_timestamp: u32) -> Result<()> {
    let gateway = gateway().await?;
    let live = Live::new(Clip::demo()?, Stamps::Video, first_timestamp);
    let publisher = Publisher::start(gateway.rtmp, "live/play", live).await?;
    let mut viewer = Recorder::play(gateway.address(transport), transport, "live/play").await?;
    viewer.until(|seen| seen.track(Track::Video).count() >= 90 && seen.track(Track::Audio).count() >= 120).await?;
    let sent = publisher.log().all();
    let seen = viewer.leave().await?;

    decodable_from_the_start(&seen)?;
    assert_eq!(seen.gaps, []);
    assert_eq!(
        unbroken(&sent, &seen, Track::Video)?,
        unbroken(&sent, &seen, Track::Audio)?,
        "the tracks keep together"
    );
    publisher.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn every_frame_arrives_over_ws() -> Result<()> {
    every_frame_arrives(Transport::Ws, 0).await
}

#[tokio::test]
async fn every_frame_arrives_over_wss() -> Result<()> {
    every_frame_arrives(Transport::Wss, 0).await
}

#[tokio::test]
async fn every_frame_arrives_over_quic() -> Result<()> {
    every_frame_arrives(Transport::Quic, 0).await
}

#[tokio::test]
async fn every_frame_arrives_over_webtransport() -> Result<()> {
    every_frame_arrives(Transport::WebTransport, 0).await
}

#[tokio::test]
async fn a_publishers_timestamps_may_wrap_around() -> Result<()> {
    every_frame_arrives(Transport::Ws, u32::MAX - 1500).await
}

#[tokio::test]
async fn a_viewer_in_the_middle_of_a_group_has_a_picture_at_once() -> Result<()> {
    let gateway = gateway().await?;
    // A key frame each 2 s.
    let live = Live::new(Clip::heavy()?, Stamps::All, 0);
    let publisher = Publisher::start(gateway.rtmp, "live/join", live).await?;
    let mut early = Recorder::play(gateway.websocket, Transport::Ws, "live/join").await?;
    early.until(|seen| seen.track(Track::Video).count() >= 20).await?;

    let mut late = Recorder::play(gateway.websocket, Transport::Ws, "live/join").await?;
    let seen = late.until(|seen| seen.track(Track::Video).count() >= 21).await?;
    decodable_from_the_start(seen)?;
    let first = seen.track(Track::Video).next().and_then(|frame| frame.stamp);
    assert_eq!(first.map(|stamp| stamp.sequence), Some(0), "the group that was under way");
    publisher.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn streams_do_not_mix() -> Result<()> {
    let gateway = gateway().await?;
    let sound = Live::new(Clip::demo()?.without(Track::Video), Stamps::None, 0);
    let sound = Publisher::start(gateway.rtmp, "live/sound", sound).await?;
    let pictures = Live::new(Clip::demo()?.without(Track::Audio), Stamps::Video, 0);
    let pictures = Publisher::start(gateway.rtmp, "other/sound", pictures).await?;
    let mut listener = Recorder::play(gateway.websocket, Transport::Ws, "live/sound").await?;
    let mut onlooker = Recorder::play(gateway.websocket, Transport::Ws, "other/sound").await?;
    let heard = listener.until(|seen| seen.track(Track::Audio).count() >= 50).await?;
    assert_eq!(heard.track(Track::Video).count(), 0);
    unbroken(&sound.log().all(), heard, Track::Audio)?;
    let watched = onlooker.until(|seen| seen.track(Track::Video).count() >= 30).await?;
    assert_eq!(watched.track(Track::Audio).count(), 0);
    unbroken(&pictures.log().all(), watched, Track::Video)?;
    sound.stop().await?;
    pictures.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn what_is_published_over_rtmps_arrives() -> Result<()> {
    let gateway = gateway().await?;
    let publisher =
        Publisher::start_encrypted(gateway.unified, "live/rtmps", Live::new(Clip::demo()?, Stamps::Video, 0)).await?;
    let mut viewer = Recorder::play(gateway.unified, Transport::Wss, "live/rtmps").await?;
    let seen = viewer.until(|seen| seen.track(Track::Video).count() >= 30).await?;
    unbroken(&publisher.log().all(), seen, Track::Video)?;
    publisher.stop().await?;
    gateway.stop().await
}
