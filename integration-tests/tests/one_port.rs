//! One gateway, one port, everybody at the same moment.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater::media::Track;
use hyper::Version;
use integration_tests::compare::decodable_from_the_start;
use integration_tests::ffmpeg::{Ffmpeg, demo_clip};
use integration_tests::gateway::gateway;
use integration_tests::pages::{over_http1, over_http2, over_http3};
use integration_tests::transport::Transport;
use integration_tests::viewer::{Record, Recorder};
use tokio::time::{Instant, interval};

const LENGTH: Duration = Duration::from_secs(15);
/// More than two frames of either track never lie apart.
const STEP_MS: u32 = 70;

#[tokio::test]
async fn everybody_is_served_on_one_port_at_the_same_moment() -> Result<()> {
    let gateway = gateway().await?;
    let port = gateway.unified;
    let clip = demo_clip();
    let endless = ["-re", "-stream_loop", "-1", "-i", clip.to_str().context("UTF-8")?, "-c", "copy"];
    let _rtmp = Ffmpeg::publish_to(&format!("rtmp://{port}/live/plain"), endless)?;
    let _rtmps = Ffmpeg::publish_to(&format!("rtmps://{port}/live/secret"), endless)?;
    tokio::try_join!(
        plays(port, Transport::Wss, "live/plain"),
        plays(port, Transport::Wss, "live/secret"),
        plays(port, Transport::Quic, "live/plain"),
        plays(port, Transport::Quic, "live/secret"),
        plays(port, Transport::WebTransport, "live/plain"),
        plays(port, Transport::WebTransport, "live/secret"),
        has_pages(port),
    )?;
    gateway.stop().await
}

/// All of [`LENGTH`] comes over a transport, without a hole.
async fn plays(port: SocketAddr, transport: Transport, stream: &str) -> Result<()> {
    let length = |seen: &Record, track| {
        let times = || seen.track(track).map(|frame| frame.timestamp);
        Some(Duration::from_millis((times().next_back()? - times().next()?).into()))
    };
    let both = [Track::Audio, Track::Video];
    let whole = |seen: &Record| both.iter().all(|track| length(seen, *track) >= Some(LENGTH));
    let viewer = async {
        let mut viewer = Recorder::play(port, transport, stream).await?;
        viewer.until(whole).await?;
        viewer.leave().await
    };
    let seen = viewer.await.with_context(|| format!("{stream} over {transport}"))?;
    decodable_from_the_start(&seen)?;
    ensure!(seen.gaps.is_empty(), "{transport} lost {:?}", seen.gaps);
    for track in both {
        let times: Vec<_> = seen.track(track).map(|frame| frame.timestamp).collect();
        let step = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
        ensure!(step < Some(STEP_MS), "{track:?} of {stream} over {transport} has a hole of {step:?} ms");
    }
    Ok(())
}

/// The pages come over every version of HTTP, the same, all the while.
async fn has_pages(port: SocketAddr) -> Result<()> {
    let end = Instant::now() + LENGTH;
    let mut each = interval(Duration::from_secs(1));
    while each.tick().await < end {
        let path = "/watch/live/plain";
        let (one, two, three) =
            tokio::try_join!(over_http1(port, path), over_http2(port, path), over_http3(port, path))?;
        ensure!([one.1, two.1, three.1] == [Version::HTTP_11, Version::HTTP_2, Version::HTTP_3]);
        ensure!(one.0.is_success() && one.0 == two.0 && two.0 == three.0, "{} {} {}", one.0, two.0, three.0);
        ensure!(one.2 == two.2 && two.2 == three.2, "the pages differ");
    }
    Ok(())
}
