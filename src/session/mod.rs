//! The sans-IO session core: RTWebSocket's flows over any transport.
//!
//! A [`Session`] reads no clock and touches no socket. Its driver, a [`link`], keeps this contract:
//!
//! 1. After any `&mut` call (input, timeout, or a command through [`Session::flows`]) take everything from
//!    [`Session::poll_transmit`] that the transport has room for, then everything from [`Session::poll_event`], then
//!    arm a timer for [`Session::poll_timeout`].
//! 2. Take every event before the next input: an opened flow that is not accepted by then is rejected.
//! 3. Give nothing of the peer's while [`Session::accepts_input`] says no: answers are waiting for a peer that does not read.
//!
//! | specification | what of it |
//! |---|---|
//! | RTWebSocket (zenomt/rtwebsocket, `protocol`) | messages, windows, acknowledgements, life of a flow |
//! | RFC 7016 §2.1, §3.6 | priorities, abandonment, the vocabulary |
//!
//! Invariant: nothing here knows what a message means.

pub mod config;
pub mod error;
pub mod flows;
pub mod link;
pub mod pipe;
mod recv;
mod schedule;
mod send;
pub mod streams;
mod table;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod timer;
pub mod tlv;
pub mod wire;

use std::time::Instant;

use bytes::Bytes;

pub use self::config::Config;
pub use self::error::PeerMisbehaved;
pub use self::flows::Flows;
use self::link::PathStats;
pub use self::pipe::Pipe;
pub use self::streams::Streams;
pub use self::timer::Timer;
pub use self::tlv::Tlv;
use self::wire::Wire;

/// One conversation with one peer: the flows of both sides on one wire. The module's docs state the order of calls.
#[derive(Debug)]
pub struct Session<W> {
    flows: Flows,
    wire: W,
}

impl<W: Wire> Session<W> {
    /// A session before its first byte. Both sides are alike: either may open flows at once.
    pub fn new(config: Config) -> Self {
        Self { wire: W::new(&config), flows: Flows::new(config) }
    }

    /// The flows, to give commands.
    pub fn flows(&mut self) -> &mut Flows {
        &mut self.flows
    }

    /// Takes in what came from the peer.
    ///
    /// # Errors
    /// [`PeerMisbehaved`]: close the connection, nothing more is to be had from this session.
    pub fn handle_input(&mut self, now: Instant, input: W::Input) -> Result<(), PeerMisbehaved> {
        self.flows.settle_asked();
        self.wire.handle_input(&mut self.flows, now, input)
    }

    /// Takes in that the time of [`Session::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.wire.handle_timeout(&mut self.flows, now);
    }

    /// The next thing to send. Call it only when it can be handed to the transport: what it gives can't be taken back.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<W::Transmit> {
        self.wire.poll_transmit(&mut self.flows, now)
    }

    /// What the peer did.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.flows.settle_asked();
        let event = self.flows.events.pop_front();
        if let Some(Event::Opened { flow, .. }) = event {
            self.flows.asked = Some(flow);
        }
        event
    }

    /// When to call [`Session::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.wire.poll_timeout(&self.flows)
    }

    /// The widest window that any flow of the peer's was ever given, in bytes: what the application means to let come unread.
    pub fn widest_window(&self) -> u64 {
        self.flows.widest
    }

    /// Whether more input may be given before output has been taken.
    pub fn accepts_input(&self) -> bool {
        self.wire.accepts_input()
    }

    /// What is known of the way to the peer.
    pub fn path(&self) -> PathStats {
        self.wire.path()
    }
}

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
    /// Less is queued now than [`Flows::tell_room`] was given.
    Room,
}
