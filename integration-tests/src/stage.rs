//! A gateway of its own process with one publisher and twenty viewers that are well, beside whom strangers try what they like.
//!
//! ```text
//! publisher ─▶ gateway ─▶ 10 viewers over each of two transports: every frame, in order, after each case
//!                ▲ │
//!      stranger ─┘ └─▶ log: whom it has cut, and why
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use headwater::media::Track;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clip::{Clip, Live, SentLog, Stamps};
use crate::process::{GatewayProcess, built_gateway};
use crate::publisher::Publisher;
use crate::stamp::{Stamp, monotonic};
use crate::transport::Transport;
use crate::viewer::{Kind, Seen, Viewer};

/// What everybody who is well publishes and plays.
pub const STREAM: &str = "live/calm";
/// How long anything may take: far beyond what it needs on a busy machine, and the end of a hang.
pub const LIMIT: Duration = Duration::from_secs(20);
/// Viewers over each of two transports.
const VIEWERS: usize = 10;
/// How much the gateway's memory may grow over one case, in kB, unless the case says otherwise. Less than one stranger's share
/// is hardly to be measured: the allocator, and the stream's own cache, breathe.
pub const MEMORY_KB: u64 = 4 << 10;

/// The gateway's patience, so short that a test can wait for its end.
const SETTINGS: [&str; 6] = [
    "rtmp.limits.handshake_timeout=1s",
    "rtmp.limits.publish_timeout=3s",
    "limits.header_timeout=1s",
    "limits.drain=1s",
    "websocket.keep_alive.ping_interval=1s",
    "websocket.keep_alive.ping_timeout=4s",
];

/// Where strangers go, and what is said of them.
#[derive(Clone)]
pub struct Target {
    /// The port for publishers.
    pub rtmp: SocketAddr,
    /// The port for viewers.
    pub websocket: SocketAddr,
    /// The port for everything.
    pub unified: SocketAddr,
    /// The gateway's log.
    pub log: Log,
    sent: SentLog,
}

/// What one stranger does, and what the answer must be.
pub struct Case {
    name: &'static str,
    memory_kb: u64,
    act: Act,
}

type Act = Box<dyn Fn(Target) -> Acting + Send + Sync>;
type Acting = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A case: `name` says in one line what is done and what must come of it, `act` does and checks it.
pub fn case<F>(name: &'static str, act: impl Fn(Target) -> F + Send + Sync + 'static) -> Case
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    Case { name, memory_kb: MEMORY_KB, act: Box::new(move |target| Box::pin(act(target))) }
}

impl Case {
    /// Lets the gateway's memory grow by more than [`MEMORY_KB`].
    #[must_use]
    pub fn within_mb(mut self, mb: u64) -> Self {
        self.memory_kb = mb << 10;
        self
    }
}

/// The gateway, and everybody who is well.
pub struct Stage {
    gateway: GatewayProcess,
    target: Target,
    publisher: Publisher,
    well: Vec<watch::Receiver<Progress>>,
    /// Nanoseconds, of all of them, since last asked.
    worst_delay: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
    _folder: TempDir,
}

/// How far a viewer has come, and what it missed.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// The last frame of audio and of video.
    last: [Option<u32>; 2],
    fault: Option<String>,
}

impl Stage {
    /// Starts the gateway and everybody who is well, and waits until all of them watch.
    ///
    /// # Errors
    /// When one of them does not come up.
    pub async fn open() -> Result<Self> {
        Self::open_with(&[]).await
    }

    /// The same, with settings changed.
    ///
    /// # Errors
    /// As [`Stage::open`].
    pub async fn open_with(settings: &[&str]) -> Result<Self> {
        Self::open_over([Transport::Ws, Transport::Wss], settings).await
    }

    /// The same, with viewers who are well over these transports. Those over UDP are on the port for everything.
    ///
    /// # Errors
    /// As [`Stage::open`].
    pub async fn open_over(transports: [Transport; 2], settings: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (gateway, log) = start(folder.path(), settings).await?;
        // The stamps number the frames of both tracks.
        let live = Live::new(Clip::demo()?, Stamps::All, 0);
        let publisher = Publisher::start(gateway.rtmp, STREAM, live).await?;
        let (rtmp, websocket, unified) = (gateway.rtmp, gateway.websocket, gateway.unified);
        let target = Target { rtmp, websocket, unified, log, sent: publisher.log() };
        let (mut tasks, mut well, worst_delay) = (JoinSet::new(), Vec::new(), Arc::<AtomicU64>::default());
        for transport in transports {
            let address = match transport {
                Transport::Ws | Transport::Wss => gateway.websocket,
                Transport::Quic | Transport::WebTransport => gateway.unified,
            };
            for _ in 0..VIEWERS {
                let viewer = Viewer::play(address, transport, STREAM).await?;
                let (progress, seen) = watch::channel(Progress::default());
                tasks.spawn(watch_on(viewer, progress, Arc::clone(&worst_delay)));
                well.push(seen);
            }
        }
        let stage = Self { gateway, target, publisher, well, worst_delay, _tasks: tasks, _folder: folder };
        // Past the first seconds, in which the gateway's own memory grows.
        stage.all_are_well(60).await?;
        stage.worst_delay.store(0, Ordering::Relaxed);
        Ok(stage)
    }

