//! `Flows`: the flow table and the commands an application may give.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::config::Config;
use super::error::{TooManyFlows, WriteError};
use super::recv::{Receiver, Verdict};
use super::schedule::Schedule;
use super::send::{Phase, Sender, Turn};
use super::table::Table;
use super::tally::{Origin, Tally};
use super::{Deadline, Event, GroupId, Message, MessageId, Priority, RecvFlow, SendFlow};

/// The flows of one session, both ways: the one vocabulary that an application speaks on every transport.
///
/// Commands are carried out when the session is next asked what to transmit.
#[derive(Debug)]
pub struct Flows {
    pub(super) config: Config,
    pub(super) senders: Table<SendFlow, Sender>,
    pub(super) receivers: Table<RecvFlow, Receiver>,
    pub(super) schedule: Schedule,
    pub(super) answers: VecDeque<Answer>,
    pub(super) events: VecDeque<Event>,
    pub(super) queued: usize,
    room_below: Option<usize>,
    pub(super) abandoned: u64,
    tally: Tally,
    /// The widest window that any flow of the peer's was ever given.
    pub(super) widest: u64,
    /// Numbers given back, oldest first, so that one is not used again soon.
    free: VecDeque<SendFlow>,
    next_flow: u64,
    /// The flow that the last event asked about.
    pub(super) asked: Option<RecvFlow>,
}

/// What the application said of a flow of the peer's, for the wire to pass on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted(RecvFlow),
    Rejected { flow: RecvFlow, reason: u64, text: String },
}

impl Answer {
    pub(super) fn is_about(&self, flow: RecvFlow) -> bool {
        match self {
            Self::Accepted(other) | Self::Rejected { flow: other, .. } => *other == flow,
        }
    }
}

