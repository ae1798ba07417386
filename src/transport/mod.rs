//! Session ↔ network: the thin shells that carry a session's bytes, and nothing about media.
//!
//! [`MessagePipe`] is what a pipe of messages must do; [`websocket`] is one; [`pipe_link`] drives a session over it.
//! [`StreamMux`] is what a bundle of streams must do; [`quic`] and [`webtransport`] are two.
//!
//! Invariant: what has been taken from a session can't be abandoned any more, so nothing is taken before all that was
//! taken earlier is with the kernel, and never more than one write's worth.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::session::link::{CloseReason, LinkError};
use crate::wire::frame::Fragment;
use crate::wire::lane::LaneCode;

mod arrivals;
mod congestion;
#[cfg(test)]
mod lane_tests;
pub mod pipe_link;
pub mod quic;
pub mod stream_link;
#[cfg(test)]
mod tests;
mod timer;
pub mod websocket;
pub mod webtransport;

/// An ordered, reliable pipe of messages with shallow buffers.
pub trait MessagePipe: Send {
    /// The next message from the peer; `None` once it has closed in order.
    ///
    /// # Errors
    /// [`TransportError`], after which the pipe is of no use.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>>;

    /// Ready once all that was given to [`MessagePipe::start_send`] is with the kernel.
    ///
    /// # Errors
    /// [`TransportError`].
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Ready when a silent peer has been asked for a sign of life, for which a flush is due.
    ///
    /// # Errors
    /// [`TransportError::TimedOut`] when it has been silent for too long.
    fn poll_liveness(&mut self, cx: &mut Context<'_>, now: tokio::time::Instant) -> Poll<Result<(), TransportError>>;

    /// Whether the write being gathered has room for another message.
    fn has_room(&self) -> bool;

    /// Adds a message to the write being gathered.
    fn start_send(&mut self, message: Fragment);

    /// Says goodbye, for a reason, behind what is gathered.
    fn start_close(&mut self, reason: CloseReason);

    /// Ready once everything is sent and the sending side is shut.
    ///
    /// # Errors
    /// [`TransportError`].
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;
}

/// Unidirectional streams ("lanes") to one peer and from it, with priorities and shallow buffers.
pub trait StreamMux: Send {
    /// A lane that this side opened.
    type Send: SendLane;
    /// A lane that the peer opened.
    type Recv: RecvLane;

    /// Opens a lane, as soon as the peer allows another.
    ///
    /// # Errors
    /// [`TransportError`], after which the mux and its lanes are of no use.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Send, TransportError>>;

    /// The next lane that the peer opened. Also notices the end of the connection.
    ///
    /// # Errors
    /// [`TransportError`].
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Recv, TransportError>>;

    /// What the transport has measured of the way to the peer.
    fn measure(&self) -> Measured;

    /// Bounds the bytes that the transport holds of all lanes together, unsent or not yet acknowledged. Lanes take no more
    /// beyond it.
    fn limit_in_flight(&mut self, bytes: u64);

    /// Bounds the bytes of the peer's lanes together that have come and were not read, from the next bytes on. More than before.
    fn limit_unread(&mut self, bytes: u64);

    /// Says goodbye, for a reason. Ready once nothing is left to wait for; the lanes are of no use from the first call on.
    fn poll_close(&mut self, cx: &mut Context<'_>, reason: CloseReason) -> Poll<()>;
}

/// A lane that this side opened. Dropped without [`SendLane::finish`], it is reset.
pub trait SendLane: Send {
    /// Sets its precedence among all lanes: more is more urgent.
    fn set_priority(&mut self, priority: i32);

    /// Hands bytes to the transport, without a copy of long ones. Ready once all of `chunks` is with it; until then they hold
    /// what is left.
    ///
    /// # Errors
    /// [`LaneError`].
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<(), LaneError>>;

    /// Ends it in order, behind all that was written. Never waits.
    fn finish(&mut self);

    /// Ready once a finished lane has come whole, or is not wanted, or never will come.
    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Drops what the peer has not got, and tells it why.
    fn reset(self, code: LaneCode);
}

/// A lane that the peer opened. Dropped before its end, it is stopped.
pub trait RecvLane: Send {
    /// Its next bytes, at most `max`; `None` once it has ended in order.
    ///
    /// # Errors
    /// [`LaneError`].
    fn poll_read(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Result<Option<Bytes>, LaneError>>;

    /// Tells the peer that no more of it is wanted.
    fn stop(self, code: LaneCode);
}

/// What a transport knows of the way to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// The least round-trip time on this path.
    pub least_rtt: Duration,
    /// Bytes that congestion control lets be in flight.
    pub congestion_window: u64,
    /// How many acknowledgements have come.
    pub acks: u64,
}

/// Why a lane takes or gives no more.
#[derive(Debug, Error)]
pub enum LaneError {
    /// The peer reset a lane of its own, or stopped one of ours. The other lanes go on.
    #[error("given up by the peer")]
    GivenUp,
    /// The connection is gone, and all lanes with it.
    #[error(transparent)]
    Lost(#[from] TransportError),
}

/// Why a transport failed.
#[derive(Debug, Error)]
pub enum TransportError {
    /// The peer closed the connection in order.
    #[error("closed by the peer")]
    Closed,
    /// The socket failed: the world's fault.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer broke the transport's protocol.
    #[error("{0}")]
    Protocol(String),
    /// The peer has been silent for too long and did not answer pings.
    #[error("the peer does not answer")]
    TimedOut,
}

impl From<TransportError> for LinkError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Closed => Self::Closed,
            TransportError::Io(error) => Self::Failed(error),
            TransportError::Protocol(what) => Self::Misbehaved(what),
            TransportError::TimedOut => Self::TimedOut,
        }
    }
}

/// What the peer is told when a connection of streams is closed: WebSocket's numbers (RFC 6455 §7.4.1), so that there is one
/// table for every transport.
fn goodbye(reason: CloseReason) -> (u32, &'static str) {
    match reason {
        CloseReason::Done => (1000, "done"),
        CloseReason::GoingAway => (1001, "going away"),
        CloseReason::Misbehaved => (1002, "protocol violated"),
        CloseReason::NotAllowed => (1008, "not allowed"),
        CloseReason::TryAgainLater => (1013, "try again later"),
        CloseReason::Idle => (1000, "nothing is played or published"),
    }
}
