//! One flow of a played stream.

use bytes::Bytes;

use super::error::Over;
use crate::session::error::WriteError;
use crate::session::tally::Origin;
use crate::session::{Deadline, Flows, GroupId, Message, Priority, RecvFlow, SendFlow};
use crate::wire::tc::{FlowMetadata, StreamId};
use crate::wire::tlv;

/// Most bytes that wait on a flow before something more is told on it. Stops floods of commands whose answers are not read
/// from filling memory; twice what the stream itself, by [`Config::queue_bytes`](super::Config::queue_bytes), has there at most.
const MAX_UNREAD: usize = 1 << 20;

/// A flow of ours that is opened with its first message, as genuine servers do.
///
/// It answers the viewer's control flow: genuine clients reject one that answers their stream's flow, or none.
#[derive(Debug)]
pub(super) struct Outlet {
    carries: Carries,
    stream: StreamId,
    answers: RecvFlow,
    priority: Priority,
    state: State,
}

/// In which form a flow's messages are, which its metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// RTMP messages.
    Tc,
    /// A track's messages of the format `fmp4`.
    Tlv(tlv::Track),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unopened,
    Open(SendFlow),
    /// The viewer does not want it, and is not asked again: it could go on rejecting for ever.
    Refused,
}

/// What became of a message.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It is queued, or the viewer has said that it does not want the flow.
    Queued,
    /// The session has no room for it: it is lost.
    Lost,
}

impl Outlet {
    /// A flow of `stream` to be opened.
    pub(super) fn new(carries: Carries, stream: StreamId, answers: RecvFlow, priority: Priority) -> Self {
        Self { carries, stream, answers, priority, state: State::Unopened }
    }

    /// Queues a message, to be counted as what it comes from says.
    ///
    /// # Errors
    /// [`Over::TooManyFlows`] when it is the first and no flow can be opened for it.
    pub(super) fn write(
        &mut self,
        flows: &mut Flows,
        message: Message,
        origin: Option<Origin>,
    ) -> Result<Written, Over> {
        match self.flow(flows)? {
            Some(flow) => Ok(self.written(flows.write_counted(flow, message, origin).map(|_| ()))),
            None => Ok(Written::Queued),
        }
    }

    /// Queues what must not be lost: a status, a command.
    ///
    /// # Errors
    /// [`Over::Unread`] when there is no room for it, and as [`Outlet::write`].
    pub(super) fn tell(&mut self, flows: &mut Flows, payload: Bytes) -> Result<(), Over> {
        if let State::Open(flow) = self.state
            && flows.queued_on(flow) >= MAX_UNREAD
        {
            return Err(Over::Unread);
        }
        match self.write(flows, lasting(payload), None)? {
            Written::Queued => Ok(()),
            Written::Lost => Err(Over::Unread),
        }
    }

    /// Sends decoder configuration.
    ///
    /// # Errors
    /// As [`Outlet::write`].
    pub(super) fn preamble(&mut self, flows: &mut Flows, payload: Bytes) -> Result<Written, Over> {
        match self.flow(flows)? {
            Some(flow) => Ok(self.written(flows.preamble(flow, payload))),
            None => Ok(Written::Queued),
        }
    }

    /// Brings forward the deadlines of what is queued of groups before `before`.
    pub(super) fn expire(&self, flows: &mut Flows, before: GroupId, deadline: Deadline) {
        if let State::Open(flow) = self.state {
            flows.expire(flow, before, deadline);
        }
    }

    /// Closes the flow once what is queued has gone out. The next message opens another.
    pub(super) fn finish(&mut self, flows: &mut Flows) {
        if let State::Open(flow) = self.state {
            flows.finish(flow);
        }
        self.state = State::Unopened;
    }

    /// Takes in that the viewer rejected `flow`, which may be this one.
    pub(super) fn handle_rejected(&mut self, flow: SendFlow) {
        if self.state == State::Open(flow) {
            self.state = State::Refused;
        }
    }

    /// Whether the viewer gets messages here.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    fn flow(&mut self, flows: &mut Flows) -> Result<Option<SendFlow>, Over> {
        match self.state {
            State::Unopened => {
                let metadata = match self.carries {
                    Carries::Tc => FlowMetadata::new(self.stream).encode(),
                    Carries::Tlv(track) => tlv::flow_metadata(track, self.stream),
                };
                let flow = flows.open(metadata, self.priority, Some(self.answers))?;
                self.state = State::Open(flow);
                Ok(Some(flow))
            }
            State::Open(flow) => Ok(Some(flow)),
            State::Refused => Ok(None),
        }
    }

    fn written(&mut self, result: Result<(), WriteError>) -> Written {
        match result {
            Ok(()) => Written::Queued,
            // The rejection is among the events that are still to come.
            Err(WriteError::Closed) => {
                self.state = State::Refused;
                Written::Queued
            }
            Err(WriteError::Full) => Written::Lost,
        }
    }
}

/// A message that never expires and needs no other.
pub(super) fn lasting(payload: Bytes) -> Message {
    Message { payload, group: GroupId::default(), needs_previous: false, deadline: Deadline::default() }
}
