//! What viewers that are too slow cost in memory: the gateway beside a server without backpressure, which queues what its
//! viewers don't take.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use super::roles::STREAM;
use super::run::Setup;
use crate::clip::{Clip, Live, Stamps};
use crate::fanout::baseline;
use crate::link::{Conditions, Link};
use crate::process::{GatewayProcess, Process};
use crate::publisher::Publisher;
use crate::transport::Transport;
use crate::viewer::{Seen, Viewer};

/// A third of the stream, bytes a second.
const RATE: u64 = 2_650_000 / 3 / 8;
const EVERY: Duration = Duration::from_millis(500);
/// Until the gateway keeps as much of the stream as it ever will.
const FILL: Duration = Duration::from_secs(5);

/// Resident memory, each half second since the viewers joined, in kB above what it was before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// How many slow viewers there were.
    pub viewers: usize,
    /// Of the gateway.
    pub gateway_kb: Vec<i64>,
    /// Of the server without backpressure.
    pub naive_kb: Vec<i64>,
}

/// Lets viewers at a third of the rate watch both.
///
/// # Errors
/// When a part of it does not start.
pub async fn compare(setup: &Setup) -> Result<Memory> {
    let folder = TempDir::new()?;
    let conditions = Conditions { rate: Some(RATE), ..Conditions::default() };
    let live = || Ok::<_, anyhow::Error>(Live::new(Clip::heavy()?, Stamps::All, 0));
    let gateway = GatewayProcess::start(&setup.gateway, folder.path()).await?;
    let publisher = Publisher::start(gateway.rtmp, STREAM, live()?).await?;
    let (naive, ingest, port) = start_naive(&setup.harness).await?;
    let naive_publisher = baseline::Publisher::start(ingest, live()?).await?;
    sleep(FILL).await;

    let memory = || Ok::<_, anyhow::Error>([gateway.process.rss_kb()?, naive.rss_kb()?].map(u64::cast_signed));
    let before = memory()?;
    // One of its own for each, or they would share the rate.
    let (mut links, mut watching) = (Vec::new(), JoinSet::new());
    for n in 0..setup.viewers as u64 {
        let to_gateway = Link::to(gateway.websocket, conditions, setup.seed + n).await?;
        let to_naive = Link::to(port, conditions, setup.seed + n).await?;
        let mut viewer = Viewer::play(to_gateway.address(), Transport::Ws, STREAM).await?;
        watching.spawn(async move { while !matches!(viewer.next().await, Err(_) | Ok(Seen::Ended(_))) {} });
        let mut socket = TcpStream::connect(to_naive.address()).await?;
        watching.spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while socket.read(&mut buffer).await.is_ok_and(|len| len > 0) {}
        });
        links.extend([to_gateway, to_naive]);
    }
    let mut seen = Memory { viewers: setup.viewers, ..Memory::default() };
    let mut turn = interval(EVERY);
    for _ in 0..setup.length.as_millis() / EVERY.as_millis() {
        turn.tick().await;
        let now = memory()?;
        seen.gateway_kb.push(now[0] - before[0]);
        seen.naive_kb.push(now[1] - before[1]);
    }
    publisher.stop().await?;
    naive_publisher.stop().await?;
    Ok(seen)
}

/// A server as many write their first: a task and an endless queue a viewer. Ends with its publisher.
///
/// # Errors
/// When a socket of its own fails.
pub async fn serve_naively() -> Result<()> {
    let ingest = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{} {}", ingest.local_addr()?, listener.local_addr()?);
    let mut publisher = BufReader::new(ingest.accept().await?.0);
    let mut viewers: Vec<mpsc::UnboundedSender<Bytes>> = Vec::new();
    let mut frame = vec![0; 64 << 10];
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let mut socket = accepted?.0;
                let (sender, mut frames) = mpsc::unbounded_channel::<Bytes>();
                viewers.push(sender);
                tokio::spawn(async move {
                    while let Some(frame) = frames.recv().await {
                        socket.write_all(&frame).await?;
                    }
                    std::io::Result::Ok(())
                });
            }
            read = publisher.read(&mut frame) => {
                let len = read?;
                if len == 0 {
                    return Ok(());
                }
                let bytes = Bytes::copy_from_slice(&frame[..len]);
                viewers.retain(|viewer| viewer.send(bytes.clone()).is_ok());
            }
        }
    }
}

async fn start_naive(harness: &Path) -> Result<(Process, SocketAddr, SocketAddr)> {
    let mut command = Command::new(harness);
    command.arg("naive").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let output = process.child.stdout.take().context("piped")?;
    let line = BufReader::new(output).lines().next_line().await?.context("it says nothing")?;
    let (ingest, viewers) = line.split_once(' ').context("two addresses")?;
    Ok((process, ingest.parse()?, viewers.parse()?))
}
