//! One run: a gateway, a publisher and viewers, each a process of its own, and what they report.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::figures::{Figures, figures};
use super::namespace::{GATEWAY, Link};
use super::profile::Profile;
use super::record::{Frame, Seen};
use super::roles::{JOINED, PUBLISHING};
use super::way::{Carrier, Way};
use crate::process::{GatewayProcess, Process};
use crate::stamp::monotonic;
use crate::transport::Transport;
use crate::viewer::PATIENCE;

/// How long the stream has been running when the viewers join: in the middle of a group.
const RUNNING: Duration = Duration::from_millis(3100);
/// From the viewers' joining until measuring begins.
const SETTLE: Duration = Duration::from_secs(2);
/// How much later than the end a frame may come.
const GRACE: Duration = Duration::from_secs(1);
/// The link's name when there is none.
pub const LOOPBACK: &str = "loopback";

/// What all runs have in common.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The gateway's binary.
    pub gateway: PathBuf,
    /// The harness's, which is the publisher and the viewers as well.
    pub harness: PathBuf,
    /// For how long it is measured.
    pub length: Duration,
    /// How many viewers join.
    pub viewers: usize,
    /// Decides what is lost and late on the way.
    pub seed: u64,
    /// TCP's congestion control, where there is a link.
    pub congestion: String,
}

/// A line of the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Name in the transports' table.
    pub transport: String,
    /// Whether it is encrypted.
    pub tls: bool,
    /// In which format the stream came.
    pub format: String,
    /// `own` or `unified`.
    pub port: String,
    /// The way's name on the command line.
    pub way: String,
    /// The link's name.
    pub link: String,
    /// How it was decided what is lost and late.
    pub seed: u64,
    /// For how long it was measured.
    pub seconds: f64,
    /// How many watched.
    pub viewers: usize,
    /// Who decides how much may be in flight: TCP's of the system, or quinn's.
    pub congestion: String,
    /// From when until when the link was another one, seconds since measuring began.
    pub changed: Option<(f64, f64)>,
    /// Why there is nothing to say, or no more.
    pub trouble: Option<String>,
    /// What came of it.
    pub figures: Figures,
    /// Bytes of IP packets towards the viewers over bytes of frames. On a link alone.
    pub wire_over_payload: Option<f64>,
    /// Of packets towards the viewers, those that the line lost, or had no room for. On a link alone.
    pub packets_lost: Option<u64>,
    /// The gateway's share of a core.
    pub gateway_cpu_percent: f64,
    /// Its resident memory in the end.
    pub gateway_rss_kb: u64,
}

