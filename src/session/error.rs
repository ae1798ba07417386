//! What can go wrong in a session, sorted by whose fault it is.

use thiserror::Error;

use crate::wire::frame::TruncatedFrame;
use crate::wire::lane::MalformedLane;
use crate::wire::tlv::TlvError;

/// The peer broke the protocol or its limits. The session is over; nobody else's is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeerMisbehaved {
    /// A message that can't be read.
    #[error(transparent)]
    Malformed(#[from] TruncatedFrame),
    /// A lane that can't be read.
    #[error(transparent)]
    Lane(#[from] MalformedLane),
    /// The same of a client without flows.
    #[error(transparent)]
    MalformedTlv(#[from] TlvError),
    /// The same client acknowledges more than it was sent.
    #[error("an acknowledgement of {bytes} bytes, of {sent} that were sent")]
    AckOfMore {
        /// What it acknowledges.
        bytes: u64,
        /// What was sent.
        sent: u64,
    },
    /// A message about a flow that is not open.
    #[error("{what} for flow {flow}, which is not open")]
    UnknownFlow {
        /// The message.
        what: &'static str,
        /// The flow's number.
        flow: u64,
    },
    /// A flow was opened under a number in use.
    #[error("flow {flow} is open already")]
    FlowInUse {
        /// The number.
        flow: u64,
    },
    /// A flow was opened under a number that is not above all before it, where numbers are not used again.
    #[error("flow {flow} is opened out of order")]
    FlowOutOfOrder {
        /// The number.
        flow: u64,
    },
    /// A lane came under a number in use, or behind the last one of a closed flow.
    #[error("lane {lane} of flow {flow} is out of order")]
    LaneOutOfOrder {
        /// The flow.
        flow: u64,
        /// The lane's number in the flow.
        lane: u64,
    },
    /// More lanes than may be open at a time.
    #[error("more than {limit} lanes")]
    TooManyLanes {
        /// The limit.
        limit: usize,
    },
    /// A session has one control lane.
    #[error("a second control lane")]
    SecondControlLane,
    /// The control lane was finished or reset, which no session outlives.
    #[error("the control lane ended")]
    ControlLaneEnded,
    /// More waits for the peer on the control lane than is kept for anyone.
    #[error("the control lane is not read")]
    ControlLaneUnread,
    /// More flows than a session may have.
    #[error("more than {limit} flows")]
    TooManyFlows {
        /// The limit.
        limit: usize,
    },
    /// A message longer than this side puts together.
    #[error("a message of more than {limit} bytes on flow {flow}")]
    MessageTooLong {
        /// The flow.
        flow: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// An acknowledgement of more than was sent.
    #[error("an acknowledgement of bytes never sent on flow {flow}")]
    AckBeyondSent {
        /// The flow.
        flow: u64,
    },
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The flow is finished, rejected or unknown. Open another.
    #[error("the flow is closed")]
    Closed,
    /// The session's queue is at its bound. Wait until it has been sent, or expire something.
    #[error("the queue is full")]
    Full,
}

/// As many flows are open as a session may have. Finish one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many flows are open")]
pub struct TooManyFlows;
