//! The latency harness measures what it is said to measure.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::gateway::gateway;
use integration_tests::latency::figures::{Figures, figures};
use integration_tests::latency::namespace;
use integration_tests::latency::profile::Profile;
use integration_tests::latency::record::{Class, Frame, Seen};
use integration_tests::latency::run::{Setup, run};
use integration_tests::latency::way::Way;
use integration_tests::link::{Conditions, Link};
use integration_tests::process::built_gateway;
use integration_tests::publisher::Publisher;
use integration_tests::stamp::monotonic;
use integration_tests::transport::Transport;
use integration_tests::viewer::Recorder;

const INJECTED_MS: f64 = 120.0;
/// What two busy cores and a debug build may add.
const BUSY_MS: f64 = 60.0;
const LENGTH: Duration = Duration::from_secs(3);

/// Over the harness's own link where the machine gives it, over the proxy elsewhere.
async fn measured(transport: &str, proxied: Transport) -> Result<Figures> {
    if let Some(missing) = namespace::missing() {
        eprintln!("{missing}; measured through a proxy instead");
        return through_a_proxy(proxied).await;
    }
    let way: Way = transport.parse().map_err(anyhow::Error::msg)?;
    let profile = Profile {
        name: "injected".to_owned(),
        delay_ms: INJECTED_MS,
        jitter_ms: 0.0,
        loss_percent: 0.0,
        rate_mbit: 100.0,
        queue_kb: 500,
        then: Vec::new(),
        blocks_udp: false,
    };
    let setup = Setup {
        gateway: built_gateway().await?,
        harness: PathBuf::from(env!("CARGO_BIN_EXE_latency")),
        length: LENGTH,
        viewers: 1,
        seed: 1,
        congestion: "reno".to_owned(),
    };
    let outcome = run(&setup, way, Some(&profile)).await?;
    assert_eq!(outcome.trouble, None);
    assert!((1.0..1.3).contains(&outcome.wire_over_payload.unwrap_or_default()), "{outcome:?}");
    Ok(outcome.figures)
}

async fn through_a_proxy(transport: Transport) -> Result<Figures> {
    let gateway = gateway().await?;
    let publisher = Publisher::start(gateway.rtmp, "live/late", Live::new(Clip::heavy()?, Stamps::All, 0)).await?;
    let delay = Duration::from_secs_f64(INJECTED_MS / 1e3);
    let conditions = Conditions { delay, ..Conditions::default() };
    let link = Link::under(transport, gateway.address(transport), conditions, 1).await?;
    let started = monotonic();
    let mut viewer = Recorder::play(link.address(), transport, "live/late").await?;
    let window = started + Duration::from_secs(2)..started + Duration::from_secs(2) + LENGTH;
    let end = window.end;
    viewer.until(|_| monotonic() > end + Duration::from_secs(1)).await?;
    let seen = viewer.record.frames.iter().filter_map(|kept| {
        let class = Class::of(kept.track, &kept.body)?;
        Some(Frame { class, sent: kept.stamp?.sent, received: kept.received, bytes: kept.body.len() })
    });
    let seen = Seen { started, frames: seen.collect(), ended: None };
    let sent: Vec<_> = publisher.log().all();
    let sent = sent.iter().filter(|sent| sent.tag.track != Track::Data).filter_map(|sent| {
        let class = Class::of(sent.tag.track, &sent.tag.body)?;
        Some(Frame { class, sent: sent.stamp.sent, received: sent.stamp.sent, bytes: sent.tag.body.len() })
    });
    Ok(figures(&sent.collect::<Vec<_>>(), &[seen], &window, None))
}

async fn a_known_delay_is_measured(transport: &str, proxied: Transport) -> Result<()> {
    let figures = measured(transport, proxied).await?;
    let p50 = figures.delay_ms.p50;
    // A packet can't be early by more than the clocks' grain.
    assert!(p50.value >= INJECTED_MS - 1.0, "{p50:?}");
    assert!(p50.value <= INJECTED_MS + BUSY_MS + p50.error, "{p50:?}");
    assert!(figures.join_ms >= 2.0 * INJECTED_MS, "{}", figures.join_ms);
    assert_eq!(figures.lost.audio[0], 0);
    assert!(figures.lost.audio[1] > 100);
    Ok(())
}

#[tokio::test]
async fn a_known_delay_is_measured_over_tcp() -> Result<()> {
    a_known_delay_is_measured("ws", Transport::Ws).await
}

#[tokio::test]
async fn a_known_delay_is_measured_over_udp() -> Result<()> {
    a_known_delay_is_measured("quic", Transport::Quic).await
}
