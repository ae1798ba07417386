use thiserror::Error;

use super::chunk::ChunkError;
use crate::authority::Denial;
use crate::broadcast::{Replaced, UnsupportedCodec};
use crate::wire::tc::TcError;

/// Why a publisher's connection ended, when not by its own orderly leaving.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] std::io::Error),
    /// The peer broke the protocol or its limits.
    #[error("the peer misbehaved: {0}")]
    Misbehaved(#[from] Misbehaved),
    /// The peer sends what this gateway can't carry; it has been told so.
    #[error(transparent)]
    UnsupportedCodec(#[from] UnsupportedCodec),
    /// The peer may not publish what it wants to; it has been told so.
    #[error("refused: {0}")]
    Denied(#[from] Denial),
    /// The peer took too long.
    #[error("no {0} in time")]
    TimedOut(Awaited),
    /// Another publisher has taken the stream.
    #[error(transparent)]
    Replaced(#[from] Replaced),
}

impl IngestError {
    /// What the peer is told.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Denied(denial) => denial.told(),
            other => other.to_string(),
        }
    }
}

/// What a peer has to send within a time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The handshake, to its end.
    Handshake,
    /// A stream to publish.
    Publish,
    /// Something of its stream. Other bytes don't count: they show nothing to viewers.
    Media,
}

impl std::fmt::Display for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Awaited::Handshake => "handshake",
            Awaited::Publish => "publish command",
            Awaited::Media => "media",
        })
    }
}

/// How a peer broke the protocol. Close the connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Misbehaved {
    /// It doesn't speak RTMP.
    #[error("handshake: {0}")]
    Handshake(String),
    /// Its chunks can't be read.
    #[error(transparent)]
    Chunks(#[from] ChunkError),
    /// A command can't be read.
    #[error("command: {0}")]
    Command(#[from] TcError),
    /// A command before `connect`, or a second one.
    #[error("command {0} out of order")]
    OutOfOrder(String),
    /// A control message is too short.
    #[error("truncated {0}")]
    Truncated(&'static str),
}
