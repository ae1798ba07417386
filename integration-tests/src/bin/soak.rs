//! A gateway of its own for a long time: publishers that come and go, viewers that stay, strangers that mean no good, and the
//! configuration read again now and then.
//!
//! ```text
//! cargo run --release -p integration-tests --bin soak -- --seconds 1200
//! ```
//!
//! Exits with 1 when a promise is broken, and says which: no frame lost by a healthy viewer, memory that does not grow, nobody
//! left behind.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::operator::{ask, get};
use integration_tests::process::{GatewayProcess, built_gateway};
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::{Seen, Viewer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

#[derive(Parser)]
#[command(about = "A gateway under everything at once, for a long time")]
struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 1200)]
    seconds: u64,
    /// Publishers that stay; half as many come and go beside them.
    #[arg(long, default_value_t = 4)]
    publishers: usize,
    /// Viewers of each, over each transport in turn.
    #[arg(long, default_value_t = 12)]
    viewers: usize,
    /// Between two strangers.
    #[arg(long, default_value_t = 500)]
    stranger_ms: u64,
    /// Between two readings of the configuration.
    #[arg(long, default_value_t = 60)]
    reload_seconds: u64,
    /// The gateway's binary, when not the one beside this.
    #[arg(long)]
    gateway: Option<PathBuf>,
}

/// What healthy viewers saw.
#[derive(Default)]
struct Counts {
    frames: AtomicU64,
    lost: AtomicU64,
}

/// What a stranger sends, over TCP to any port: nothing, half of a request, noise, half of an RTMP handshake.
const STRANGE: [&[u8]; 5] =
    [b"", b"GET /live HTTP/1.1\r\nHost: x\r\n", &[0xff; 4000], &[3; 900], &[0x16, 3, 1, 2, 0, 1]];

/// How much the gateway's memory may grow in an hour, measured after it has warmed up.
const MAX_GROWTH_KB_PER_HOUR: f64 = 8192.0;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            broken.iter().for_each(|promise| eprintln!("broken: {promise}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let binary = match &arguments.gateway {
        Some(binary) => binary.clone(),
        None => built_gateway().await?,
    };
    let gateway = GatewayProcess::start(&binary, folder.path()).await?;
    let length = Duration::from_secs(arguments.seconds);
    let (began, seen) = (Instant::now(), Arc::<Counts>::default());
    let mut publishers = Vec::new();
    let mut tasks = JoinSet::new();
    for number in 0..arguments.publishers {
        let stream = format!("soak/{number}");
        publishers.push(publish(gateway.rtmp, &stream).await?);
        for viewer in 0..arguments.viewers {
            let transport = [Transport::Ws, Transport::Wss, Transport::Quic, Transport::WebTransport][viewer % 4];
            tasks.spawn(watch(gateway.address(transport), transport, stream.clone(), Arc::clone(&seen)));
        }
    }
    for number in 0..arguments.publishers.div_ceil(2) {
        tasks.spawn(come_and_go(gateway.rtmp, gateway.websocket, format!("soak/guest{number}")));
    }
    let ports = [gateway.rtmp, gateway.websocket, gateway.unified];
    let pause = Duration::from_millis(arguments.stranger_ms.max(1));
    tasks.spawn(async move {
        for number in 0.. {
            let (port, bytes) = (ports[number % ports.len()], STRANGE[number % STRANGE.len()]);
            tokio::spawn(trouble(port, bytes));
            sleep(pause).await;
        }
        Ok(())
    });
    let mut samples = Vec::new();
    let mut ticks = interval(Duration::from_secs(1));
    let mut reload = began + Duration::from_secs(arguments.reload_seconds);
    while began.elapsed() < length {
        tokio::select! {
            _ = ticks.tick() => samples.push((began.elapsed().as_secs_f64(), gateway.process.rss_kb()? as f64)),
            Some(ended) = tasks.join_next() => ended?.context("a healthy viewer or publisher ended")?,
        }
        if Instant::now() >= reload {
            reload += Duration::from_secs(arguments.reload_seconds);
            gateway.process.hang_up()?;
            let _ = ask(gateway.admin, "POST", "/api/v1/reload").await?;
        }
    }
    let cpu = gateway.process.cpu()?.as_secs_f64() / began.elapsed().as_secs_f64();
    tasks.shutdown().await;
    for publisher in publishers {
        publisher.stop().await?;
    }
    let left = left_behind(gateway.admin).await?;
    let warm = samples.len() / 4;
    let growth = slope(&samples[warm..]) * 3600.0;
    let (frames, lost) = (seen.frames.load(Ordering::Relaxed), seen.lost.load(Ordering::Relaxed));
    let rss = samples.last().map_or(0.0, |(_, rss)| *rss);
    println!(
        "{:.0} s: {frames} frames seen, {lost} lost; RSS {rss:.0} kB, growing by {growth:.0} kB an hour; CPU {:.0} % of one core; \
         left behind: {left}",
        began.elapsed().as_secs_f64(),
        cpu * 100.0
    );
    let mut broken = Vec::new();
    if lost > 0 {
        broken.push(format!("{lost} frames lost by healthy viewers"));
    }
    // Of a short run the slope says nothing.
    if arguments.seconds >= 600 && growth > MAX_GROWTH_KB_PER_HOUR {
        broken.push(format!("memory grows by {growth:.0} kB an hour"));
    }
    if left > 0 {
        broken.push(format!("{left} connections left behind"));
    }
    if gateway.process.terminate().await? != Some(0) {
        broken.push("it does not end in order".into());
    }
    Ok(broken)
}

