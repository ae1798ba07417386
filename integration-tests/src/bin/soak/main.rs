//! A gateway of its own for a long time: publishers that come and go, viewers that stay, travellers whose network is cut, strangers
//! that mean no good, and the configuration and the certificate replaced now and then.
//!
//! ```text
//! cargo run --release -p integration-tests --bin soak -- --seconds 1200
//! ```
//!
//! Exits with 1 when a promise is broken, and says which: no frame lost by a healthy viewer, travellers that are back at once,
//! memory that does not grow, nobody left behind.

mod peers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use integration_tests::certificate::CertificateFiles;
use integration_tests::operator::{ask, get};
use integration_tests::process::{GatewayProcess, built_gateway};
use integration_tests::transport::Transport;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use self::peers::{Counts, STRANGE, come_and_go, publish, publish_from_afar, travel, trouble, watch};

const TRANSPORTS: [Transport; 4] = [Transport::Ws, Transport::Wss, Transport::Quic, Transport::WebTransport];

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
    /// Between two cuts of a traveller's network.
    #[arg(long, default_value_t = 10)]
    cut_seconds: u64,
    /// Between two certificates, each with a reading of the configuration.
    #[arg(long, default_value_t = 60)]
    reload_seconds: u64,
    /// The gateway's binary, when not the one beside this.
    #[arg(long)]
    gateway: Option<PathBuf>,
}

/// The longest that a traveller may wait for its first picture: what a viewer's patience and a key frame take.
const MAX_RETURN: Duration = Duration::from_secs(2);

/// How long the gateway waits here for whoever says nothing. Shorter than by default, so that there are many of them.
const SILENCE: [&str; 4] = [
    "rtmp.limits.idle_timeout=8s",
    "websocket.keep_alive.ping_interval=4s",
    "websocket.keep_alive.ping_timeout=8s",
    "quic.connection.idle_timeout=8s",
];

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
    let files = CertificateFiles::make(folder.path())?;
    let gateway = GatewayProcess::start_with(&binary, folder.path(), |command| {
        for setting in SILENCE.map(str::to_owned).into_iter().chain(files.settings()) {
            command.args(["--set", &setting]);
        }
    })
    .await?;
    let idle = tasks(gateway.admin).await?;
    let length = Duration::from_secs(arguments.seconds);
    let (began, seen) = (Instant::now(), Arc::<Counts>::default());
    let mut publishers = Vec::new();
    let mut tasks = JoinSet::new();
    for number in 0..arguments.publishers {
        let stream = format!("soak/{number}");
        publishers.push(publish(gateway.rtmp, &stream).await?);
        for viewer in 0..arguments.viewers {
            let transport = TRANSPORTS[viewer % TRANSPORTS.len()];
            tasks.spawn(watch(gateway.address(transport), transport, stream.clone(), Arc::clone(&seen)));
        }
    }
    for number in 0..arguments.publishers.div_ceil(2) {
        tasks.spawn(come_and_go(gateway.rtmp, gateway.websocket, format!("soak/guest{number}")));
    }
    let between_cuts = Duration::from_secs(arguments.cut_seconds.max(1));
    for transport in TRANSPORTS {
        let server = gateway.address(transport);
        tasks.spawn(travel(server, transport, "soak/0".into(), between_cuts, Arc::clone(&seen)));
    }
    tasks.spawn(watch(gateway.websocket, Transport::Ws, "soak/afar".into(), Arc::clone(&seen)));
    tasks.spawn(publish_from_afar(gateway.rtmp, "soak/afar".into(), between_cuts, Arc::clone(&seen)));
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
            files.are_served(gateway.unified).await?;
            files.replace()?;
            gateway.process.hang_up()?;
            let _ = ask(gateway.admin, "POST", "/api/v1/reload").await?;
        }
    }
    let cpu = gateway.process.cpu()?.as_secs_f64() / began.elapsed().as_secs_f64();
    tasks.shutdown().await;
    for publisher in publishers {
        publisher.stop().await?;
    }
    let left = left_behind(gateway.admin, idle).await?;
    let warm = samples.len() / 4;
    let growth = slope(&samples[warm..]) * 3600.0;
    let (frames, lost) = (seen.frames.load(Ordering::Relaxed), seen.lost.load(Ordering::Relaxed));
    let (cuts, back) = (seen.cuts.load(Ordering::Relaxed), seen.longest_return.load(Ordering::Relaxed));
    let rss = samples.last().map_or(0.0, |(_, rss)| *rss);
    println!(
        "{:.0} s: {frames} frames seen, {lost} lost; RSS {rss:.0} kB, growing by {growth:.0} kB an hour; CPU {:.0} % of one core; \
         {cuts} cuts of the network, back after {back} ms at the latest; left behind: {left}",
        began.elapsed().as_secs_f64(),
        cpu * 100.0
    );
    let mut broken = Vec::new();
    if lost > 0 {
        broken.push(format!("{lost} frames lost by healthy viewers"));
    }
    if Duration::from_millis(back) > MAX_RETURN {
        broken.push(format!("a traveller was back only after {back} ms"));
    }
    // Of a short run the slope says nothing.
    if arguments.seconds >= 600 && growth > MAX_GROWTH_KB_PER_HOUR {
        broken.push(format!("memory grows by {growth:.0} kB an hour"));
    }
    if left > 0 {
        broken.push(format!("{left} viewers, publishers or tasks left behind"));
    }
    if gateway.process.terminate().await? != Some(0) {
        broken.push("it does not end in order".into());
    }
    Ok(broken)
}

/// How much runs in the gateway.
async fn tasks(admin: SocketAddr) -> Result<usize> {
    let figures = ask(admin, "GET", "/metrics").await?;
    let line = str::from_utf8(figures.body())?.lines().find_map(|line| line.strip_prefix("headwater_tasks "));
    Ok(line.context("tasks are not counted")?.parse()?)
}

/// How many viewers, publishers and tasks beyond those of an `idle` gateway there are once everybody has had time to go.
async fn left_behind(admin: SocketAddr, idle: usize) -> Result<usize> {
    // Longer than a stranger that says nothing may take: limits.header_timeout.
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        let mut left = tasks(admin).await?.saturating_sub(idle);
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
