//! One HTTP/3 connection: pages, and at most one WebTransport session beside them, a viewer for as long as it lasts.
//!
//! ```text
//! quinn ─▶ streams one way ──▶ streams ─┬▶ settings, read and forgotten
//!       │                               └▶ lanes ────────────────┐
//!       └▶ streams both ways ─▶ request ─┬▶ HTTP (pages)         ▼
//!                                        └▶ CONNECT ─▶ transport::webtransport ─▶ viewer
//! ```
//!
//! | what | specification |
//! |---|---|
//! | connections, streams, their errors | RFC 9114 §3, §6, §8 |
//! | sessions | draft-ietf-webtrans-http3-02 §3 |
//!
//! HTTP/3's frames are read here and not by a library, because what a stranger says of their lengths decides how much memory
//! they take, and because the settings of two drafts are offered at once.
//!
//! Invariant: all of it is one task's.

mod request;
mod streams;

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::{Pin, pin};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{Span, debug};

use self::request::Answered;
use self::streams::{Critical, Stream};
use super::connection::MAX_PAGES;
use super::viewer::{self, Guest};
use super::{Context, Shutdown};
use crate::authority::Entrance;
use crate::transport::stream_link::StreamLink;
use crate::transport::webtransport::WebTransport;
use crate::wire::http3::code::Code;
use crate::wire::http3::{SessionId, control_stream};

/// Most lanes that wait to be taken by their session, or for it to begin: a client may open it and them at once. As many as
/// quinn lets a client have open; stops those that it opens and ends at once.
const MAX_LANES: usize = 16;

/// Bytes that quinn may hold of answers to a client that does not read them; a session sets its own bound.
const SEND_WINDOW: u64 = 256 << 10;

