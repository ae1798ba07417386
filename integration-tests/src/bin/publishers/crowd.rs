//! Many publishers at once, each with its viewers.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::process::GatewayProcess;
use integration_tests::publisher::Publisher;
use integration_tests::stamp::{Stamp, monotonic};
use integration_tests::transport::Transport;
use integration_tests::viewer::{Kind, PATIENCE, Seen, Viewer};
use serde::Serialize;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use crate::{Results, broken};

/// Between two publishers' and two viewers' joining: encoders do not start in the same instant.
const STAGGER: Duration = Duration::from_millis(7);
/// Between the last viewer's joining and the window.
const SETTLE: Duration = Duration::from_secs(1);
/// How long after the window a frame of the window may come.
const GRACE: Duration = Duration::from_secs(1);

/// What all viewers write to.
struct Tally {
    window: Cell<(Duration, Duration)>,
    joined: Cell<usize>,
    received: Cell<u64>,
    gaps_named: Cell<u64>,
    delay_us: RefCell<Histogram<u64>>,
}

#[derive(Serialize)]
struct Outcome {
    publishers: usize,
    viewers_each: usize,
    seconds: u64,
    frames_published: usize,
    frames_sent: i64,
    frames_received: u64,
    frames_lost: i64,
    gaps_named: u64,
    publishers_failed: usize,
    delay_ms_p50: f64,
    delay_ms_p99: f64,
    gateway_cpu_ms_per_second: f64,
    gateway_rss_kb: u64,
}

/// Gives out which promises were broken.
pub(crate) async fn run(
    gateway: &GatewayProcess,
    counts: (usize, usize),
    length: Duration,
    results: &mut Results,
) -> Result<Vec<&'static str>> {
    let outcome = LocalSet::new().run_until(measure(gateway, counts, length)).await?;
    println!(
        "{} publishers × {} viewers, {} s: {} frames published, {} to be seen, {} seen, {} lost ({} named)",
        outcome.publishers,
        outcome.viewers_each,
        outcome.seconds,
        outcome.frames_published,
        outcome.frames_sent,
        outcome.frames_received,
        outcome.frames_lost,
        outcome.gaps_named,
    );
    println!(
        "delay p50 {:.2} ms, p99 {:.2} ms; the gateway: {:.0} ms CPU a second, {} kB",
        outcome.delay_ms_p50, outcome.delay_ms_p99, outcome.gateway_cpu_ms_per_second, outcome.gateway_rss_kb
    );
    results.add(&outcome)?;
    Ok(broken(&[
        ("nothing is lost", outcome.frames_lost == 0 && outcome.gaps_named == 0),
        ("every publisher stays", outcome.publishers_failed == 0),
    ]))
}

async fn measure(
    gateway: &GatewayProcess,
    (publishers, viewers_each): (usize, usize),
    length: Duration,
) -> Result<Outcome> {
    let nothing_yet = (Duration::MAX, Duration::MAX);
    let tally = Rc::new(Tally {
        window: Cell::new(nothing_yet),
        joined: Cell::new(0),
        received: Cell::new(0),
        gaps_named: Cell::new(0),
        delay_us: RefCell::new(Histogram::new_with_bounds(1, 60_000_000, 3)?),
    });
    let mut publishing = Vec::new();
    for n in 0..publishers {
        let live = Live::new(Clip::demo()?, Stamps::All, 0);
        let publisher = Publisher::start(gateway.rtmp, &stream(n), live).await;
        publishing.push(publisher.with_context(|| format!("publisher {n}"))?);
        sleep(STAGGER).await;
    }
    let mut watching = JoinSet::new();
    for n in 0..publishers * viewers_each {
        watching.spawn_local(watch(gateway.websocket, stream(n % publishers), tally.clone()));
        sleep(STAGGER).await;
    }
    let all_joined = async {
        while tally.joined.get() < publishers * viewers_each {
            match watching.try_join_next() {
                Some(ended) => bail!("a viewer ended: {:?}", ended?),
                None => sleep(STAGGER).await,
            }
        }
        Ok(())
    };
    timeout(PATIENCE, all_joined).await.context("not all viewers could join")??;

    let start = monotonic() + SETTLE;
    let end = start + length;
    tally.window.set((start, end));
    let measured = async {
        sleep(start.saturating_sub(monotonic())).await;
        let (cpu_at_start, from) = (gateway.process.cpu()?, monotonic());
        sleep(end.saturating_sub(monotonic())).await;
        let cpu = (gateway.process.cpu()? - cpu_at_start).as_secs_f64() / (monotonic() - from).as_secs_f64();
        sleep(GRACE).await;
        anyhow::Ok(cpu)
    };
    let cpu = tokio::select! {
        Some(ended) = watching.join_next() => bail!("a viewer ended: {:?}", ended?),
        cpu = measured => cpu?,
    };
    let gateway_rss_kb = gateway.process.rss_kb()?;
    watching.abort_all();
    let frames_published: usize = publishing.iter().map(|publisher| publisher.log().between(start, end)).sum();
    let mut publishers_failed = 0;
    for publisher in publishing {
        publishers_failed += usize::from(publisher.stop().await.is_err());
    }
    let frames_sent = (frames_published * viewers_each) as i64;
    let milliseconds = |quantile| tally.delay_us.borrow().value_at_quantile(quantile) as f64 / 1e3;
    Ok(Outcome {
        publishers,
        viewers_each,
        seconds: length.as_secs(),
        frames_published,
        frames_sent,
        frames_received: tally.received.get(),
        frames_lost: frames_sent - tally.received.get() as i64,
        gaps_named: tally.gaps_named.get(),
        publishers_failed,
        delay_ms_p50: milliseconds(0.5),
        delay_ms_p99: milliseconds(0.99),
        gateway_cpu_ms_per_second: cpu * 1e3,
        gateway_rss_kb,
    })
}

fn stream(n: usize) -> String {
    format!("live/crowd-{n}")
}

async fn watch(server: SocketAddr, stream: String, tally: Rc<Tally>) -> Result<()> {
    let mut viewer = Viewer::play(server, Transport::Ws, &stream).await?;
    let (mut joined, mut newest) = (false, [None; 2]);
    loop {
        match viewer.next().await? {
            Seen::Frame(frame) => {
                if !joined && frame.kind == Kind::Key {
                    joined = true;
                    tally.joined.update(|joined| joined + 1);
                }
                let is_video = frame.track == Track::Video;
                let stamp = if is_video { Stamp::of_video(frame.body) } else { Stamp::of_audio(frame.body) };
                let Some(stamp) = stamp else { continue };
                let newest = &mut newest[usize::from(is_video)];
                ensure!(
                    newest.is_none_or(|newest| newest < stamp.sequence),
                    "a frame came twice or in the wrong order"
                );
                *newest = Some(stamp.sequence);
                let (from, to) = tally.window.get();
                if (from..to).contains(&stamp.sent) {
                    tally.received.update(|received| received + 1);
                    let delay = monotonic().saturating_sub(stamp.sent);
                    tally.delay_us.borrow_mut().saturating_record(delay.as_micros() as u64);
                }
            }
            Seen::Gap(_, messages) => tally.gaps_named.update(|named| named + messages),
            Seen::Ended(end) => bail!("{end:?}"),
            Seen::Status(_) | Seen::Data(_) | Seen::Packaged(_) => {}
        }
    }
}
