//! What a viewer costs: N viewers of one 2.65 Mbit/s stream on this machine, the server and the viewers in processes of their own.
//!
//! ```text
//! cargo run --release -p integration-tests --bin fanout -- --transports ws,wss --viewers 1,50,200 --seconds 15 --json FILE
//! ```
//!
//! Raw TCP and raw rustls servers that only send are measured in the same run. They keep nothing for viewers that join, so
//! their time to the first key frame is the stream's business.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use integration_tests::clip::{Clip, Live, SentLog, Stamps};
use integration_tests::fanout::{Transport, Watched, baseline, viewers};
use integration_tests::process::{GatewayProcess, Process, built_gateway};
use integration_tests::publisher::Publisher;
use integration_tests::stamp::monotonic;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::sleep;

const STREAM: &str = "live/fanout";
/// Before memory without viewers is read: until the server keeps as much of the stream as it ever will.
const FILL: Duration = Duration::from_secs(5);
/// Between the last viewer's joining and the window.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Parser)]
#[command(about = "What a viewer costs")]
struct Arguments {
    /// Transports to the gateway's viewers: ws, wss.
    #[arg(long, value_delimiter = ',', default_value = "ws,wss")]
    transports: Vec<Transport>,
    /// Baselines: tcp, tcp-gathered, tls.
    #[arg(long, value_delimiter = ',', default_value = "tcp,tcp-gathered,tls")]
    baselines: Vec<Transport>,
    /// Numbers of viewers.
    #[arg(long, value_delimiter = ',', default_value = "1,50,200")]
    viewers: Vec<usize>,
    /// How long each is measured.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Where to write the results, one JSON object a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The gateway's binary, when not the one beside this.
    #[arg(long)]
    gateway: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this binary is when it has started itself.
#[derive(Subcommand)]
#[command(hide = true)]
enum Role {
    #[command(hide = true)]
    Viewers { transport: Transport, server: SocketAddr, count: usize },
    #[command(hide = true)]
    Baseline { transport: Transport },
}

/// A line of the results.
#[derive(Serialize)]
struct Outcome {
    transport: String,
    viewers: usize,
    cpu_ms_per_viewer_second: f64,
    rss_kb_per_viewer: f64,
    delay_ms_p50: f64,
    delay_ms_p99: f64,
    frames_sent: i64,
    frames_lost: i64,
    join_ms_p50: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Viewers { transport, server, count }) => {
            let watched = viewers::watch(transport, server, STREAM, count).await?;
            println!("{}", serde_json::to_string(&watched)?);
            // Ends the viewers where they are.
            std::process::exit(0);
        }
        Some(Role::Baseline { transport }) => {
            baseline::serve(transport, |publisher, viewers| println!("{publisher} {viewers}"))
        }
        None => measure_all(&arguments).await,
    }
}

async fn measure_all(arguments: &Arguments) -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("a debug build: the numbers mean nothing, use --release");
    }
    let gateway = match &arguments.gateway {
        Some(path) => path.clone(),
        None => built_gateway().await?,
    };
    let mut json = arguments.json.as_ref().map(File::create).transpose()?;
    println!(
        "transport      viewers  CPU ms/viewer·s  RSS kB/viewer  delay ms p50     p99  frames sent     lost  join ms p50"
    );
    for transport in arguments.baselines.iter().chain(&arguments.transports).copied() {
        for viewers in arguments.viewers.iter().copied() {
            let outcome = measure(&gateway, transport, viewers, Duration::from_secs(arguments.seconds)).await;
            let outcome = outcome.with_context(|| format!("{transport}, {viewers} viewers"))?;
            println!(
                "{transport:14} {viewers:7} {:16.3} {:14.1} {:13.2} {:7.2} {:12} {:8} {:12.1}",
                outcome.cpu_ms_per_viewer_second,
                outcome.rss_kb_per_viewer,
                outcome.delay_ms_p50,
                outcome.delay_ms_p99,
                outcome.frames_sent,
                outcome.frames_lost,
                outcome.join_ms_p50,
            );
            if let Some(json) = &mut json {
                writeln!(json, "{}", serde_json::to_string(&outcome)?)?;
            }
        }
    }
    Ok(())
}

async fn measure(gateway: &Path, transport: Transport, viewers: usize, length: Duration) -> Result<Outcome> {
    ensure!(viewers > 0, "a measurement needs a viewer");
    let live = Live::new(Clip::heavy()?, Stamps::All, 0);
    if transport.is_baseline() {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["baseline", &transport.to_string()]).stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let line = lines(&mut process)?.next_line().await?.context("the baseline says no addresses")?;
        let (ingest, server) = line.split_once(' ').context("the baseline's addresses")?;
        let publisher = baseline::Publisher::start(ingest.parse()?, live).await?;
        let watching = (server.parse()?, transport, viewers);
        let outcome = watch(&process, watching, &publisher.log, length).await?;
        publisher.stop().await?;
        Ok(outcome)
    } else {
        let folder = std::env::temp_dir().join(format!("headwater-fanout-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let gateway = GatewayProcess::start(gateway, &folder).await?;
        let publisher = Publisher::start(gateway.rtmp, STREAM, live).await?;
        let watching = (gateway.websocket, transport, viewers);
        let outcome = watch(&gateway.process, watching, &publisher.log(), length).await?;
        publisher.stop().await?;
        gateway.process.terminate().await?;
        std::fs::remove_dir_all(&folder)?;
        Ok(outcome)
    }
}

/// Lets the viewers' process watch a server that has its publisher already.
async fn watch(
    server: &Process,
    (address, transport, viewers): (SocketAddr, Transport, usize),
    log: &SentLog,
    length: Duration,
) -> Result<Outcome> {
    sleep(FILL).await;
    let empty_rss = server.rss_kb()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["viewers", &transport.to_string(), &address.to_string(), &viewers.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let mut output = lines(&mut process)?;
    ensure!(output.next_line().await?.as_deref() == Some("ready"), "the viewers did not join");

    let start = monotonic() + SETTLE;
    let end = start + length;
    let mut input = process.child.stdin.take().context("piped")?;
    input.write_all(format!("{} {}\n", start.as_nanos(), end.as_nanos()).as_bytes()).await?;
    sleep(start.saturating_sub(monotonic())).await;
    let (cpu_at_start, measured_from) = (server.cpu()?, monotonic());
    sleep(end.saturating_sub(monotonic())).await;
    let (cpu_at_end, measured_to) = (server.cpu()?, monotonic());
    let rss = server.rss_kb()?;

    let line = output.next_line().await?.context("the viewers say nothing")?;
    let watched: Watched = serde_json::from_str(&line)?;
    let cpu = (cpu_at_end - cpu_at_start).as_secs_f64() / (measured_to - measured_from).as_secs_f64();
    let frames_sent = (log.between(start, end) * viewers) as i64;
    Ok(Outcome {
        transport: transport.to_string(),
        viewers,
        cpu_ms_per_viewer_second: cpu * 1e3 / viewers as f64,
        rss_kb_per_viewer: (rss as f64 - empty_rss as f64) / viewers as f64,
        delay_ms_p50: watched.delay_ms_p50,
        delay_ms_p99: watched.delay_ms_p99,
        frames_sent,
        frames_lost: frames_sent - watched.frames_received as i64,
        join_ms_p50: watched.join_ms_p50,
    })
}

fn lines(process: &mut Process) -> Result<Lines<BufReader<ChildStdout>>> {
    Ok(BufReader::new(process.child.stdout.take().context("piped")?).lines())
}
