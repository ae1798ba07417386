//! Publishers that come and go, over both ways in: their viewers stay, and time goes on.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use headwater::broadcast::Takeover;
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::ffmpeg::{Ffmpeg, demo_clip};
use integration_tests::gateway::{gateway, gateway_with};
use integration_tests::link::{Conditions, Link};
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::{Record, Recorder, Seen, Viewer};

const PUBLISHED: &str = "NetStream.Play.PublishNotify";
const UNPUBLISHED: &str = "NetStream.Play.UnpublishNotify";

fn live() -> Result<Live> {
    Ok(Live::new(Clip::demo()?, Stamps::Video, 0))
}

fn count(record: &Record, code: &str) -> usize {
    record.statuses.iter().filter(|status| *status == code).count()
}

fn assert_time_goes_on(record: &Record) {
    for track in [Track::Audio, Track::Video] {
        assert!(record.track(track).map(|frame| frame.timestamp).is_sorted(), "{track:?}");
    }
}

/// The first status that the server tells a client.
async fn answer(client: &mut Viewer) -> Result<String> {
    match client.next().await? {
        Seen::Status(code) => Ok(code),
        other => bail!("{other:?} instead of a status"),
    }
}

/// Publishes over RTWebSocket until it is told something or its connection ends.
async fn run(mut client: Viewer, mut live: Live) -> Result<String> {
    for tag in live.configurations() {
        client.send(&tag).await?;
    }
    loop {
        tokio::select! {
            () = live.due() => client.send(&live.take()).await?,
            status = answer(&mut client) => return status,
        }
    }
}

#[tokio::test]
async fn an_encoder_that_stops_and_starts_again_has_the_same_viewers() -> Result<()> {
    let gateway = gateway().await?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/obs").await?;
    for turn in 1..=3 {
        let publisher = Publisher::start(gateway.rtmp, "live/obs", live()?).await?;
        let before = viewer.record.frames.len();
        viewer.until(|seen| seen.frames.len() > before + 60).await?;
        publisher.stop().await?;
        viewer.until(|seen| count(seen, UNPUBLISHED) == turn).await?;
    }
    assert_eq!(count(&viewer.record, PUBLISHED), 3);
    assert_time_goes_on(&viewer.record);
    gateway.stop().await
}

#[tokio::test]
async fn ffmpeg_killed_and_restarted_has_the_same_viewer() -> Result<()> {
    let gateway = gateway().await?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/loop").await?;
    for turn in 1..=5 {
        let ffmpeg = Ffmpeg::copy(gateway.rtmp, "live/loop", &demo_clip())?;
        let before = viewer.record.frames.len();
        viewer.until(|seen| seen.frames.len() > before + 40).await?;
        ffmpeg.kill().await?;
        viewer.until(|seen| count(seen, UNPUBLISHED) == turn).await?;
    }
    assert_eq!(count(&viewer.record, PUBLISHED), 5);
    assert_eq!(viewer.record.gaps, []);
    assert_time_goes_on(&viewer.record);
    gateway.stop().await
}

#[tokio::test]
async fn a_second_publisher_is_refused_if_that_is_the_rule() -> Result<()> {
    let gateway = gateway_with(|config| config.rtmp.takeover = Takeover::Refuse).await?;
    let first = Publisher::start(gateway.rtmp, "live/mine", live()?).await?;
    ensure!(Publisher::start(gateway.rtmp, "live/mine", live()?).await.is_err(), "over RTMP");
    let mut second = Viewer::publish(gateway.websocket, Transport::Ws, "live/mine").await?;
    assert_eq!(answer(&mut second).await?, "NetStream.Publish.BadName", "over RTWebSocket");
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/mine").await?;
    viewer.until(|seen| seen.frames.len() > 60).await?;
    assert_eq!(count(&viewer.record, UNPUBLISHED), 0);
    first.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn what_is_published_over_rtwebsocket_is_seen_over_plain_and_tls_until_rtmp_takes_over() -> Result<()> {
    let gateway = gateway().await?;
    let mut publisher = Viewer::publish(gateway.websocket, Transport::Ws, "live/web").await?;
    assert_eq!(answer(&mut publisher).await?, "NetStream.Publish.Start");
    let live_over_web = live()?;
    let log = live_over_web.log();
    let publishing = tokio::spawn(run(publisher, live_over_web));
    let mut viewers = Vec::new();
    for transport in [Transport::Ws, Transport::Wss] {
        let mut viewer = Recorder::play(gateway.websocket, transport, "live/web").await?;
        let seen = viewer.until(|seen| seen.frames.len() > 120).await?;
        let sent = log.all();
        for frame in seen.track(Track::Video) {
            ensure!(sent.iter().any(|sent| sent.tag.body == frame.body), "{transport:?}: a frame that nobody sent");
        }
        viewers.push(viewer);
    }
    let taker = Publisher::start(gateway.rtmp, "live/web", live()?).await?;
    assert_eq!(publishing.await??, "NetStream.Publish.Rejected");
    for mut viewer in viewers {
        let before = viewer.record.frames.len();
        viewer.until(|seen| count(seen, PUBLISHED) == 2 && seen.frames.len() > before + 60).await?;
        assert_time_goes_on(&viewer.record);
    }
    taker.stop().await?;
    gateway.stop().await
}

/// Over so long a path, a window as narrow as a viewer's would carry half of the stream.
#[tokio::test]
async fn a_publisher_over_quic_keeps_up_far_away() -> Result<()> {
    let gateway = gateway().await?;
    let far = Conditions { delay: Duration::from_millis(400), ..Conditions::default() };
    let link = Link::under(Transport::Quic, gateway.quic, far, 1).await?;
    let mut publisher = Viewer::publish(link.address(), Transport::Quic, "live/far").await?;
    assert_eq!(answer(&mut publisher).await?, "NetStream.Publish.Start");
    let live = Live::new(Clip::heavy()?, Stamps::All, 0);
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/far").await?;
    let seen = tokio::select! {
        end = run(publisher, live) => bail!("the publisher ended: {end:?}"),
        seen = viewer.until(|seen| seen.track(Track::Video).count() > 180) => seen?,
    };
    let video: Vec<_> = seen.track(Track::Video).collect();
    let (first, last) = (video[0], video[video.len() - 1]);
    let took = last.received - first.received;
    let lasts = Duration::from_millis((last.timestamp - first.timestamp).into());
    assert!(took < lasts + Duration::from_secs(2), "{took:?} for {lasts:?}");
    gateway.stop().await
}

#[tokio::test]
async fn a_publisher_over_rtwebsocket_that_stalls_is_ended_and_its_viewers_are_told() -> Result<()> {
    let gateway = gateway_with(|config| config.rtmp.limits.idle_timeout = Duration::from_secs(1)).await?;
    let mut publisher = Viewer::publish(gateway.websocket, Transport::Ws, "live/still").await?;
    assert_eq!(answer(&mut publisher).await?, "NetStream.Publish.Start");
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/still").await?;
    viewer.until(|seen| count(seen, UNPUBLISHED) == 1).await?;
    assert_eq!(answer(&mut publisher).await?, "NetStream.Publish.Rejected");
    gateway.stop().await
}
