//! Who is here, by what right, and how they are cut off.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;

use super::Action;

/// The gateway's authority. Cloning gives another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    last: AtomicU64,
}

/// Everybody who is here.
#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<SessionId, Session>,
}

/// One connection.
#[derive(Debug)]
struct Session {
    address: SocketAddr,
    entrance: Entrance,
    since: Instant,
    /// Until it is cut.
    leash: Option<oneshot::Sender<Cut>>,
    uses: BTreeMap<u64, Use>,
}

/// Names a session for as long as the gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// The way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entrance {
    /// RTMP, plain or in TLS.
    Rtmp,
    /// RTWebSocket.
    RtWebSocket,
    /// A WebSocket without flows, paced by the transport.
    WebSocketStream,
    /// A WebSocket without flows, acknowledged.
    WebSocket,
    /// WebTransport.
    WebTransport,
    /// Native QUIC.
    Quic,
}

/// Why a session is ended by the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The operator wants it gone.
    Kicked,
    /// What it was granted by holds no longer.
    Revoked,
    /// What it was granted by has expired.
    Expired,
}

/// What a session does by right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// What.
    pub action: Action,
    /// Of which stream: `app/name`.
    pub path: Arc<str>,
}

/// A session as it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub id: SessionId,
    /// Where it comes from.
    pub address: SocketAddr,
    /// How it came.
    pub entrance: Entrance,
    /// When it came.
    pub since: Instant,
    /// What it does.
    pub uses: Vec<Use>,
}

/// A connection that asks for streams. Dropping it takes it off the list.
#[derive(Debug)]
pub struct Visitor {
    authority: Authority,
    id: SessionId,
}

/// Done when a session is to be ended. Cancel safe.
#[derive(Debug)]
pub struct Leash(oneshot::Receiver<Cut>);

/// The right to one use of one stream, while it lives.
#[derive(Debug)]
pub struct Grant {
    authority: Authority,
    session: SessionId,
    number: u64,
}

impl Authority {
    /// Takes in a connection that came at `now`. It is to be ended when the leash is done.
    pub fn visit(&self, address: SocketAddr, entrance: Entrance, now: Instant) -> (Visitor, Leash) {
        let (leash, cut) = oneshot::channel();
        let id = SessionId(self.number());
        let session = Session { address, entrance, since: now, leash: Some(leash), uses: BTreeMap::new() };
        self.table().sessions.insert(id, session);
        (Visitor { authority: self.clone(), id }, Leash(cut))
    }

    /// Everybody who is here, in the order in which they came.
    pub fn sessions(&self) -> Vec<Summary> {
        let mut all: Vec<_> = self.table().sessions.iter().map(|(&id, session)| session.summary(id)).collect();
        all.sort_by_key(|session| session.id);
        all
    }

    /// Ends a session; whether there was one.
    pub fn kick(&self, id: SessionId) -> bool {
        self.cut(Cut::Kicked, |session, _| session == id) > 0
    }

    /// Ends all sessions that do this with the stream at `path`; how many.
    pub fn kick_from(&self, path: &str, action: Action) -> usize {
        self.cut(Cut::Kicked, |_, session| session.uses.values().any(|u| u.action == action && &*u.path == path))
    }

    fn cut(&self, why: Cut, which: impl Fn(SessionId, &Session) -> bool) -> usize {
        let mut table = self.table();
        let found = table.sessions.iter_mut().filter(|(id, session)| which(**id, session));
        // An error is a connection that ends already.
        found.filter_map(|(_, session)| session.leash.take()?.send(why).ok()).count()
    }

    fn number(&self) -> u64 {
        self.shared.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every critical section leaves the table whole, also when it panics.
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitor {
    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Asks for a stream.
    pub fn ask(&self, action: Action, path: &str) -> Grant {
        let number = self.authority.number();
        if let Some(session) = self.authority.table().sessions.get_mut(&self.id) {
            session.uses.insert(number, Use { action, path: path.into() });
        }
        Grant { authority: self.authority.clone(), session: self.id, number }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.authority.table().sessions.remove(&self.id);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(session) = self.authority.table().sessions.get_mut(&self.session) {
            session.uses.remove(&self.number);
        }
    }
}

impl Session {
    fn summary(&self, id: SessionId) -> Summary {
        let uses = self.uses.values().cloned().collect();
        Summary { id, address: self.address, entrance: self.entrance, since: self.since, uses }
    }
}

impl Future for Leash {
    type Output = Cut;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cut> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(Ok(cut)) => Poll::Ready(cut),
            // Nobody can cut it any more.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Entrance {
    /// Its name, for logs, metrics and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::RtWebSocket => "rtwebsocket",
            Self::WebSocketStream => "websocketstream",
            Self::WebSocket => "websocket",
            Self::WebTransport => "webtransport",
            Self::Quic => "quic",
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kicked => "ended by the operator",
            Self::Revoked => "no longer allowed",
            Self::Expired => "the token has expired",
        })
    }
}
