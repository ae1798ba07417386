//! A bad line in user space: a proxy that is slow, late or stuck towards the viewer, and holds little, so that the gateway feels it.
//! What does not fit waits over TCP and is lost over UDP.
//!
//! ```text
//! gateway ── small receive buffer ──▶ [ a few chunks ] ── rate, delay, jitter, stall ──▶ viewer
//!         ◀──────────────────────────── as it comes ───────────────────────────────────
//! ```

mod udp;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::transport::Transport;

/// What a router on the way would hold: 16 chunks, about 20 kB.
const CHUNK: usize = 1400;
const QUEUE: usize = 16;
/// The kernel doubles it.
const RECEIVE_BUFFER: usize = 8 << 10;

/// What the line is like towards the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions {
    /// Bytes a second; `None`: as fast as it goes.
    pub rate: Option<u64>,
    /// Time under way. `QUEUE` chunks at most are, which bounds the rate as well.
    pub delay: Duration,
    /// At most this much more, by chance.
    pub jitter: Duration,
    /// Nothing passes towards the viewer.
    pub stalled: bool,
    /// Nothing passes either way from now on, no end either: who waits is told nothing.
    pub dead: bool,
    /// Over UDP: when this changes, viewers have other addresses from their next packet on, and what is sent to the old ones
    /// is lost, as when an address translator forgets them or a telephone changes networks.
    pub network: u32,
}

/// A line to one server, for any number of connections. Dropping it cuts them.
pub struct Link {
    address: SocketAddr,
    conditions: watch::Sender<Conditions>,
    task: AbortHandle,
}

impl Link {
    /// A line to `server`. `seed` decides the jitter.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn to(server: SocketAddr, conditions: Conditions, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (sender, receiver) = watch::channel(conditions);
        let accept = async move {
            let mut lines = JoinSet::new();
            while let Ok((viewer, _)) = listener.accept().await {
                lines.spawn(line(viewer, server, receiver.clone(), seed | 1));
            }
        };
        Ok(Self { address, conditions: sender, task: tokio::spawn(accept).abort_handle() })
    }

    /// The same for a transport, which may be one over UDP.
    ///
    /// # Errors
    /// As [`Link::to`].
    pub async fn under(transport: Transport, server: SocketAddr, conditions: Conditions, seed: u64) -> Result<Self> {
        match transport {
            Transport::Ws | Transport::Wss => Self::to(server, conditions, seed).await,
            Transport::Quic | Transport::WebTransport => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let address = socket.local_addr()?;
                let (sender, receiver) = watch::channel(conditions);
                let task = tokio::spawn(udp::carry(socket, server, receiver, seed | 1));
                Ok(Self { address, conditions: sender, task: task.abort_handle() })
            }
        }
    }

    /// Where viewers connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the line at once, for what is under way too.
    pub fn set(&self, conditions: Conditions) {
        self.conditions.send_replace(conditions);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn line(viewer: TcpStream, server: SocketAddr, conditions: watch::Receiver<Conditions>, seed: u64) -> Result<()> {
    viewer.set_nodelay(true)?;
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    // Loopback's segments of 64 kB would not fit the buffer.
    socket.set_tcp_mss(CHUNK as u32)?;
    let gateway = TcpSocket::from_std_stream(socket.into()).connect(server).await?;
    gateway.set_nodelay(true)?;
    let (mut from_gateway, mut to_gateway) = gateway.into_split();
    let (mut from_viewer, mut to_viewer) = viewer.into_split();
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(QUEUE);

    let mut alive = conditions.clone();
    let up = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            let len = from_viewer.read(&mut chunk).await?;
            alive.wait_for(|now| !now.dead).await.map_err(std::io::Error::other)?;
            if len == 0 {
                return to_gateway.shutdown().await;
            }
            to_gateway.write_all(&chunk[..len]).await?;
        }
    };
    let enter = async {
        loop {
            let slot = sender.reserve().await.map_err(std::io::Error::other)?;
            let mut chunk = vec![0; CHUNK];
            let len = from_gateway.read(&mut chunk).await?;
            chunk.truncate(len);
            // The empty chunk is the end.
            slot.send((Instant::now(), chunk));
            if len == 0 {
                return std::io::Result::Ok(());
            }
        }
    };
    let leave = async {
        let mut pace = Pace::new(conditions, seed);
        while let Some((entered, chunk)) = receiver.recv().await {
            if chunk.is_empty() || !pace.wait(entered, chunk.len()).await {
                break;
            }
            to_viewer.write_all(&chunk).await?;
        }
        to_viewer.shutdown().await
    };
    tokio::try_join!(up, enter, leave)?;
    Ok(())
}