async fn publish(rtmp: SocketAddr, stream: &str) -> Result<Publisher> {
    Publisher::start(rtmp, stream, Live::new(Clip::demo()?, Stamps::Video, 0)).await
}

/// Watches for ever, and counts.
async fn watch(server: SocketAddr, transport: Transport, stream: String, counts: Arc<Counts>) -> Result<()> {
    let mut viewer = Viewer::play(server, transport, &stream).await?;
    loop {
        match viewer.next().await? {
            Seen::Frame(_) => {
                counts.frames.fetch_add(1, Ordering::Relaxed);
            }
            Seen::Gap(_, messages) => {
                counts.lost.fetch_add(messages, Ordering::Relaxed);
            }
            Seen::Ended(end) => anyhow::bail!("{transport:?} viewer of {stream}: {end:?}"),
            Seen::Packaged(_) | Seen::Status(_) | Seen::Data(_) => {}
        }
    }
}

/// Publishes for some seconds, is killed or stops in order, and comes again; somebody watches each time.
async fn come_and_go(rtmp: SocketAddr, websocket: SocketAddr, stream: String) -> Result<()> {
    for turn in 0.. {
        let publisher = publish(rtmp, &stream).await?;
        let viewer = Viewer::play(websocket, Transport::Ws, &stream).await?;
        sleep(Duration::from_secs(2 + turn % 5)).await;
        if turn % 2 == 0 {
            publisher.kill().await;
        } else {
            publisher.stop().await?;
        }
        drop(viewer);
    }
    Ok(())
}

/// Sends bytes, stays for a while, and is gone without a word.
async fn trouble(server: SocketAddr, bytes: &[u8]) {
    if let Ok(mut socket) = TcpStream::connect(server).await {
        // It may be cut off meanwhile, which is right.
        socket.write_all(bytes).await.ok();
        sleep(Duration::from_secs(3)).await;
    }
}

/// How many viewers and publishers there are once everybody has had time to go.
async fn left_behind(admin: SocketAddr) -> Result<usize> {
    // Longer than a stranger that says nothing may take: limits.header_timeout.
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        let mut left = 0;
        for who in ["viewers", "publishers"] {
            let told = get(admin, &format!("/api/v1/{who}")).await?;
            left += told[who].as_array().context("no list")?.len();
        }
        if left == 0 || Instant::now() > until {
            return Ok(left);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The slope of the line that fits best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|(x, _)| *x), mean(|(_, y)| *y));
    let (above, below) =
        points.iter().fold((0.0, 0.0), |(above, below), (a, b)| (above + (a - x) * (b - y), below + (a - x) * (a - x)));
    if below > 0.0 { above / below } else { 0.0 }
}
