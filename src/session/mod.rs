//! The sans-IO session core.
//!
//! What it is asked for in words of flows; how that is laid onto a transport is its wire's business.

pub mod flows;
pub mod link;

use std::time::Instant;

use bytes::Bytes;

pub use self::flows::Flows;

/// A flow that this side sends on. The peer refers to it in acknowledgements and return associations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendFlow(pub(crate) u64);

/// A flow that the peer sends on. Its numbers have nothing to do with [`SendFlow`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecvFlow(pub(crate) u64);

/// Precedence of a flow, 0 to 7: strict between levels, round-robin inside one. Defined by: RFC 7016 §2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// 0.
    Background,
    /// 1.
    Bulk,
    /// 2.
    Data,
    /// 3, the default of genuine peers.
    Routine,
    /// 4: video.
    Priority,
    /// 5: control, data, audio.
    Immediate,
    /// 6.
    Flash,
    /// 7.
    FlashOverride,
}

/// Number of a group of messages that depend on each other, growing with time. One flow's groups are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct GroupId(pub u64);

/// Until when a message is worth sending. `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadline {
    /// Abandon it when not a byte has gone out by then.
    pub start_by: Option<Instant>,
    /// Abandon it when its last byte has not gone out by then.
    pub finish_by: Option<Instant>,
}

/// A message to send.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its bytes, shared with every other viewer that gets them.
    pub payload: Bytes,
    /// The group it belongs to.
    pub group: GroupId,
    /// It is of no use when the message before it in its group was abandoned.
    pub needs_previous: bool,
    /// Until when it is worth sending.
    pub deadline: Deadline,
}

/// A message given to a flow, to name it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The flow.
    pub flow: SendFlow,
    /// Its number on that flow, from 1.
    pub number: u64,
}

/// What the peer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It opened a flow. Unless [`Flows::accept`] is called before the next event is taken, the flow is rejected.
    Opened {
        /// The new flow.
        flow: RecvFlow,
        /// What it is for, in the application's terms.
        metadata: Bytes,
        /// The flow of ours that it answers.
        answers: Option<SendFlow>,
    },
    /// A whole message came on an accepted flow.
    Message {
        /// The flow.
        flow: RecvFlow,
        /// Its bytes.
        payload: Bytes,
    },
    /// Messages of an accepted flow will never come: the peer abandoned them.
    Gap {
        /// The flow.
        flow: RecvFlow,
        /// How many.
        messages: u64,
    },
    /// The peer finished a flow of its own, accepted or rejected; nothing more comes on it.
    Closed {
        /// The flow.
        flow: RecvFlow,
    },
    /// The peer does not want a flow of ours. What was queued is abandoned and the flow is finished.
    Rejected {
        /// The flow.
        flow: SendFlow,
        /// The peer's reason; genuine peers know only 0.
        reason: u64,
        /// The peer's words.
        text: String,
    },
}
