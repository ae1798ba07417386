//! `Link`: the port that delivery calls and transport implements.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;

use super::{Event, Flows};

/// What is known of the way to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathStats {
    /// Smoothed round-trip time, `None` until measured.
    pub rtt: Option<Duration>,
    /// Bytes sent and not yet acknowledged.
    pub in_flight: u64,
    /// Bytes that may be in flight.
    pub limit: u64,
}

/// Why a link ended.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The peer left in order.
    #[error("closed by the peer")]
    Closed,
    /// The peer broke the protocol.
    #[error("the peer misbehaved: {0}")]
    Misbehaved(String),
    /// The connection failed.
    #[error("connection failed: {0}")]
    Failed(#[source] std::io::Error),
    /// The peer has not answered for too long.
    #[error("the peer does not answer")]
    TimedOut,
}

/// Why this side ends a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// All is done.
    Done,
    /// The gateway is shutting down.
    GoingAway,
    /// The peer broke the protocol or its limits.
    Misbehaved,
    /// The peer may not have what it wants, or not any more.
    NotAllowed,
    /// There is no room now; there may be later.
    TryAgainLater,
    /// The peer has done nothing for too long.
    Idle,
}

/// One session on one connection.
pub trait Link: Send {
    /// Sends and receives until the peer did something. Cancel safe.
    ///
    /// Commands given to [`Link::flows`] take effect when this is called next.
    ///
    /// # Errors
    /// [`LinkError`], after which the link is of no use.
    fn next(&mut self) -> impl Future<Output = Result<Event, LinkError>> + Send;

    /// The session's flows.
    fn flows(&mut self) -> &mut Flows;

    /// What is known of the way to the peer.
    fn path(&self) -> PathStats;

    /// Sends what is queued and may go out at once, says goodbye and closes. Bounded in time.
    fn close(self, reason: CloseReason) -> impl Future<Output = ()> + Send;
}
