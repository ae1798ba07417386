//! `Flows`: the flow table and the commands an application may give.

use bytes::Bytes;
use thiserror::Error;

use super::{Deadline, GroupId, Message, MessageId, Priority, RecvFlow, SendFlow};

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The flow is finished, rejected or unknown. Open another.
    #[error("the flow is closed")]
    Closed,
    /// The session's queue is at its bound. Wait until [`Flows::queued`] falls, or expire something.
    #[error("the queue is full")]
    Full,
}

/// Too many flows are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many flows are open")]
pub struct TooManyFlows;

/// The flows of one session, both ways.
#[derive(Debug, Default)]
pub struct Flows {}

impl Flows {
    /// Opens a flow to the peer. `answers` associates it with a flow of the peer's (a return flow).
    ///
    /// # Errors
    /// [`TooManyFlows`].
    pub fn open(
        &mut self,
        _metadata: Bytes,
        _priority: Priority,
        _answers: Option<RecvFlow>,
    ) -> Result<SendFlow, TooManyFlows> {
        todo!("session")
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&mut self, _flow: SendFlow, _message: Message) -> Result<MessageId, WriteError> {
        todo!("session")
    }

    /// Sends decoder configuration in order with the flow's messages; it never expires. The same bytes as last time are not sent again.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn preamble(&mut self, _flow: SendFlow, _payload: Bytes) -> Result<(), WriteError> {
        todo!("session")
    }

    /// Gives up a message unless all of it has gone out, and with it those that need it.
    pub fn abandon(&mut self, _message: MessageId) {
        todo!("session")
    }

    /// Brings the deadlines of all messages of groups before `before` forward to `deadline`: a new key frame is here.
    pub fn expire(&mut self, _flow: SendFlow, _before: GroupId, _deadline: Deadline) {
        todo!("session")
    }

    /// Changes a flow's priority.
    pub fn prioritize(&mut self, _flow: SendFlow, _priority: Priority) {
        todo!("session")
    }

    /// Closes a flow of ours once what is queued has gone out.
    pub fn finish(&mut self, _flow: SendFlow) {
        todo!("session")
    }

    /// Accepts a flow that the peer opened, with room for `window` unacknowledged bytes.
    pub fn accept(&mut self, _flow: RecvFlow, _window: u64) {
        todo!("session")
    }

    /// Rejects a flow of the peer's, before or after accepting it.
    pub fn reject(&mut self, _flow: RecvFlow, _reason: u64, _text: &str) {
        todo!("session")
    }

    /// Bytes written and neither sent nor abandoned, over all flows.
    pub fn queued(&self) -> usize {
        todo!("session")
    }

    /// The same for one flow.
    pub fn queued_on(&self, _flow: SendFlow) -> usize {
        todo!("session")
    }

    /// Messages of ours given up so far, over all flows: by deadline, by group and by hand.
    pub fn abandoned(&self) -> u64 {
        todo!("session")
    }
}
