//! A viewer whose line is too slow keeps its sound and stays live; nobody else notices.

use std::time::Duration;

use anyhow::Result;
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::compare::unbroken;
use integration_tests::gateway::gateway;
use integration_tests::link::{Conditions, Link};
use integration_tests::over_each_transport;
use integration_tests::publisher::Publisher;
use integration_tests::stamp::monotonic;
use integration_tests::transport::Transport;
use integration_tests::viewer::{Kept, Kind, Record, Recorder};

over_each_transport!(
    a_viewer_at_half_the_rate_keeps_its_sound_stays_live_and_recovers,
    a_viewer_that_was_stuck_goes_on_with_the_newest_group,
);

/// Half of the stream's 2.65 Mbit/s, in bytes a second.
const HALF: u64 = 2_650_000 / 2 / 8;
const SLOW: Duration = Duration::from_secs(10);

/// Each delivered group's first delivered frame is its key frame, and no frame is missing between two of a group: a decoder
/// can use every frame that it gets.
fn every_group_is_decodable(seen: &Record) -> bool {
    let video: Vec<_> = seen.track(Track::Video).collect();
    let follows = |pair: &[&Kept]| match (pair[0].stamp, pair[1].stamp) {
        (Some(one), Some(next)) => pair[1].kind == Kind::Key || next.sequence == one.sequence + 1,
        _ => false,
    };
    video.first().is_some_and(|frame| frame.kind == Kind::Key) && video.windows(2).all(follows)
}

fn worst_delay<'a>(frames: impl Iterator<Item = &'a Kept>) -> Duration {
    frames.filter_map(Kept::delay).max().unwrap_or_default()
}

async fn a_viewer_at_half_the_rate_keeps_its_sound_stays_live_and_recovers(transport: Transport) -> Result<()> {
    let gateway = gateway().await?;
    let live = Live::new(Clip::heavy()?, Stamps::All, 0);
    let publisher = Publisher::start(gateway.rtmp, "live/slow", live).await?;
    let link = Link::under(transport, gateway.address(transport), Conditions::default(), 1).await?;
    let mut viewer = Recorder::play(link.address(), transport, "live/slow").await?;
    let mut other = Recorder::play(gateway.address(transport), transport, "live/slow").await?;
    let over = monotonic() + SLOW + Duration::from_secs(3);
    let is_over = move |seen: &Record| seen.frames.last().is_some_and(|frame| frame.received > over);
    let other = tokio::spawn(async move {
        other.until(is_over).await?;
        other.leave().await
    });
    viewer.until(|seen| seen.track(Track::Video).count() >= 30).await?;

    let slow_from = monotonic();
    link.set(Conditions { rate: Some(HALF), ..Conditions::default() });
    viewer.until(|_| monotonic() > slow_from + SLOW).await?;
    let slow_to = monotonic();
    link.set(Conditions::default());
    // A whole group later, all is as before.
    let is_after = |frame: &Kept| frame.stamp.is_some_and(|stamp| stamp.sent > slow_to + Duration::from_secs(3));
    viewer.until(|seen| seen.track(Track::Video).filter(|frame| is_after(frame)).count() >= 60).await?;

    let sent = publisher.log().all();
    let seen = viewer.leave().await?;
    let window = slow_from..slow_to;
    let audio_sent =
        sent.iter().filter(|sent| sent.tag.track == Track::Audio && window.contains(&sent.stamp.sent)).count();
    let in_window = |frame: &&Kept| frame.stamp.is_some_and(|stamp| window.contains(&stamp.sent));
    let audio_seen = seen.track(Track::Audio).filter(in_window).count();
    assert!(audio_seen * 100 > audio_sent * 99, "{audio_seen} of {audio_sent} audio frames");
    let video_seen = seen.track(Track::Video).filter(in_window).count();
    assert!((30..250).contains(&video_seen), "{video_seen} video frames through half of the rate");
    assert!(every_group_is_decodable(&seen));
    for track in [Track::Audio, Track::Video] {
        let delay = worst_delay(seen.track(track).filter(in_window));
        assert!(delay < Duration::from_secs(1), "{track:?} came {delay:?} late");
    }
    let recovered = worst_delay(seen.frames.iter().filter(|frame| is_after(frame)));
    assert!(recovered < Duration::from_millis(300), "{recovered:?} late when the line was good again");

    let other = other.await??;
    for track in [Track::Audio, Track::Video] {
        unbroken(&sent, &other, track)?;
    }
    publisher.stop().await?;
    gateway.stop().await
}

async fn a_viewer_that_was_stuck_goes_on_with_the_newest_group(transport: Transport) -> Result<()> {
    let gateway = gateway().await?;
    let live = Live::new(Clip::heavy()?, Stamps::All, 0);
    let publisher = Publisher::start(gateway.rtmp, "live/stuck", live).await?;
    let link = Link::under(transport, gateway.address(transport), Conditions::default(), 1).await?;
    let mut viewer = Recorder::play(link.address(), transport, "live/stuck").await?;
    let mut clock = Recorder::play(gateway.address(transport), transport, "live/stuck").await?;
    viewer.until(|seen| seen.track(Track::Video).count() >= 30).await?;

    link.set(Conditions { stalled: true, ..Conditions::default() });
    let stuck_at = monotonic();
    clock.until(|_| monotonic() > stuck_at + Duration::from_secs(5)).await?;
    link.set(Conditions::default());
    let free_at = monotonic();
    let is_new = |frame: &Kept| frame.stamp.is_some_and(|stamp| stamp.sent > free_at);
    let seen = viewer.until(|seen| seen.track(Track::Video).filter(|frame| is_new(frame)).count() >= 30).await?;
    assert!(every_group_is_decodable(seen));
    assert!(worst_delay(seen.frames.iter().filter(|frame| is_new(frame))) < Duration::from_secs(1));
    publisher.stop().await?;
    gateway.stop().await
}
