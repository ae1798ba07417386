//! The least a server can do: take each frame once and write it to every socket. What a gateway costs is measured against it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::{BufMut, BytesMut};
use rustls::{ServerConnection, StreamOwned};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Baseline;
use crate::clip::{Live, SentLog, Tag};

/// How long a gathering server waits for more: less than half of a video frame's time.
pub const GATHER: Duration = Duration::from_millis(15);

type Viewers = Arc<Mutex<Vec<Box<dyn Write + Send>>>>;

/// Serves one publisher until it leaves. `announce` gets the publisher's and the viewers' address.
///
/// # Errors
/// When a socket of its own fails.
pub fn serve(baseline: Baseline, announce: impl FnOnce(SocketAddr, SocketAddr) + Send) -> Result<()> {
    match baseline {
        Baseline::Tcp | Baseline::TcpGathered | Baseline::Tls => {}
        Baseline::Quic | Baseline::QuicGroups => {
            // A runtime can't be started inside another.
            let serving = move || super::bare_quic::serve(baseline == Baseline::QuicGroups, announce);
            return thread::scope(|scope| scope.spawn(serving).join().map_err(|_| anyhow!("the server panicked"))?);
        }
    }
    let ingest = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    announce(ingest.local_addr()?, listener.local_addr()?);
    let viewers = Viewers::default();
    let joined = viewers.clone();
    let config = if baseline == Baseline::Tls { Some(crate::tls::server()?) } else { None };
    thread::spawn(move || -> Result<()> {
        loop {
            let (mut socket, _) = listener.accept()?;
            socket.set_nodelay(true)?;
            let viewer: Box<dyn Write + Send> = match &config {
                Some(config) => {
                    let mut tls = ServerConnection::new(config.clone())?;
                    tls.complete_io(&mut socket)?;
                    Box::new(StreamOwned::new(tls, socket))
                }
                None => Box::new(socket),
            };
            joined.lock().unwrap_or_else(PoisonError::into_inner).push(viewer);
        }
    });

    let (mut publisher, _) = ingest.accept()?;
    let mut frames = Vec::new();
    while read_frame(&mut publisher, &mut frames)? {
        if baseline == Baseline::TcpGathered {
            let until = Instant::now() + GATHER;
            while wait_readable(&publisher, until)? && read_frame(&mut publisher, &mut frames)? {}
        }
        let mut viewers = viewers.lock().unwrap_or_else(PoisonError::into_inner);
        viewers.retain_mut(|viewer| viewer.write_all(&frames).and_then(|()| viewer.flush()).is_ok());
        frames.clear();
    }
    Ok(())
}

/// Appends the next frame, its length first. `false`: there is none any more.
fn read_frame(publisher: &mut TcpStream, frames: &mut Vec<u8>) -> Result<bool> {
    let mut length = [0; 4];
    if publisher.read_exact(&mut length).is_err() {
        return Ok(false);
    }
    frames.extend_from_slice(&length);
    let start = frames.len();
    frames.resize(start + u32::from_be_bytes(length) as usize, 0);
    publisher.read_exact(&mut frames[start..])?;
    Ok(true)
}

/// Waits for more from the publisher, at most until then.
fn wait_readable(publisher: &TcpStream, until: Instant) -> Result<bool> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(false);
    }
    publisher.set_read_timeout(Some(left))?;
    let readable = publisher.peek(&mut [0]).is_ok_and(|len| len > 0);
    publisher.set_read_timeout(None)?;
    Ok(readable)
}

/// A publisher to such a server.
pub struct Publisher {
    task: JoinHandle<Result<()>>,
    stop: oneshot::Sender<()>,
    /// What it has sent.
    pub log: SentLog,
}

impl Publisher {
    /// Sends `live`.
    ///
    /// # Errors
    /// When the server is not there.
    pub async fn start(server: SocketAddr, mut live: Live) -> Result<Self> {
        let mut socket = tokio::net::TcpStream::connect(server).await.context("the baseline's port")?;
        socket.set_nodelay(true)?;
        let log = live.log();
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = live.due() => socket.write_all(&message(&live.take())).await?,
                    _ = &mut stopped => return Ok(()),
                }
            }
        });
        Ok(Self { task, stop, log })
    }

    /// Leaves, which ends the server.
    ///
    /// # Errors
    /// When the server was gone before.
    pub async fn stop(self) -> Result<()> {
        self.stop.send(()).ok();
        self.task.await?
    }
}

/// The message a viewer of the gateway gets, behind its length.
fn message(tag: &Tag) -> BytesMut {
    let len = 1 + 4 + tag.body.len();
    let mut message = BytesMut::with_capacity(4 + len);
    message.put_u32(len as u32);
    message.put_u8(tag.track.message_type());
    message.put_u32(tag.timestamp);
    message.put_slice(&tag.body);
    message
}
