//! A publisher that dies and returns goes on with the same stream; its viewers stay.

use anyhow::Result;
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::gateway::gateway;
use integration_tests::over_each_transport;
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::{Kept, Kind, Record, Recorder};

over_each_transport!(
    the_same_viewer_goes_on_after_its_publisher_was_killed_and_restarted,
    a_publisher_that_returns_before_its_old_connection_is_gone_takes_over,
);

fn live() -> Result<Live> {
    Ok(Live::new(Clip::demo()?, Stamps::Video, 0))
}

fn rises(record: &Record, track: Track) -> bool {
    record.track(track).map(|frame| frame.timestamp).is_sorted()
}

async fn the_same_viewer_goes_on_after_its_publisher_was_killed_and_restarted(transport: Transport) -> Result<()> {
    let gateway = gateway().await?;
    let mut viewer = Recorder::play(gateway.address(transport), transport, "live/again").await?;
    let first = Publisher::start(gateway.rtmp, "live/again", live()?).await?;
    viewer.until(|seen| seen.track(Track::Video).count() >= 45).await?;
    first.kill().await;
    let seen = viewer.until(|seen| seen.has_status("NetStream.Play.UnpublishNotify")).await?;
    let before = seen.frames.len();
    let last = seen.frames.iter().map(|frame| frame.timestamp).max();

    let second = Publisher::start(gateway.rtmp, "live/again", live()?).await?;
    let seen = viewer
        .until(|seen| {
            let new = || seen.frames[before..].iter();
            new().filter(|frame| frame.kind == Kind::Delta).count() >= 40
                && new().filter(|frame| frame.kind == Kind::Audio).count() >= 40
        })
        .await?;
    let new = &seen.frames[before..];
    assert_eq!(seen.statuses.iter().filter(|status| *status == "NetStream.Play.PublishNotify").count(), 2);
    let video = new.iter().find(|frame| matches!(frame.kind, Kind::Key | Kind::Delta));
    assert_eq!(video.map(|frame| frame.kind), Some(Kind::Key), "the new publisher's video begins with a key frame");
    assert!(rises(seen, Track::Video) && rises(seen, Track::Audio), "timestamps go on");
    assert!(new.iter().all(|frame| Some(frame.timestamp) >= last), "nothing of the new lies in the past");
    assert_eq!(seen.gaps, []);
    second.stop().await?;
    gateway.stop().await
}

async fn a_publisher_that_returns_before_its_old_connection_is_gone_takes_over(transport: Transport) -> Result<()> {
    let gateway = gateway().await?;
    let _first = Publisher::start(gateway.rtmp, "live/mine", live()?).await?;
    let mut viewer = Recorder::play(gateway.address(transport), transport, "live/mine").await?;
    viewer.until(|seen| seen.track(Track::Video).count() >= 30).await?;
    let second = Publisher::start(gateway.rtmp, "live/mine", live()?).await?;
    let from_second = |frame: &&Kept| second.log().all().iter().any(|sent| sent.tag.body == frame.body);
    let is_second = |seen: &Record| seen.track(Track::Video).next_back().is_some_and(|frame| from_second(&frame));
    let before = viewer.until(is_second).await?.frames.len() - 1;
    let seen = viewer.until(|seen| seen.frames.len() > before + 60).await?;
    assert_eq!(seen.frames[before].kind, Kind::Key);
    let mut new = seen.frames[before..].iter().filter(|frame| frame.track == Track::Video);
    assert!(new.all(|frame| frame.kind == Kind::Configuration || from_second(&frame)), "nothing comes from the first");
    assert!(rises(seen, Track::Video) && rises(seen, Track::Audio), "timestamps go on");
    second.stop().await?;
    gateway.stop().await
}
