//! Another RTMP server, with a stream of any name for whoever plays it: what Headwater pulls from.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use headwater::media::Track;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{ServerSession, ServerSessionConfig, ServerSessionEvent, ServerSessionResult};
use rml_rtmp::time::RtmpTimestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::clip::{Clip, Live, Stamps, Tag};

/// A server at work. Dropping it cuts its players off.
pub struct Origin {
    /// Where it is.
    pub address: SocketAddr,
    players: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Origin {
    /// Starts one.
    ///
    /// # Errors
    /// When the address can't be had.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let players = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&players);
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                serving.spawn(async move {
                    counted.fetch_add(1, Ordering::SeqCst);
                    // A player that leaves is no failure.
                    serve(socket).await.ok();
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self { address, players, task })
    }

    /// Who is connected.
    pub fn players(&self) -> usize {
        self.players.load(Ordering::SeqCst)
    }

    /// Cuts everybody off, and waits until the port is free again.
    pub async fn kill(mut self) {
        self.task.abort();
        (&mut self.task).await.ok();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut socket: TcpStream) -> Result<()> {
    socket.set_nodelay(true)?;
    let rest = handshake(&mut socket).await?;
    let (mut session, first) = ServerSession::new(ServerSessionConfig::new())?;
    let mut results = first;
    results.extend(session.handle_input(&rest)?);
    let mut live: Option<(u32, Live)> = None;
    let mut buffer = vec![0; 4096];
    loop {
        for event in write(&mut socket, std::mem::take(&mut results)).await? {
            match event {
                ServerSessionEvent::ConnectionRequested { request_id, .. } => {
                    results.extend(session.accept_request(request_id)?);
                }
                ServerSessionEvent::PlayStreamRequested { request_id, stream_id, .. } => {
                    results.extend(session.accept_request(request_id)?);
                    let clip = Live::new(Clip::demo()?, Stamps::Video, 0);
                    for tag in clip.configurations() {
                        results.push(message(&mut session, stream_id, tag)?);
                    }
                    live = Some((stream_id, clip));
                }
                _ => {}
            }
        }
        if !results.is_empty() {
            continue;
        }
        let due = async {
            match &live {
                Some((_, live)) => live.due().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {
                let (stream, live) = live.as_mut().context("nothing is due before it is played")?;
                results.push(message(&mut session, *stream, live.take())?);
            }
            read = socket.read(&mut buffer) => {
                let len = read?;
                if len == 0 {
                    return Ok(());
                }
                results.extend(session.handle_input(&buffer[..len])?);
            }
        }
    }
}

fn message(session: &mut ServerSession, stream: u32, tag: Tag) -> Result<ServerSessionResult> {
    let timestamp = RtmpTimestamp::new(tag.timestamp);
    let packet = match tag.track {
        Track::Audio => session.send_audio_data(stream, tag.body, timestamp, false)?,
        Track::Video => session.send_video_data(stream, tag.body, timestamp, false)?,
        Track::Data => bail!("the clip has no data"),
    };
    Ok(ServerSessionResult::OutboundResponse(packet))
}

async fn write(socket: &mut TcpStream, results: Vec<ServerSessionResult>) -> Result<Vec<ServerSessionEvent>> {
    let mut events = Vec::new();
    for result in results {
        match result {
            ServerSessionResult::OutboundResponse(packet) => socket.write_all(&packet.bytes).await?,
            ServerSessionResult::RaisedEvent(event) => events.push(event),
            ServerSessionResult::UnhandleableMessageReceived(_) => {}
        }
    }
    Ok(events)
}

async fn handshake(socket: &mut TcpStream) -> Result<Vec<u8>> {
    let mut handshake = Handshake::new(PeerType::Server);
    let mut buffer = vec![0; 4096];
    loop {
        let len = socket.read(&mut buffer).await?;
        if len == 0 {
            bail!("the player hung up during the handshake");
        }
        match handshake.process_bytes(&buffer[..len])? {
            HandshakeProcessResult::InProgress { response_bytes } => socket.write_all(&response_bytes).await?,
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                socket.write_all(&response_bytes).await?;
                return Ok(remaining_bytes);
            }
        }
    }
}
