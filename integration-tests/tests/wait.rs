//! A viewer may come before its publisher.

use std::time::Duration;

use anyhow::Result;
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::compare::{decodable_from_the_start, unbroken};
use integration_tests::gateway::{gateway, gateway_with};
use integration_tests::over_each_transport;
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::{Record, Recorder};

over_each_transport!(
    a_viewer_that_came_first_sees_the_stream_from_its_first_frame,
    a_viewer_that_waited_long_is_told_and_may_go_on_waiting,
);

async fn a_viewer_that_came_first_sees_the_stream_from_its_first_frame(transport: Transport) -> Result<()> {
    let gateway = gateway().await?;
    let mut viewer = Recorder::play(gateway.address(transport), transport, "live/wait").await?;
    let seen = viewer.until(|seen| seen.has_status("NetStream.Play.Start")).await?;
    assert!(seen.frames.is_empty() && !seen.has_status("NetStream.Play.PublishNotify"));

    let live = Live::new(Clip::demo()?, Stamps::Video, 0);
    let publisher = Publisher::start(gateway.rtmp, "live/wait", live).await?;
    let enough = |seen: &Record| [Track::Video, Track::Audio].iter().all(|track| seen.track(*track).count() >= 30);
    let seen = viewer.until(enough).await?;
    assert!(seen.has_status("NetStream.Play.PublishNotify"));
    decodable_from_the_start(seen)?;
    let sent = publisher.log().all();
    for track in [Track::Video, Track::Audio] {
        unbroken(&sent, seen, track)?;
    }
    let first = seen.track(Track::Video).next().and_then(|frame| frame.stamp);
    assert_eq!(first.map(|stamp| stamp.sequence), Some(0));
    publisher.stop().await?;
    gateway.stop().await
}

async fn a_viewer_that_waited_long_is_told_and_may_go_on_waiting(transport: Transport) -> Result<()> {
    let gateway = gateway_with(|config| config.delivery.wait_for_publisher = Duration::from_millis(50)).await?;
    let mut viewer = Recorder::play(gateway.address(transport), transport, "live/later").await?;
    viewer.until(|seen| seen.has_status("NetStream.Play.StreamNotFound")).await?;

    let live = Live::new(Clip::demo()?, Stamps::Video, 0);
    let publisher = Publisher::start(gateway.rtmp, "live/later", live).await?;
    let seen = viewer.until(|seen| seen.track(Track::Video).count() >= 10).await?;
    decodable_from_the_start(seen)?;
    publisher.stop().await?;
    gateway.stop().await
}