/// Why a connection is closed.
#[derive(Debug, Error)]
enum Fault {
    /// The peer broke the protocol.
    #[error("{what}")]
    Peer {
        /// What it is told.
        code: Code,
        /// What it did.
        what: &'static str,
    },
    /// It is gone already.
    #[error(transparent)]
    Lost(#[from] ConnectionError),
}

impl Fault {
    fn peer(code: Code, what: &'static str) -> Self {
        Self::Peer { code, what }
    }
}

/// What happened first.
enum Step {
    OneWay(RecvStream),
    BothWays(SendStream, RecvStream),
    Stream(Stream),
    Answered(Answered),
    /// The viewer has left, or nobody has wanted anything for too long.
    Over,
}

type Viewer<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Serves one connection until its end.
pub(super) async fn serve(connection: Connection, peer: SocketAddr, context: &Context, shutdown: Shutdown) {
    connection.set_send_window(SEND_WINDOW);
    let code = match Box::pin(drive(&connection, peer, context, shutdown)).await {
        Ok(()) => Code::NoError,
        Err(Fault::Lost(error)) => {
            debug!(%error, "connection ended");
            return;
        }
        Err(Fault::Peer { code, what }) => {
            debug!(what, "connection failed");
            code
        }
    };
    connection.close(VarInt::from_u32(code.number()), b"");
}

async fn drive(
    connection: &Connection,
    peer: SocketAddr,
    context: &Context,
    mut shutdown: Shutdown,
) -> Result<(), Fault> {
    // It must stay open for as long as the connection.
    let _control = match timeout(context.limits.header_timeout, greet(connection)).await {
        Ok(control) => control?,
        Err(_) => return Err(Fault::peer(Code::ClosedCriticalStream, "no stream to be had for the settings")),
    };
    let critical = Critical::default();
    let mut streams = FuturesUnordered::new();
    let mut requests = FuturesUnordered::new();
    let mut lanes = Lanes::default();
    let mut viewer: Option<Viewer<'_>> = None;
    let mut patience = pin!(sleep(MAX_PAGES));
    let mut idle = Box::pin(sleep(context.limits.header_timeout));
    loop {
        let step = tokio::select! {
            accepted = connection.accept_uni() => Step::OneWay(accepted?),
            accepted = connection.accept_bi() => {
                let (send, recv) = accepted?;
                Step::BothWays(send, recv)
            }
            Some(stream) = streams.next() => Step::Stream(stream?),
            Some(answered) = requests.next() => Step::Answered(answered?),
            () = maybe(&mut viewer) => Step::Over,
            // A viewer says goodbye by itself.
            () = shutdown.begun(), if viewer.is_none() => Step::Over,
            () = &mut patience, if viewer.is_none() => Step::Over,
            () = &mut idle, if viewer.is_none() && requests.is_empty() => Step::Over,
        };
        match step {
            Step::OneWay(stream) => streams.push(critical.read(stream)),
            Step::BothWays(send, recv) => requests.push(Box::pin(request::serve(send, recv, peer, context))),
            Step::Stream(Stream::Lane(session, stream)) => lanes.take(session, stream),
            Step::Stream(Stream::Over) => {}
            Step::Answered(Answered::Page) => idle = Box::pin(sleep(context.limits.header_timeout)),
            Step::Answered(Answered::Connect(mut connect)) => {
                if viewer.is_some() {
                    debug!("a second session refused");
                    connect.refuse();
                    continue;
                }
                let (format, credential) = (connect.format, connect.credential.take());
                let Ok(Ok(request)) = timeout(context.limits.header_timeout, connect.accept()).await else { continue };
                Span::current().record("transport", "webtransport");
                let lanes = lanes.of(request.session());
                let mux = WebTransport::new(connection.clone(), request, lanes);
                let link = StreamLink::new(mux, context.session.clone(), context.clock);
                let guest = Guest { peer, entrance: Entrance::WebTransport, credential, format };
                viewer = Some(Box::pin(viewer::serve(link, guest, context, shutdown.clone())));
            }
            Step::Over => return Ok(()),
        }
    }
}

/// Opens the control stream.
async fn greet(connection: &Connection) -> Result<SendStream, ConnectionError> {
    let mut control = connection.open_uni().await?;
    // An error is the connection's end, which whoever accepts streams notices.
    let _ = control.write_all(&control_stream()).await;
    Ok(control)
}

async fn maybe(viewer: &mut Option<Viewer<'_>>) {
    match viewer {
        Some(viewer) => viewer.await,
        None => pending().await,
    }
}

/// Where the client's lanes go: to the session, or, as long as there is none, nowhere yet.
#[derive(Default)]
enum Lanes {
    #[default]
    None,
    Early(Vec<(SessionId, RecvStream)>),
    Session(SessionId, mpsc::Sender<RecvStream>),
}

impl Lanes {
    /// Takes a lane; one too many, or of another session, is stopped.
    fn take(&mut self, session: SessionId, mut stream: RecvStream) {
        match self {
            Self::None => *self = Self::Early(vec![(session, stream)]),
            Self::Early(lanes) if lanes.len() < MAX_LANES => lanes.push((session, stream)),
            Self::Session(of, lanes) if *of == session => {
                if let Err(mpsc::error::TrySendError::Full(mut stream)) = lanes.try_send(stream) {
                    stop(&mut stream);
                }
            }
            Self::Early(_) | Self::Session(..) => stop(&mut stream),
        }
    }

    /// The lanes of a session that begins, with those that came before.
    fn of(&mut self, session: SessionId) -> mpsc::Receiver<RecvStream> {
        let (sender, receiver) = mpsc::channel(MAX_LANES);
        let early = std::mem::replace(self, Self::Session(session, sender));
        if let Self::Early(lanes) = early {
            lanes.into_iter().for_each(|(of, stream)| self.take(of, stream));
        }
        receiver
    }
}

fn stop(stream: &mut RecvStream) {
    // An error is a stream that has ended already.
    let _ = stream.stop(VarInt::from_u32(Code::BufferedStreamRejected.number()));
}
