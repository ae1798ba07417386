//! What a viewer costs: N viewers of one 2.65 Mbit/s stream on this machine, the server and the viewers in processes of their own.
//!
//! ```text
//! cargo run --release -p integration-tests --bin fanout -- --transports ws,wss --viewers 1,50,200 --seconds 15 --json FILE
//! ```
//!
//! With `--stalled K`, so many of the viewers stop reading in the middle, for `--stall-seconds`:
//!
//! ```text
//! cargo run --release -p integration-tests --bin fanout -- \
//!     --baselines none --transports ws --viewers 50 --seconds 45 --stalled 1 --json FILE
//! ```
//!
//! With `--vanish-seconds S`, the viewers' process is stopped at the end, so that nobody says or answers anything any more, and
//! the gateway's memory is read again so long after: it should have given back what they took, once its idle limits have passed
//! (30 s over QUIC, 60 s over WebSocket).
//!
//! Raw against fragmented MP4, one frame a segment against three:
//!
//! ```text
//! cargo run --release -p integration-tests --bin fanout -- \
//!     --baselines none --transports ws,ws-fmp4,websocket,wt,wt-fmp4 --segment-frames 1,3 --viewers 200 --seconds 8 --json FILE
//! ```
//!
//! Beside other servers, each started from its package, with the same clip (`--stalled` is for them too):
//!
//! ```text
//! apt-get install nginx libnginx-mod-rtmp; npm ci --prefix integration-tests/rivals
//! cargo run --release -p integration-tests --bin fanout -- \
//!     --against nginx-rtmp,node-media-server,node-media-server-wss --transports ws,wss --viewers 50,200 --json FILE
//! ```
//!
//! Beside a crowd of another application, and beside one that a raw TCP server has, which shows what the machine allows; beside
//! somebody who guesses tokens; under certificates that are replaced:
//!
//! ```text
//! cargo run --release -p integration-tests --bin fanout -- \
//!     --baselines none --transports ws --viewers 5 --beside none,tcp:500,ws:500,guesses:10000 --seconds 20
//! cargo run --release -p integration-tests --bin fanout -- \
//!     --baselines none --transports ws,wss,quic,wt --viewers 200 --beside certificates:10 --seconds 180
//! ```
//!
//! Raw TCP and raw rustls servers that only send are measured in the same run. They keep nothing for viewers that join, so
//! their time to the first key frame is the stream's business.

mod beside;
mod guesses;

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use headwater::delivery::Format;
use integration_tests::clip::{Clip, Live, SentLog, Stamps};
use integration_tests::fanout::{Baseline, FirstKey, Rival, Stall, Subject, Watched, baseline, viewers};
use integration_tests::process::{GatewayProcess, Process, built_gateway};
use integration_tests::publisher::Publisher;
use integration_tests::stamp::monotonic;
use integration_tests::transport::Transport;
use integration_tests::viewer::{Kind, kind_of};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::sleep;

use self::beside::{Beside, Going};

const STREAM: &str = "live/fanout";
/// Before memory without viewers is read: until the server keeps as much of the stream as it ever will.
const FILL: Duration = Duration::from_secs(5);
/// Between the last viewer's joining and the window.
const SETTLE: Duration = Duration::from_secs(2);

/// Connections that a gateway may have beside its viewers'.
const ROOM: usize = 2000;

/// Between two looks at the memory during a stall.
const RSS_EVERY: Duration = Duration::from_millis(250);

