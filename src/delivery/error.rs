//! Why a conversation is over, sorted by whose doing it is.

use thiserror::Error;

use crate::session::error::TooManyFlows;
use crate::session::link::{CloseReason, LinkError};
use crate::wire::tc::TcError;

/// Why a conversation is over. The link is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Over {
    /// The viewer closed or rejected a control flow, which is how it leaves.
    #[error("the viewer left")]
    Left,
    /// It sent what can't be read.
    #[error(transparent)]
    Unreadable(#[from] TcError),
    /// It sent a command at the wrong time, or without what the command needs.
    #[error("{0}")]
    OutOfTurn(&'static str),
    /// It asked for more flows than a session has.
    #[error(transparent)]
    TooManyFlows(#[from] TooManyFlows),
    /// It asks and does not read the answers, which would fill memory.
    #[error("answers are not read")]
    Unread,
    /// It asked again and again for what it may not have.
    #[error("not allowed")]
    NotAllowed,
    /// There is no room for it.
    #[error("no room")]
    NoRoom,
}

impl Over {
    /// What the peer is told by the way the link is closed.
    pub(super) fn close_reason(&self) -> CloseReason {
        match self {
            Over::Left => CloseReason::Done,
            Over::NotAllowed => CloseReason::NotAllowed,
            Over::NoRoom => CloseReason::TryAgainLater,
            Over::Unreadable(_) | Over::OutOfTurn(_) | Over::TooManyFlows(_) | Over::Unread => CloseReason::Misbehaved,
        }
    }

    /// What [`serve`](super::serve) returns.
    pub(super) fn into_result(self) -> Result<(), LinkError> {
        match self {
            Over::Left | Over::NotAllowed | Over::NoRoom => Ok(()),
            Over::Unreadable(_) | Over::OutOfTurn(_) | Over::TooManyFlows(_) | Over::Unread => {
                Err(LinkError::Misbehaved(self.to_string()))
            }
        }
    }
}