    /// Runs cases one after another.
    ///
    /// # Errors
    /// Names the cases in which the stranger was not treated as it must be, a viewer missed a frame, or memory grew.
    pub async fn one_by_one(&self, cases: impl Iterator<Item = Case>) -> Result<()> {
        let mut failures = Vec::new();
        for case in cases {
            if let Err(error) = self.run(&[case]).await {
                failures.push(format!("{error:#}"));
            }
        }
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    }

    /// Runs cases all at once: those that wait for the gateway's patience to end.
    ///
    /// # Errors
    /// As [`Stage::one_by_one`]; memory is all cases' together.
    pub async fn all_at_once(&self, cases: &[Case]) -> Result<()> {
        self.run(cases).await
    }

    /// Ends the stream and the gateway in order.
    ///
    /// # Errors
    /// When the gateway ends otherwise, or a part of it has panicked.
    pub async fn close(self) -> Result<()> {
        self.close_counting().await.map(drop)
    }

    /// The same, and gives out how many connections were what, as the gateway has counted them.
    ///
    /// # Errors
    /// As [`Stage::close`].
    pub async fn close_counting(self) -> Result<HashMap<String, u64>> {
        self.all_are_well(30).await?;
        self.publisher.stop().await?;
        ensure!(self.gateway.process.terminate().await? == Some(0), "the gateway failed");
        self.target.log.is_calm()?;
        self.target.log.counts().await
    }

    async fn run(&self, cases: &[Case]) -> Result<()> {
        let names = cases.iter().map(|case| case.name).collect::<Vec<_>>().join(" + ");
        let process = &self.gateway.process;
        let (before, began) = (process.rss_kb()?, monotonic());
        process.forget_peak()?;
        let mut acting = JoinSet::new();
        for case in cases {
            let (act, name) = ((case.act)(self.target.clone()), case.name);
            acting.spawn(async move { act.await.context(name) });
        }
        let mut failures = Vec::new();
        while let Some(acted) = acting.join_next().await {
            if let Err(error) = acted? {
                failures.push(format!("{error:#}"));
            }
        }
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        self.all_are_well(1).await.with_context(|| names.clone())?;
        let worst = Duration::from_nanos(self.worst_delay.swap(0, Ordering::Relaxed));
        let grown = process.peak_kb()?.saturating_sub(before);
        let took = monotonic().saturating_sub(began);
        println!("{names}: {took:.1?}, the others' worst delay {worst:.0?}, memory + {grown} kB");
        let bound = cases.iter().map(|case| case.memory_kb).sum::<u64>();
        ensure!(grown <= bound, "{names}: memory grew by {grown} kB, more than {bound}");
        self.target.log.is_calm().with_context(|| names)
    }

    /// Waits until this many more frames of video have been sent and every viewer has seen all that was.
    async fn all_are_well(&self, frames: u32) -> Result<()> {
        self.target.stream_goes_on(frames).await?;
        let sent = self.target.last_sent();
        for (number, seen) in self.well.iter().enumerate() {
            let mut seen = seen.clone();
            let caught_up = seen.wait_for(|progress| progress.fault.is_some() || progress.last >= sent);
            let caught_up = timeout(LIMIT, caught_up).await;
            let progress = caught_up.with_context(|| format!("viewer {number} does not get on"))??;
            if let Some(fault) = &progress.fault {
                bail!("viewer {number}: {fault}");
            }
        }
        Ok(())
    }
}

impl Target {
    /// Waits until this many more frames of video have been published.
    ///
    /// # Errors
    /// When the publisher has stopped.
    pub async fn stream_goes_on(&self, frames: u32) -> Result<()> {
        let goal = self.last_sent()[1].map_or(frames, |last| last + frames);
        let watch = async {
            let mut turn = tokio::time::interval(Duration::from_millis(20));
            while self.last_sent()[1] < Some(goal) {
                turn.tick().await;
            }
        };
        timeout(LIMIT, watch).await.context("the publisher does not get on")
    }