#[derive(Parser)]
#[command(about = "What a viewer costs")]
struct Arguments {
    /// Transports to the gateway's viewers: ws, wss, quic, wt; with fragmented MP4 ws-fmp4 and so on; websocket, websocketstream.
    #[arg(long, value_delimiter = ',', default_value = "ws,wss", value_parser = of_gateway)]
    transports: Vec<Subject>,
    /// Frames of a segment of fragmented MP4; each number is measured.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    segment_frames: Vec<usize>,
    /// Baselines: tcp, tcp-gathered, tls, bare-quic, bare-quic-groups; or none.
    #[arg(long, value_delimiter = ',', default_value = "tcp,tcp-gathered,tls", value_parser = baseline_or_none)]
    baselines: Vec<Option<Baseline>>,
    /// Other servers: nginx-rtmp, node-media-server, node-media-server-wss, moq-relay.
    #[arg(long, value_delimiter = ',')]
    against: Vec<Rival>,
    /// Numbers of viewers.
    #[arg(long, value_delimiter = ',', default_value = "1,50,200")]
    viewers: Vec<usize>,
    /// How long each is measured.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// How many of the viewers stop reading in the middle of it. The baselines wait for such viewers, so theirs go on.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// For how long these do not read.
    #[arg(long, default_value_t = 30)]
    stall_seconds: u64,
    /// Let the viewers vanish without a word at the end, and read its memory so long after. 0: they leave.
    #[arg(long, default_value_t = 0)]
    vanish_seconds: u64,
    /// What else goes on: none, a crowd of another application (ws:500), or of another server (tcp:500), guesses:PER_SECOND,
    /// certificates:SECONDS between two; each is measured, with the gateway alone.
    #[arg(long, value_delimiter = ',', default_value = "none")]
    beside: Vec<Beside>,
    /// Let nobody publish: what viewers cost that wait.
    #[arg(long, conflicts_with = "beside")]
    idle: bool,
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
    Viewers {
        subject: Subject,
        server: SocketAddr,
        stream: String,
        count: usize,
        stalled: usize,
        #[arg(long)]
        idle: bool,
    },
    #[command(hide = true)]
    Guesses { server: SocketAddr, per_second: u32 },
    #[command(hide = true)]
    Baseline { baseline: Baseline },
}

/// A line of the results.
#[derive(Serialize)]
struct Outcome {
    transport: String,
    /// Of fragmented MP4.
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_frames: Option<usize>,
    viewers: usize,
    /// What else went on.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<String>,
    /// Guesses that were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    guesses_per_second: Option<f64>,
    /// Bytes of messages that a viewer gets.
    kbit_per_viewer_second: f64,
    cpu_ms_per_viewer_second: f64,
    rss_kb_per_viewer: f64,
    delay_ms_p50: f64,
    delay_ms_p99: f64,
    frames_sent: i64,
    frames_lost: i64,
    join_ms_p50: f64,
}

/// A line more, when some stalled: of delays those of the others, of the rest the worst of those that stalled.
#[derive(Serialize)]
struct StallOutcome {
    transport: String,
    viewers: usize,
    stalled: usize,
    stall_seconds: u64,
    /// The gateway's resident memory at its largest during the stall, above that before it.
    rss_kb_grown: i64,
    delay_ms_p50_before: f64,
    delay_ms_p99_before: f64,
    delay_ms_p50_during: f64,
    delay_ms_p99_during: f64,
    /// Frames sent before the viewers read again that came after they did, thousands of bytes.
    stale_kb: f64,
    /// From reading again to the first key frame that was sent after that. `None`: it never came.
    live_after_ms: Option<f64>,
    /// From that frame's sending to its coming.
    live_delay_ms: Option<f64>,
    /// It was the next key frame that the publisher sent.
    live_at_next_key: bool,
}

/// A line more, when they vanished: the server's resident memory without them, with them, and once they should be forgotten.
#[derive(Serialize)]
struct VanishOutcome {
    transport: String,
    viewers: usize,
    vanish_seconds: u64,
    rss_kb_before: u64,
    rss_kb_with: u64,
    rss_kb_after: u64,
}

/// What one measurement gives.
struct Measured {
    outcome: Outcome,
    stall: Option<StallOutcome>,
    vanish: Option<VanishOutcome>,
}

/// What is to be measured.
#[derive(Clone, Copy)]
struct Plan {
    subject: Subject,
    segment_frames: Option<usize>,
    viewers: usize,
    length: Duration,
    stalled: usize,
    stall: Duration,
    vanish: Option<Duration>,
    beside: Beside,
    is_idle: bool,
}

fn baseline_or_none(text: &str) -> Result<Option<Baseline>, String> {
    if text == "none" { Ok(None) } else { text.parse().map(Some) }
}