/// Measures one way, over a link or without.
///
/// # Errors
/// When a part of the harness does not work. What befalls viewers is in the outcome.
pub async fn run(setup: &Setup, way: Way, profile: Option<&Profile>) -> Result<Outcome> {
    let folder = TempDir::new()?;
    // Declared before the processes, and so there until they are gone.
    let link = profile.map(|profile| Link::lay(profile, setup.seed, &setup.congestion)).transpose()?;
    let gateway = Gateway::start(&setup.gateway, folder.path(), link.as_ref(), way).await?;
    let command = |at: fn(&Link, &Path) -> Command| match &link {
        Some(link) => at(link, &setup.harness),
        None => Command::new(&setup.harness),
    };

    let mut publisher = command(Link::at_gateway);
    publisher.arg("publisher").arg(gateway.rtmp.to_string());
    let mut publisher = Role::start(publisher)?;
    publisher.says(PUBLISHING).await?;
    sleep(RUNNING).await;
    let mut viewers = command(Link::at_viewer);
    viewers.args(["viewers", &way.to_string(), &gateway.viewers.to_string(), &setup.viewers.to_string()]);
    let mut viewers = Role::start(viewers)?;
    let mut trouble = viewers.says(JOINED).await.err().map(|error| error.to_string());

    let start = monotonic() + SETTLE;
    if let (Some(link), Some(profile)) = (&link, profile) {
        link.begin(profile, start);
    }
    sleep(start.saturating_sub(monotonic())).await;
    let carried = || link.as_ref().map(Link::carried).unwrap_or_default();
    let (cpu, (wire, lost)) = (gateway.process.cpu()?, carried());
    let length = if trouble.is_none() { setup.length } else { Duration::ZERO };
    sleep((start + length).saturating_sub(monotonic())).await;
    let end = monotonic();
    let (cpu, (wire, lost)) = (gateway.process.cpu()? - cpu, (carried().0 - wire, carried().1 - lost));
    let gateway_rss_kb = gateway.process.rss_kb()?;
    sleep(if trouble.is_none() { GRACE } else { Duration::ZERO }).await;
    let seen: Vec<Seen> = viewers.report().await?;
    let sent: Vec<Frame> = publisher.report().await?;

    let recovered = profile.and_then(Profile::recovers_at).map(|after| start + after).filter(|at| *at < end);
    let figures = figures(&sent, &seen, &(start..end), recovered);
    trouble = seen.iter().find_map(|viewer| viewer.ended.clone()).or(trouble);
    let ratio = wire as f64 / figures.payload_bytes as f64;
    Ok(Outcome {
        transport: way.transport().to_owned(),
        tls: way.is_encrypted(),
        format: way.format().to_owned(),
        port: if way.unified { "unified" } else { "own" }.to_owned(),
        way: way.to_string(),
        link: profile.map_or(LOOPBACK, |profile| &profile.name).to_owned(),
        seed: setup.seed,
        seconds: setup.length.as_secs_f64(),
        viewers: setup.viewers,
        congestion: if way.is_udp() { "quinn, tolerant cubic".to_owned() } else { format!("tcp {}", setup.congestion) },
        changed: profile.and_then(|profile| Some((profile.then.first()?.0, profile.then.last()?.0))),
        trouble,
        wire_over_payload: Some(ratio).filter(|ratio| link.is_some() && ratio.is_finite()),
        packets_lost: link.as_ref().map(|_| lost),
        gateway_cpu_percent: cpu.as_secs_f64() / (end - start).as_secs_f64() * 100.0,
        gateway_rss_kb,
        figures,
    })
}

/// The gateway, and where it is to be found.
struct Gateway {
    process: Process,
    rtmp: SocketAddr,
    viewers: SocketAddr,
}

impl Gateway {
    async fn start(binary: &Path, folder: &Path, link: Option<&Link>, way: Way) -> Result<Self> {
        let Some(link) = link else {
            let gateway = GatewayProcess::start(binary, folder).await?;
            let viewers = match way.carrier {
                _ if way.unified => gateway.unified,
                Carrier::Flows(transport) | Carrier::Packaged(transport) => gateway.address(transport),
                Carrier::Tlv(..) => gateway.websocket,
            };
            return Ok(Self { process: gateway.process, rtmp: gateway.rtmp, viewers });
        };
        // Nobody else has ports in its namespace.
        let mut command = link.at_gateway(binary);
        command.args(["serve", "--set", "unified.address=443"]);
        command.current_dir(folder).env("RUST_LOG", "warn").stdin(Stdio::null());
        let process = Process::start(&mut command)?;
        let port = match way.carrier {
            _ if way.unified => 443,
            Carrier::Flows(Transport::Quic) | Carrier::Packaged(Transport::Quic) => 4444,
            Carrier::Flows(Transport::WebTransport) | Carrier::Packaged(Transport::WebTransport) => 4443,
            _ => 4446,
        };
        Ok(Self { process, rtmp: (Ipv4Addr::LOCALHOST, 1935).into(), viewers: (GATEWAY, port).into() })
    }
}

/// A process of this harness's own.
struct Role {
    process: Process,
    output: Lines<BufReader<ChildStdout>>,
}

impl Role {
    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let output = BufReader::new(process.child.stdout.take().context("piped")?).lines();
        Ok(Self { process, output })
    }

    /// Waits for a line, which must be this one.
    async fn says(&mut self, words: &str) -> Result<()> {
        let line = timeout(PATIENCE, self.output.next_line()).await.context("it says nothing")??;
        let line = line.context("it has ended")?;
        anyhow::ensure!(line == words, "{line}");
        Ok(())
    }

    /// Tells it to end, and takes its report.
    async fn report<T: DeserializeOwned>(mut self) -> Result<T> {
        drop(self.process.child.stdin.take());
        let line = timeout(PATIENCE, self.output.next_line()).await.context("it does not report")??;
        Ok(serde_json::from_str(&line.context("it ended without a report")?)?)
    }
}
