//! `Streams`: flows over many unidirectional streams, a group of messages on each.
//!
//! | what | where |
//! |---|---|
//! | the bytes, and what both sides must do | [`wire::lane`](crate::wire::lane) |
//! | streams, their flow control and errors | RFC 9000 §2–4, §19.4–19.5 |
//!
//! What may go out is bounded by the transport: a lane that takes no more is [blocked](LaneInput::Blocked), and what is
//! queued behind it stays in the flow, where it can expire.

mod inbound;
mod reader;
mod receiving;
mod sending;

use std::time::Instant;

use bytes::Bytes;

use self::receiving::Receiving;
use self::sending::Sending;
use super::config::Config;
use super::error::PeerMisbehaved;
use super::flows::{Answer, Flows};
use super::link::PathStats;
use super::timer::Timer;
use super::wire::{Wire, sealed};
use crate::wire::frame::Fragment;
use crate::wire::lane::{LaneCode, Record};

/// Most memory, in bytes, of records that wait for a peer that does not read the control lane. No input is taken beyond, so that a
/// flood of flows, each of which is rejected, fills the flooder's own buffers.
const MAX_RECORDS: usize = 64 << 10;

/// The same, beyond which the session is over: a peer that stops each lane as it opens has one record a frame wait for it, and
/// gives no input to be refused. One that only stands still has one a group.
const MAX_UNREAD: usize = 4 * MAX_RECORDS;

/// Lanes.
#[derive(Debug)]
pub struct Streams {
    sending: Sending,
    receiving: Receiving,
}

impl sealed::Sealed for Streams {}

impl Wire for Streams {
    type Input = LaneInput;
    type Transmit = LaneTransmit;

    fn new(config: &Config) -> Self {
        Self { sending: Sending::new(config.fragment_size), receiving: Receiving::new(config) }
    }

    fn handle_input(&mut self, flows: &mut Flows, now: Instant, input: LaneInput) -> Result<(), PeerMisbehaved> {
        self.settle_answers(flows);
        let Self { sending, receiving } = self;
        match input {
            LaneInput::Received { lane, data } => receiving.handle_received(flows, sending, now, lane, data)?,
            LaneInput::Finished { lane } => receiving.handle_finished(flows, sending, lane)?,
            LaneInput::Reset { lane } => receiving.handle_reset(flows, sending, lane)?,
            LaneInput::Blocked { lane } => sending.handle_blocked(lane),
            LaneInput::Writable { lane } => sending.handle_writable(flows, lane),
            LaneInput::Stopped { lane } => sending.handle_stopped(flows, lane),
        }
        if sending.waiting() > MAX_UNREAD { Err(PeerMisbehaved::ControlLaneUnread) } else { Ok(()) }
    }

    fn handle_timeout(&mut self, flows: &mut Flows, now: Instant) {
        self.settle_answers(flows);
        self.sending.handle_timeout(flows, now);
        self.receiving.handle_timeout(flows, &mut self.sending, now);
    }

    fn poll_transmit(&mut self, flows: &mut Flows, now: Instant) -> Option<LaneTransmit> {
        self.settle_answers(flows);
        self.sending.poll(flows, now)
    }

    fn poll_timeout(&self, flows: &Flows) -> Option<(Instant, Timer)> {
        let late = self.sending.poll_timeout(flows).map(|at| (at, Timer::Late));
        let wait = self.receiving.poll_timeout(flows).map(|at| (at, Timer::LaneWait));
        late.into_iter().chain(wait).min_by_key(|(at, _)| *at)
    }

    fn accepts_input(&self) -> bool {
        self.sending.waiting() < MAX_RECORDS
    }

    /// The transport knows it: nothing is measured here.
    fn path(&self) -> PathStats {
        PathStats::default()
    }
}

impl Streams {
    /// Takes in what the application said of the peer's flows.
    fn settle_answers(&mut self, flows: &mut Flows) {
        while let Some(answer) = flows.answers.pop_front() {
            match answer {
                Answer::Accepted(flow) => self.receiving.handle_accepted(flows, &mut self.sending, flow),
                Answer::Rejected { flow, reason, text } => {
                    self.sending.record(Record::Exception { flow: flow.0, reason, text: text.into() });
                    self.receiving.handle_rejected(flows, &mut self.sending, flow);
                }
            }
        }
    }
}

/// A lane that this side opened, counted from 0 over the session. Lane 0 is the control lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendLaneId(pub u64);

/// A lane that the peer opened, counted by the driver from 0 in the order in which it accepted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecvLaneId(pub u64);

/// What comes from the transport. What is said of this side's own lanes may be given at any time, whether or not the session
/// accepts input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneInput {
    /// Bytes of a lane of the peer's, in order. The first ones open it.
    Received {
        /// The lane.
        lane: RecvLaneId,
        /// Its next bytes.
        data: Bytes,
    },
    /// A lane of the peer's ended in order: all of its bytes came before.
    Finished {
        /// The lane.
        lane: RecvLaneId,
    },
    /// The peer reset a lane of its own, perhaps before any of its bytes came.
    Reset {
        /// The lane.
        lane: RecvLaneId,
    },
    /// A lane of ours takes no more, or can't be opened yet: the peer, or what may be in flight, doesn't allow it.
    Blocked {
        /// The lane.
        lane: SendLaneId,
    },
    /// It does again.
    Writable {
        /// The lane.
        lane: SendLaneId,
    },
    /// The peer wants no more of a lane of ours.
    Stopped {
        /// The lane.
        lane: SendLaneId,
    },
}

/// What goes to the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneTransmit {
    /// Open a lane. What follows for it waits for its opening.
    Open {
        /// The lane.
        lane: SendLaneId,
        /// Its priority among all lanes: more is more urgent.
        priority: i32,
    },
    /// Write to a lane, behind all that was written to it.
    Data {
        /// The lane.
        lane: SendLaneId,
        /// What to write: a short head, then the shared body.
        fragment: Fragment,
    },
    /// End a lane in order. It is not blocked.
    Finish {
        /// The lane.
        lane: SendLaneId,
    },
    /// Reset a lane.
    Reset {
        /// The lane.
        lane: SendLaneId,
        /// Why.
        code: LaneCode,
    },
    /// Ask the peer to stop a lane of its own. Nothing more of it is given to the session.
    Stop {
        /// The lane.
        lane: RecvLaneId,
        /// Why.
        code: LaneCode,
    },
}
