//! Who is here, by what right, and how they are cut off.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;

use super::limits::{Meter, tenant};
use super::policy::{Basis, Claim, Decision, Denial, Policy};
use super::{Action, Secret};

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) address: SocketAddr,
    entrance: Entrance,
    since: SystemTime,
    /// How long it was seen to do nothing, since the sweep that saw it first.
    idle: Option<Duration>,
    /// Until it is cut.
    leash: Option<oneshot::Sender<Cut>>,
    /// What counts its bytes: of the tenant that last let it view something, also when that has ended, since what was sent may be told later.
    pub(super) meter: Option<Arc<Meter>>,
    pub(super) uses: BTreeMap<u64, Box<Held>>,
}

/// What is granted.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) action: Action,
    pub(super) path: Arc<str>,
    pub(super) basis: Basis,
    pub(super) rate: u64,
    /// For the next policy to look at.
    pub(super) credential: Option<Secret>,
    pub(super) life: Life,
}

/// How long something is still granted. It was said as a time of day; from then on it is counted, since the time of day may
/// be set while a session lasts.
#[derive(Debug, Default)]
pub(super) struct Life {
    left: Option<Duration>,
    /// Whether the time since the last sweep is its own.
    is_swept: bool,
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
    /// It has done nothing for too long.
    Idle,
    /// Its tenant's viewers take more than they may.
    NoRoom,
}

/// What a session does by right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// What.
    pub action: Action,
    /// Of which stream: `app/name`.
    pub path: Arc<str>,
    /// By what right: a key's name, a token's `sub`, `open` or `hook`.
    pub by: Arc<str>,
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
    pub since: SystemTime,
    /// What it does.
    pub uses: Vec<Use>,
}

/// Done when a session is to be ended. Cancel safe.
#[derive(Debug)]
pub struct Leash(oneshot::Receiver<Cut>);

impl Life {
    pub(super) fn new(basis: &Basis, now: SystemTime) -> Self {
        let left = basis.expires.map(|expires| expires.duration_since(now).unwrap_or_default());
        Self { left, is_swept: false }
    }

    pub(super) fn is_over_after(&mut self, elapsed: Duration) -> bool {
        let Some(left) = &mut self.left else { return false };
        if std::mem::replace(&mut self.is_swept, true) {
            *left = left.saturating_sub(elapsed);
        }
        left.is_zero()
    }
}

impl Held {
    /// Why it would not be granted now. What the hook has granted stays.
    pub(super) fn denial(
        &self,
        policy: &Policy,
        revoked: &HashSet<String>,
        address: IpAddr,
        now: SystemTime,
    ) -> Option<Denial> {
        let claim = Claim { action: self.action, path: &self.path, address, credential: self.credential.as_ref() };
        match policy.decide(&claim, &|name| revoked.contains(name), now) {
            Decision::Denied(denial) => Some(denial),
            Decision::Granted(_) | Decision::Unknown => None,
        }
    }
}

impl Session {
    /// One that does nothing yet, and what ends it.
    pub(super) fn new(address: SocketAddr, entrance: Entrance, now: SystemTime) -> (Self, Leash) {
        let (leash, cut) = oneshot::channel();
        let leash = Some(leash);
        (Self { address, entrance, since: now, idle: None, leash, meter: None, uses: BTreeMap::new() }, Leash(cut))
    }

    /// Keeps what it is granted.
    pub(super) fn hold(&mut self, number: u64, held: Held, meter: Arc<Meter>) {
        self.idle = None;
        if held.action == Action::View {
            self.meter = Some(meter);
        }
        self.uses.insert(number, Box::new(held));
    }

    /// How many of the tenant's streams it views, if it publishes none.
    pub(super) fn views(&self, of: &str) -> usize {
        if self.uses.values().any(|held| held.action == Action::Publish) {
            return 0;
        }
        self.uses.values().filter(|held| tenant(&held.path) == of).count()
    }

    /// Whether it was there to be cut.
    pub(super) fn cut(&mut self, why: Cut) -> bool {
        // An error is a connection that ends already.
        self.leash.take().is_some_and(|leash| leash.send(why).is_ok())
    }

    /// Whether it has neither published nor viewed for `timeout`. Who waits for a publisher views.
    pub(super) fn is_idle_after(&mut self, elapsed: Duration, timeout: Duration) -> bool {
        let idle = self.idle.map_or(Duration::ZERO, |idle| idle + elapsed);
        self.idle = self.uses.is_empty().then_some(idle);
        self.idle.is_some_and(|idle| idle >= timeout)
    }

    pub(super) fn summary(&self, id: SessionId) -> Summary {
        let uses = self.uses.values().map(|held| Use {
            action: held.action,
            path: Arc::clone(&held.path),
            by: Arc::clone(&held.basis.name),
        });
        Summary { id, address: self.address, entrance: self.entrance, since: self.since, uses: uses.collect() }
    }
}

impl Future for Leash {
    type Output = Cut;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cut> {
        // Even when the task has had its turn, as in a flood: who floods is to be cut all the same.
        match pin!(unconstrained(&mut self.0)).poll(cx) {
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
            Self::Idle => "nothing is played or published",
            Self::NoRoom => "its application takes more than it may",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;

    use tokio::task::coop;

    use super::*;

    #[tokio::test]
    async fn a_task_that_has_had_its_turn_is_cut_all_the_same() {
        let address = (Ipv4Addr::LOCALHOST, 1).into();
        let (mut session, mut leash) = Session::new(address, Entrance::RtWebSocket, SystemTime::UNIX_EPOCH);
        assert!(session.cut(Cut::Kicked));
        while coop::has_budget_remaining() {
            coop::consume_budget().await;
        }
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut leash).poll(cx))).await;
        assert_eq!(polled, Poll::Ready(Cut::Kicked));
    }
}