impl Flows {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            senders: Table::default(),
            receivers: Table::default(),
            schedule: Schedule::default(),
            answers: VecDeque::new(),
            events: VecDeque::new(),
            queued: 0,
            room_below: None,
            abandoned: 0,
            tally: Tally::default(),
            widest: 0,
            free: VecDeque::new(),
            next_flow: 0,
            asked: None,
        }
    }

    /// Opens a flow to the peer. `answers` associates it with a flow of the peer's (a return flow).
    ///
    /// # Errors
    /// [`TooManyFlows`].
    pub fn open(
        &mut self,
        metadata: Bytes,
        priority: Priority,
        answers: Option<RecvFlow>,
    ) -> Result<SendFlow, TooManyFlows> {
        if self.senders.len() >= self.config.max_flows {
            return Err(TooManyFlows);
        }
        let flow = self.free.pop_front().unwrap_or_else(|| {
            let flow = SendFlow(self.next_flow);
            self.next_flow += 1;
            flow
        });
        self.senders.insert(flow, Sender::new(metadata, priority, answers));
        self.schedule(flow);
        Ok(flow)
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&mut self, flow: SendFlow, message: Message) -> Result<MessageId, WriteError> {
        self.write_counted(flow, message, None)
    }

    /// The same for a message whose delay and end are to be counted: see [`Flows::take_tally`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write_counted(
        &mut self,
        flow: SendFlow,
        message: Message,
        origin: Option<Origin>,
    ) -> Result<MessageId, WriteError> {
        if self.queued >= self.config.max_queued {
            return Err(WriteError::Full);
        }
        let sender = self.writable(flow)?;
        let len = message.payload.len();
        let number = sender.push(message, origin);
        self.queued += len;
        self.schedule(flow);
        Ok(MessageId { flow, number })
    }

    /// Sends decoder configuration, in order with the flow's messages and without a deadline. Whether it is news is for the
    /// application to know: in its time alone a repeated one may differ.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn preamble(&mut self, flow: SendFlow, payload: Bytes) -> Result<(), WriteError> {
        if self.queued >= self.config.max_queued {
            return Err(WriteError::Full);
        }
        let sender = self.writable(flow)?;
        let len = payload.len();
        sender.push_preamble(payload);
        self.queued += len;
        self.schedule(flow);
        Ok(())
    }

    /// Gives up a message unless all of it has gone out, and with it those of its group that need it.
    pub fn abandon(&mut self, message: MessageId) {
        if let Some(sender) = self.senders.get_mut(message.flow) {
            sender.abandon(message.number);
            self.schedule(message.flow);
        }
    }

    /// Brings the deadlines of all messages of groups before `before` forward to `deadline`: a new key frame is here.
    /// Messages that have no deadline keep none.
    pub fn expire(&mut self, flow: SendFlow, before: GroupId, deadline: Deadline) {
        if let Some(sender) = self.senders.get_mut(flow) {
            sender.expire(before, deadline);
        }
    }

    /// Changes a flow's priority.
    pub fn prioritize(&mut self, flow: SendFlow, priority: Priority) {
        if let Some(sender) = self.senders.get_mut(flow) {
            if sender.scheduled {
                self.schedule.remove(flow);
                self.schedule.push(flow, priority);
            }
            sender.priority = priority;
        }
    }

    /// Closes a flow of ours once what is queued has gone out.
    pub fn finish(&mut self, flow: SendFlow) {
        if let Some(sender) = self.senders.get_mut(flow)
            && sender.phase == Phase::Open
        {
            sender.phase = Phase::Finishing;
            self.schedule(flow);
        }
    }

    /// Accepts a flow that the peer opened, with room for `window` unacknowledged bytes; or changes the room.
    pub fn accept(&mut self, flow: RecvFlow, window: u64) {
        if let Some(receiver) = self.receivers.get_mut(flow)
            && receiver.verdict != Verdict::Rejected
        {
            receiver.verdict = Verdict::Accepted;
            receiver.window = window;
            self.widest = self.widest.max(window);
            self.answers.push_back(Answer::Accepted(flow));
        }
    }

    /// Rejects a flow of the peer's, before or after accepting it. What still comes on it is dropped.
    pub fn reject(&mut self, flow: RecvFlow, reason: u64, text: &str) {
        if let Some(receiver) = self.receivers.get_mut(flow)
            && receiver.verdict != Verdict::Rejected
        {
            receiver.verdict = Verdict::Rejected;
            receiver.window = 0;
            receiver.drop_partial();
            self.answers.push_back(Answer::Rejected { flow, reason, text: text.to_owned() });
        }
    }

    /// Bytes written and neither sent nor abandoned, over all flows.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// The same for one flow.
    pub fn queued_on(&self, flow: SendFlow) -> usize {
        self.senders.get(flow).map_or(0, |sender| sender.queued)
    }

    /// Asks for one [`Event::Room`], when less than `below` bytes are queued.
    pub fn tell_room(&mut self, below: usize) {
        self.room_below = Some(below);
        self.check_room();
    }

    /// Messages of ours given up so far, over all flows: by deadline, by group and by hand.
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Counts a message that was given up before it was written.
    pub fn count_abandoned(&mut self, origin: Origin) {
        self.tally.gave_up(origin);
    }

    /// What became of messages since this was last asked.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Lets a flow have a turn.
    pub(super) fn schedule(&mut self, flow: SendFlow) {
        if let Some(sender) = self.senders.get_mut(flow)
            && !sender.scheduled
            && sender.has_work()
        {
            sender.scheduled = true;
            self.schedule.push(flow, sender.priority);
        }
    }

    /// The peer opened a flow.
    pub(super) fn opened(&mut self, flow: RecvFlow, answers: Option<SendFlow>, metadata: Bytes) {
        self.receivers.insert(flow, Receiver::new());
        if answers.is_some_and(|answered| !self.is_open(answered)) {
            self.reject(flow, 0, "return association not found");
        } else {
            self.events.push_back(Event::Opened { flow, metadata, answers });
        }
    }

    /// The peer closed a flow: nothing is to be said of it any more.
    pub(super) fn closed(&mut self, flow: RecvFlow) {
        self.receivers.remove(flow);
        self.answers.retain(|answer| !answer.is_about(flow));
        self.events.push_back(Event::Closed { flow });
    }

    /// Whether the peer may still be answered on a flow of ours.
    pub(super) fn is_open(&self, flow: SendFlow) -> bool {
        self.senders.get(flow).is_some_and(|sender| sender.phase != Phase::Closed)
    }

    /// Forgets a closed flow; whether it was closed.
    pub(super) fn forget(&mut self, flow: SendFlow) -> bool {
        let closed = self.senders.get(flow).is_some_and(|sender| sender.phase == Phase::Closed);
        if closed {
            self.senders.remove(flow);
        }
        closed
    }

    /// Lets a forgotten flow's number be used again.
    pub(super) fn free(&mut self, flow: SendFlow) {
        self.free.push_back(flow);
    }

    /// Takes decoder configuration from the head of a flow's queue.
    pub(super) fn take_preamble(&mut self, flow: SendFlow) -> Option<Bytes> {
        let preamble = self.senders.get_mut(flow)?.take_preamble()?;
        self.queued -= preamble.len();
        self.check_room();
        Some(preamble)
    }

    /// The flow whose turn it is.
    pub(super) fn next_scheduled(&mut self) -> Option<SendFlow> {
        let flow = self.schedule.pop()?;
        if let Some(sender) = self.senders.get_mut(flow) {
            sender.scheduled = false;
        }
        Some(flow)
    }

    /// Takes a flow's turn, sending at most `allowance` payload bytes (`None`: nothing of a message), and lets it have another if there is more.
    pub(super) fn turn(&mut self, flow: SendFlow, now: Instant, allowance: Option<usize>) -> Turn {
        let Some(sender) = self.senders.get_mut(flow) else { return Turn::Idle };
        let before = sender.queued;
        let turn = sender.turn(now, allowance, &mut self.tally);
        self.queued -= before - sender.queued;
        self.check_room();
        match turn {
            Turn::Idle => {}
            Turn::Abandon { messages } => {
                self.abandoned += messages;
                self.schedule(flow);
            }
            Turn::Open | Turn::Data(_) | Turn::Close => self.schedule(flow),
        }
        turn
    }

    /// The peer does not want a flow: gives up what is queued and finishes it.
    pub(super) fn rejected(&mut self, flow: SendFlow) {
        if let Some(sender) = self.senders.get_mut(flow) {
            sender.abandon_all();
        }
        self.finish(flow);
        self.schedule(flow);
    }

    /// Rejects the flow that the last event asked about, unless it was answered.
    pub(super) fn settle_asked(&mut self) {
        if let Some(flow) = self.asked.take()
            && self.receivers.get(flow).is_some_and(|receiver| receiver.verdict == Verdict::Asked)
        {
            self.reject(flow, 0, "not accepted");
        }
    }

    fn check_room(&mut self) {
        if self.room_below.take_if(|below| self.queued < *below).is_some() {
            self.events.push_back(Event::Room);
        }
    }

    fn writable(&mut self, flow: SendFlow) -> Result<&mut Sender, WriteError> {
        self.senders.get_mut(flow).filter(|sender| sender.phase == Phase::Open).ok_or(WriteError::Closed)
    }
}