/// When the next chunk may leave.
struct Pace {
    conditions: watch::Receiver<Conditions>,
    random: u64,
    /// When the line is free again.
    free: Instant,
    /// The last one left then.
    latest: Instant,
}

impl Pace {
    fn new(conditions: watch::Receiver<Conditions>, seed: u64) -> Self {
        Self { conditions, random: seed, free: Instant::now(), latest: Instant::now() }
    }

    /// Waits until a chunk may leave. `false`: the line is gone.
    async fn wait(&mut self, entered: Instant, len: usize) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let chance = (self.random >> 40) as f64 / f64::from(1 << 24);
        loop {
            let now = *self.conditions.borrow_and_update();
            let sending = now.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(len as f64 / rate as f64));
            let due = (entered + now.delay + now.jitter.mul_f64(chance)).max(self.free + sending).max(self.latest);
            tokio::select! {
                changed = self.conditions.changed() => if changed.is_err() {
                    return false;
                },
                () = sleep_until(due), if !now.stalled && !now.dead => {
                    // A sleep ends up to a millisecond late; the line's next turn begins when this one should have ended.
                    self.free = if now.rate.is_some() { due } else { Instant::now() };
                    self.latest = due;
                    return true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn through(conditions: Conditions) -> (Link, TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let link = Link::to(listener.local_addr().unwrap(), conditions, 7).await.unwrap();
        let viewer = TcpStream::connect(link.address()).await.unwrap();
        (link, viewer, listener.accept().await.unwrap().0)
    }

    async fn pull(viewer: &mut TcpStream, bytes: usize) -> Duration {
        let start = Instant::now();
        viewer.read_exact(&mut vec![0; bytes]).await.unwrap();
        start.elapsed()
    }

    #[tokio::test]
    async fn the_rate_is_kept() {
        let (_link, mut viewer, mut gateway) =
            through(Conditions { rate: Some(400_000), ..Conditions::default() }).await;
        let sender = tokio::spawn(async move { gateway.write_all(&[1; 200_000]).await });
        let took = pull(&mut viewer, 200_000).await;
        assert!((Duration::from_millis(450)..Duration::from_millis(1500)).contains(&took), "{took:?}");
        sender.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_delay_is_kept() {
        let (_link, mut viewer, mut gateway) =
            through(Conditions { delay: Duration::from_millis(80), ..Conditions::default() }).await;
        gateway.write_all(b"now").await.unwrap();
        let took = pull(&mut viewer, 3).await;
        assert!(took >= Duration::from_millis(79), "{took:?}");
    }

    #[tokio::test]
    async fn a_stalled_line_holds_little_and_goes_on() {
        let (link, mut viewer, mut gateway) = through(Conditions { stalled: true, ..Conditions::default() }).await;
        // Beyond what the sender's own kernel takes.
        socket2::SockRef::from(&gateway).set_send_buffer_size(16 << 10).unwrap();
        let mut sent = 0;
        while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), gateway.write(&[1; 4096])).await {
            sent += written.unwrap();
        }
        assert!(sent < 400_000, "{sent}");
        link.set(Conditions::default());
        pull(&mut viewer, sent).await;
    }

    #[tokio::test]
    async fn on_a_dead_line_nobody_is_told_anything() {
        let (link, mut viewer, mut gateway) = through(Conditions::default()).await;
        viewer.write_all(b"here").await.unwrap();
        gateway.read_exact(&mut [0; 4]).await.unwrap();
        link.set(Conditions { dead: true, ..Conditions::default() });
        viewer.write_all(b"still here").await.unwrap();
        drop(viewer);
        let mut told = [0; 16];
        let waiting = tokio::time::timeout(Duration::from_millis(200), gateway.read(&mut told));
        assert!(waiting.await.is_err());
    }

    #[tokio::test]
    async fn an_end_passes_both_ways() {
        let (_link, mut viewer, mut gateway) = through(Conditions::default()).await;
        gateway.write_all(b"bye").await.unwrap();
        drop(gateway);
        let mut rest = Vec::new();
        viewer.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"bye");
    }
}