fn of_gateway(text: &str) -> Result<Subject, String> {
    let subject = text.parse()?;
    match subject {
        Subject::Gateway(..) | Subject::Flowless(_) => Ok(subject),
        Subject::Rival(_) | Subject::Baseline(_) => Err(format!("{text} is none of the gateway's transports")),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Viewers { subject, server, stream, count, stalled, idle }) => {
            viewers::watch(subject, server, &stream, (count, stalled), idle).await
        }
        Some(Role::Guesses { server, per_second }) => guesses::guess(server, per_second).await,
        Some(Role::Baseline { baseline }) => {
            baseline::serve(baseline, |publisher, viewers| println!("{publisher} {viewers}"))
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
    allow_many_sockets()?;
    let mut json = arguments.json.as_ref().map(File::create).transpose()?;
    println!(
        "transport         viewers  CPU ms/viewer·s  RSS kB/viewer  kbit/viewer·s  delay ms p50     p99  frames sent     lost  join ms p50"
    );
    let baselines = arguments.baselines.iter().flatten().copied().map(Subject::Baseline);
    let rivals = arguments.against.iter().copied().map(Subject::Rival);
    for subject in baselines.chain(rivals).chain(arguments.transports.iter().copied()) {
        let segment_frames = match subject.format() {
            Some(Format::Fmp4) => arguments.segment_frames.iter().copied().map(Some).collect(),
            Some(Format::Raw) | None => vec![None],
        };
        let is_gateway = subject.format().is_some();
        let beside = if is_gateway { &arguments.beside[..] } else { &[Beside::Nothing] };
        let cases = segment_frames.into_iter().flat_map(|frames| arguments.viewers.iter().map(move |&n| (frames, n)));
        let cases = cases.flat_map(|(frames, n)| beside.iter().map(move |&beside| (frames, n, beside)));
        for (segment_frames, viewers, beside) in cases {
            let is_baseline = matches!(subject, Subject::Baseline(_));
            let plan = Plan {
                subject,
                segment_frames,
                viewers,
                length: Duration::from_secs(arguments.seconds),
                stalled: if is_baseline { 0 } else { arguments.stalled },
                stall: Duration::from_secs(arguments.stall_seconds),
                vanish: (!is_baseline && arguments.vanish_seconds > 0)
                    .then(|| Duration::from_secs(arguments.vanish_seconds)),
                beside,
                is_idle: is_gateway && arguments.idle,
            };
            let measured = measure(&gateway, plan).await.with_context(|| format!("{subject}, {viewers} viewers"))?;
            let Measured { outcome, stall, vanish } = measured;
            println!(
                "{:17} {viewers:7} {:16.3} {:14.1} {:14.1} {:13.2} {:7.2} {:12} {:8} {:12.1}",
                segment_frames.map_or_else(|| subject.to_string(), |frames| format!("{subject} ×{frames}")),
                outcome.cpu_ms_per_viewer_second,
                outcome.rss_kb_per_viewer,
                outcome.kbit_per_viewer_second,
                outcome.delay_ms_p50,
                outcome.delay_ms_p99,
                outcome.frames_sent,
                outcome.frames_lost,
                outcome.join_ms_p50,
            );
            if let Some(beside) = &outcome.beside {
                let refused = outcome.guesses_per_second.map(|count| format!(", {count:.0} guesses a second refused"));
                println!("  beside {beside}{}", refused.unwrap_or_default());
            }
            if let Some(json) = &mut json {
                writeln!(json, "{}", serde_json::to_string(&outcome)?)?;
            }
            if let Some(stall) = stall {
                stall.print();
                if let Some(json) = &mut json {
                    writeln!(json, "{}", serde_json::to_string(&stall)?)?;
                }
            }
            if let Some(vanish) = vanish {
                vanish.print();
                if let Some(json) = &mut json {
                    writeln!(json, "{}", serde_json::to_string(&vanish)?)?;
                }
            }
        }
    }
    Ok(())
}

impl StallOutcome {
    fn print(&self) {
        println!(
            "  {} of them did not read for {} s: the server grew by {} kB; the others' delay p50 {:.2} → {:.2} ms, p99 {:.2} → {:.2} ms; \
             then {:.0} kB stale, live after {} ({} key frame, {:.1} ms late)",
            self.stalled,
            self.stall_seconds,
            self.rss_kb_grown,
            self.delay_ms_p50_before,
            self.delay_ms_p50_during,
            self.delay_ms_p99_before,
            self.delay_ms_p99_during,
            self.stale_kb,
            self.live_after_ms.map_or_else(|| "never".to_owned(), |after| format!("{after:.0} ms")),
            if self.live_at_next_key { "the next" } else { "not the next" },
            self.live_delay_ms.unwrap_or(f64::NAN),
        );
    }
}

impl VanishOutcome {
    fn print(&self) {
        println!(
            "  {} kB without them, {} kB with them, {} kB when they had been gone for {} s",
            self.rss_kb_before, self.rss_kb_with, self.rss_kb_after, self.vanish_seconds
        );
    }
}

/// Lets this process, and those that it starts, have as many sockets as the system allows.
fn allow_many_sockets() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

async fn measure(gateway: &Path, plan: Plan) -> Result<Measured> {
    ensure!(plan.viewers > plan.stalled, "a measurement needs a viewer that reads");
    ensure!(plan.stalled == 0 || plan.length > plan.stall, "a stall needs time before and after it");
    let live = Live::new(Clip::heavy()?, Stamps::All, 0);
    if let Subject::Baseline(_) = plan.subject {
        let (process, ingest, server) = start_baseline(plan.subject).await?;
        let publisher = baseline::Publisher::start(ingest, live).await?;
        let outcome = watch(&process, server, plan, &publisher.log, &mut Going::Nothing).await?;
        publisher.stop().await?;
        return Ok(outcome);
    }
    if let Subject::Rival(rival) = plan.subject {
        let rival = rival.start().await?;
        let publisher = Publisher::start(rival.ingest, STREAM, live).await?;
        let outcome = watch(&rival.process, rival.viewers, plan, &publisher.log(), &mut Going::Nothing).await?;
        publisher.stop().await?;
        return Ok(outcome);
    }
    let folder = std::env::temp_dir().join(format!("headwater-fanout-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let settings = plan.beside.settings(&folder)?;
    let gateway = GatewayProcess::start_with(gateway, &folder, |command| {
        let room = format!("limits.connections={}", plan.viewers + plan.beside.viewers() + ROOM);
        for setting in settings.iter().chain([&room]) {
            command.args(["--set", setting]);
        }
        if let Some(frames) = plan.segment_frames {
            command.args(["--set", &format!("delivery.segment_frames={frames}")]);
        }
    });
    let gateway = gateway.await?;
    let address = viewers_address(&gateway, plan.subject);
    let outcome = if plan.is_idle {
        watch(&gateway.process, address, plan, &live.log(), &mut Going::Nothing).await?
    } else {
        let publisher = Publisher::start(gateway.rtmp, STREAM, live).await?;
        let mut going = plan.beside.start(&gateway, &folder).await?;
        let outcome = watch(&gateway.process, address, plan, &publisher.log(), &mut going).await?;
        drop(going);
        publisher.stop().await?;
        outcome
    };
    gateway.process.terminate().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(outcome)
}

/// Lets the viewers' process watch a server that has its publisher already.
async fn watch(
    server: &Process,
    address: SocketAddr,
    plan: Plan,
    log: &SentLog,
    going: &mut Going,
) -> Result<Measured> {
    let Plan { subject, segment_frames, viewers, length, stalled, .. } = plan;
    sleep(FILL).await;
    let empty_rss = server.rss_kb()?;
    let mut command = Command::new(this_program()?);
    let stream =
        [Some(STREAM.to_owned()), plan.beside.credential()].into_iter().flatten().collect::<Vec<_>>().join("?");
    let counts = [viewers.to_string(), stalled.to_string()];
    command.args(["viewers", &subject.to_string(), &address.to_string(), &stream]).args(counts);
    if plan.is_idle {
        command.arg("--idle");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let mut output = lines(&mut process)?;
    ensure!(output.next_line().await?.as_deref() == Some("ready"), "the viewers did not join");

    let start = monotonic() + SETTLE;
    let end = start + length;
    let mut input = process.child.stdin.take().context("piped")?;
    let stall_from = start + length.saturating_sub(plan.stall) / 2;
    let stall = (stalled > 0).then_some(Stall { from: stall_from, to: stall_from + plan.stall });
    let times = [start, end].into_iter().chain(stall.iter().flat_map(|stall| [stall.from, stall.to]));
    let times: Vec<_> = times.map(|time| time.as_nanos().to_string()).collect();
    input.write_all(format!("{}\n", times.join(" ")).as_bytes()).await?;
    sleep(start.saturating_sub(monotonic())).await;
    let (cpu_at_start, measured_from) = (server.cpu()?, monotonic());
    going.check().await?;
    let rss_kb_grown = match stall {
        Some(stall) => growth(server, stall).await?,
        None => 0,
    };
    sleep(end.saturating_sub(monotonic())).await;
    let (cpu_at_end, measured_to) = (server.cpu()?, monotonic());
    let rss = server.rss_kb()?;
    let refused = going.check().await?;

    let line = output.next_line().await?.context("the viewers say nothing")?;
    let watched: Watched = serde_json::from_str(&line)?;
    let cpu = (cpu_at_end - cpu_at_start).as_secs_f64() / (measured_to - measured_from).as_secs_f64();
    let frames_sent = (log.between(start, end) * (viewers - stalled)) as i64;
    let stall = stall.zip(watched.stalled).map(|(stall, seen)| {
        let next_key = log
            .all()
            .into_iter()
            .find(|sent| sent.stamp.sent >= stall.to && kind_of(sent.tag.track, &sent.tag.body) == Kind::Key);
        let next_key = next_key.map(|sent| sent.stamp.sequence);
        let all_live = seen.first_keys.iter().all(Option::is_some);
        let worst =
            |of: fn(&FirstKey) -> f64| seen.first_keys.iter().flatten().map(of).reduce(f64::max).filter(|_| all_live);
        StallOutcome {
            transport: subject.to_string(),
            viewers,
            stalled,
            stall_seconds: plan.stall.as_secs(),
            rss_kb_grown,
            delay_ms_p50_before: seen.delay_ms_p50_before,
            delay_ms_p99_before: seen.delay_ms_p99_before,
            delay_ms_p50_during: seen.delay_ms_p50_during,
            delay_ms_p99_during: seen.delay_ms_p99_during,
            stale_kb: seen.stale_bytes as f64 / 1e3,
            live_after_ms: worst(|key| key.after_ms),
            live_delay_ms: worst(|key| key.delay_ms),
            live_at_next_key: all_live && seen.first_keys.iter().flatten().all(|key| Some(key.sequence) == next_key),
        }
    });
    let outcome = Outcome {
        transport: subject.to_string(),
        segment_frames,
        viewers,
        beside: (plan.beside != Beside::Nothing).then(|| plan.beside.to_string()),
        guesses_per_second: matches!(plan.beside, Beside::Guesses(_))
            .then(|| refused as f64 / (measured_to - measured_from).as_secs_f64()),
        kbit_per_viewer_second: watched.bytes_received as f64 * 8.0
            / 1e3
            / length.as_secs_f64()
            / (viewers - stalled) as f64,
        cpu_ms_per_viewer_second: cpu * 1e3 / (viewers + plan.beside.viewers()) as f64,
        rss_kb_per_viewer: (rss as f64 - empty_rss as f64) / viewers as f64,
        delay_ms_p50: watched.delay_ms_p50,
        delay_ms_p99: watched.delay_ms_p99,
        frames_sent,
        frames_lost: frames_sent - watched.frames_received as i64,
        join_ms_p50: watched.join_ms_p50,
    };
    let vanish = match plan.vanish {
        Some(gone) => {
            process.freeze()?;
            sleep(gone).await;
            Some(VanishOutcome {
                transport: subject.to_string(),
                viewers,
                vanish_seconds: gone.as_secs(),
                rss_kb_before: empty_rss,
                rss_kb_with: rss,
                rss_kb_after: server.rss_kb()?,
            })
        }
        None => None,
    };
    Ok(Measured { outcome, stall, vanish })
}

/// By how many kB the server's memory grows at most while they stall.
async fn growth(server: &Process, stall: Stall) -> Result<i64> {
    sleep(stall.from.saturating_sub(monotonic())).await;
    let before = server.rss_kb()?;
    let mut largest = before;
    while monotonic() < stall.to {
        sleep(RSS_EVERY.min(stall.to.saturating_sub(monotonic()))).await;
        largest = largest.max(server.rss_kb()?);
    }
    Ok((largest - before) as i64)
}

fn lines(process: &mut Process) -> Result<Lines<BufReader<ChildStdout>>> {
    Ok(BufReader::new(process.child.stdout.take().context("piped")?).lines())
}

/// For the parts that are processes of their own.
fn this_program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?)
}

/// A server that only sends, with its publisher's and its viewers' address.
async fn start_baseline(subject: Subject) -> Result<(Process, SocketAddr, SocketAddr)> {
    let mut command = Command::new(this_program()?);
    command.args(["baseline", &subject.to_string()]).stdout(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let line = lines(&mut process)?.next_line().await?.context("the baseline says no addresses")?;
    let (ingest, server) = line.split_once(' ').context("the baseline's addresses")?;
    let (ingest, server) = (ingest.parse()?, server.parse()?);
    Ok((process, ingest, server))
}

/// Where viewers go.
fn viewers_address(gateway: &GatewayProcess, subject: Subject) -> SocketAddr {
    match subject {
        Subject::Gateway(Transport::WebTransport, Format::Fmp4) => gateway.webtransport_fmp4,
        Subject::Gateway(transport, _) => gateway.address(transport),
        Subject::Flowless(_) | Subject::Rival(_) | Subject::Baseline(_) => gateway.websocket,
    }
}
