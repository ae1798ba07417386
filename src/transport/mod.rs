//! Session ↔ network: the thin shells that carry a session's bytes, and nothing about media.
//!
//! [`MessagePipe`] is what a pipe of messages must do; [`websocket`] is one; [`pipe_link`] drives a session over it.
//!
//! Invariant: what has been taken from a session can't be abandoned any more, so nothing is taken before all that was
//! taken earlier is with the kernel, and never more than one write's worth.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use thiserror::Error;

use crate::session::link::{CloseReason, LinkError};
use crate::wire::frame::Fragment;

pub mod pipe_link;
#[cfg(test)]
mod tests;
pub mod websocket;

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
    fn poll_liveness(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

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

/// Why a transport failed.
#[derive(Debug, Error)]
pub enum TransportError {
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
            TransportError::Io(error) => Self::Failed(error),
            TransportError::Protocol(what) => Self::Misbehaved(what),
            TransportError::TimedOut => Self::TimedOut,
        }
    }
}