    /// The numbers of the last frames sent, of audio and of video.
    fn last_sent(&self) -> [Option<u32>; 2] {
        let sent = self.sent.all();
        [Track::Audio, Track::Video]
            .map(|track| sent.iter().rev().find(|sent| sent.tag.track == track).map(|sent| sent.stamp.sequence))
    }
}

/// What the gateway has said, line by line.
#[derive(Debug, Clone)]
pub struct Log(Arc<Mutex<Vec<String>>>, watch::Receiver<usize>);

impl Log {
    /// Keeps all that comes from `output`.
    fn of(output: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (count, counted) = watch::channel(0);
        let log = Self(Arc::default(), counted);
        let lines = Arc::clone(&log.0);
        tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                count.send_modify(|count| *count += 1);
            }
        });
        log
    }

    /// Waits until the gateway has said `words` about the connection from `peer`.
    ///
    /// # Errors
    /// When it says something else only.
    pub async fn says(&self, peer: SocketAddr, words: &str) -> Result<()> {
        let peer = format!("peer={peer}");
        let mut count = self.1.clone();
        // What was looked at is not looked at again: a log that is not read as fast as it grows loses lines.
        let mut seen = 0;
        let is_said = |_: &usize| {
            let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut fresh = lines.get(seen..).unwrap_or_default().iter();
            seen = lines.len();
            fresh.any(|line| line.contains(&peer) && line.contains(words))
        };
        match timeout(LIMIT, count.wait_for(is_said)).await {
            Ok(said) => said.map(|_| ()).context("the gateway has ended"),
            Err(_) => bail!("{words:?} is not in the log, but {:#?}", self.lines(&peer)),
        }
    }

    /// What the gateway has counted, as it says in the end.
    async fn counts(&self) -> Result<HashMap<String, u64>> {
        const COUNTS: &str = "stopped connections=";
        let mut count = self.1.clone();
        let said = count.wait_for(|_| !self.lines(COUNTS).is_empty());
        timeout(LIMIT, said).await.context("the gateway does not say what it has counted")??;
        let line = self.lines(COUNTS).concat();
        let counts = line.split(COUNTS).nth(1).unwrap_or_default().split(',');
        let counts = counts.filter_map(|count| count.trim().split_once(':'));
        counts.map(|(verdict, count)| Ok((verdict.to_owned(), count.parse()?))).collect()
    }

    fn is_calm(&self) -> Result<()> {
        let panics = self.lines("panicked");
        ensure!(panics.is_empty(), "{panics:#?}");
        Ok(())
    }

    fn lines(&self, with: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.contains(with)).cloned().collect()
    }
}

async fn start(folder: &Path, settings: &[&str]) -> Result<(GatewayProcess, Log)> {
    let mut gateway = GatewayProcess::start_with(&built_gateway().await?, folder, |command| {
        command.env("RUST_LOG", "headwater=debug").stderr(Stdio::piped());
        for setting in SETTINGS.iter().chain(settings) {
            command.args(["--set", setting]);
        }
    })
    .await?;
    let output = gateway.process.child.stderr.take().context("its output is piped")?;
    Ok((gateway, Log::of(output)))
}

/// Watches until something is missing.
async fn watch_on(mut viewer: Viewer, progress: watch::Sender<Progress>, worst_delay: Arc<AtomicU64>) {
    let mut last = [None; 2];
    loop {
        let fault = match viewer.next().await {
            Ok(Seen::Frame(frame)) if matches!(frame.kind, Kind::Configuration) => continue,
            Ok(Seen::Frame(frame)) => {
                let is_video = frame.track == Track::Video;
                let stamp = if is_video { Stamp::of_video(frame.body) } else { Stamp::of_audio(frame.body) };
                let last = &mut last[usize::from(is_video)];
                match stamp {
                    Some(stamp) if last.is_none_or(|last| last + 1 == stamp.sequence) => {
                        *last = Some(stamp.sequence);
                        let delay = monotonic().saturating_sub(stamp.sent);
                        worst_delay.fetch_max(delay.as_nanos() as u64, Ordering::Relaxed);
                        let seen = Some(stamp.sequence);
                        progress.send_modify(|progress| progress.last[usize::from(is_video)] = seen);
                        continue;
                    }
                    stamp => format!("{:?} frame {stamp:?} after {last:?}", frame.track),
                }
            }
            Ok(Seen::Status(_) | Seen::Data(_) | Seen::Packaged(_)) => continue,
            Ok(seen) => format!("{seen:?}"),
            Err(error) => format!("{error:#}"),
        };
        progress.send_modify(|progress| progress.fault = Some(fault));
        return;
    }
}
