//! One flow of ours: its queue, groups and deadlines.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::tally::{Origin, Tally};
use super::{Deadline, GroupId, Message, Priority, RecvFlow};

/// Messages that an empty queue keeps room for. A group given to a viewer that joins, or a stall, needs a hundred times
/// what live frames need, and its room would be kept for the viewer's whole life.
const QUEUE_KEPT: usize = 4;

/// A flow that this side sends on.
#[derive(Debug)]
pub(super) struct Sender {
    /// The application's words for what it is for.
    pub(super) metadata: Bytes,
    pub(super) answers: Option<RecvFlow>,
    pub(super) priority: Priority,
    pub(super) phase: Phase,
    /// The peer has been told of it.
    pub(super) announced: bool,
    /// In the schedule already.
    pub(super) scheduled: bool,
    /// Queued bytes neither sent nor abandoned.
    pub(super) queued: usize,
    queue: VecDeque<Queued>,
    /// Number of the message at the head of the queue, or of the next one when it is empty.
    head: u64,
    /// The group whose next message has lost what it needs.
    broken: Option<GroupId>,
}

/// How far a flow's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Open for writing.
    Open,
    /// Open; to be closed once the queue is empty.
    Finishing,
    /// Closed; its number is the peer's to give back.
    Closed,
}

#[derive(Debug)]
struct Queued {
    payload: Bytes,
    sent: usize,
    group: GroupId,
    needs_previous: bool,
    deadline: Deadline,
    abandoned: bool,
    /// It is decoder configuration.
    preamble: bool,
    origin: Option<Origin>,
}

/// What a flow sends when its turn comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Open,
    Abandon {
        messages: u64,
    },
    Data(Piece),
    Close,
    /// Nothing, until it is scheduled again.
    Idle,
}

/// A piece of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) payload: Bytes,
    /// The message ends with it.
    pub(super) last: bool,
    /// Length of the whole message.
    pub(super) message_len: usize,
    /// When the message is of no more use.
    pub(super) finish_by: Option<Instant>,
}

impl Sender {
    pub(super) fn new(metadata: Bytes, priority: Priority, answers: Option<RecvFlow>) -> Self {
        Self {
            metadata,
            answers,
            priority,
            phase: Phase::Open,
            announced: false,
            scheduled: false,
            queued: 0,
            queue: VecDeque::new(),
            head: 1,
            broken: None,
        }
    }

    /// Queues a message and returns its number.
    pub(super) fn push(&mut self, message: Message, origin: Option<Origin>) -> u64 {
        let Message { payload, group, needs_previous, deadline } = message;
        self.queued += payload.len();
        let queued =
            Queued { payload, sent: 0, group, needs_previous, deadline, abandoned: false, preamble: false, origin };
        self.queue.push_back(queued);
        self.head + self.queue.len() as u64 - 1
    }

    /// Queues decoder configuration.
    pub(super) fn push_preamble(&mut self, payload: Bytes) {
        let message =
            Message { payload, group: GroupId::default(), needs_previous: false, deadline: Deadline::default() };
        self.push(message, None);
        if let Some(queued) = self.queue.back_mut() {
            queued.preamble = true;
        }
    }

    /// Takes decoder configuration from the head of the queue, for a wire that does not send it as a message.
    pub(super) fn take_preamble(&mut self) -> Option<Bytes> {
        let payload = self.queue.front().filter(|first| first.preamble)?.payload.clone();
        self.queued -= payload.len();
        self.pop();
        Some(payload)
    }

    /// Gives up the message that was begun, and what needs those of a group that went before.
    pub(super) fn give_up(&mut self, group: GroupId) {
        if let Some(first) = self.queue.front_mut().filter(|first| first.sent > 0) {
            first.abandoned = true;
        }
        self.broken = Some(group);
    }

    /// The group of the message at the head of the queue.
    pub(super) fn next_group(&self) -> Option<GroupId> {
        self.queue.front().map(|first| first.group)
    }

    /// When the message at the head of the queue is not worth sending any more.
    pub(super) fn late_at(&self) -> Option<Instant> {
        let first = self.queue.front()?;
        let start_by = first.deadline.start_by.filter(|_| first.sent == 0);
        start_by.into_iter().chain(first.deadline.finish_by).min()
    }

    pub(super) fn abandon(&mut self, number: u64) {
        let index = number.checked_sub(self.head).and_then(|index| usize::try_from(index).ok());
        if let Some(queued) = index.and_then(|index| self.queue.get_mut(index))
            && !queued.preamble
        {
            queued.abandoned = true;
        }
    }

    pub(super) fn abandon_all(&mut self) {
        for queued in &mut self.queue {
            queued.abandoned = true;
        }
    }

    pub(super) fn expire(&mut self, before: GroupId, deadline: Deadline) {
        for queued in &mut self.queue {
            if queued.group < before && queued.deadline != Deadline::default() {
                queued.deadline = queued.deadline.sooner(deadline);
            }
        }
    }

    /// Takes this flow's turn, sending at most `allowance` payload bytes; `None`: nothing of a message.
    pub(super) fn turn(&mut self, now: Instant, allowance: Option<usize>, tally: &mut Tally) -> Turn {
        if !self.announced {
            self.announced = true;
            return Turn::Open;
        }
        let messages = self.trim(now, tally);
        if messages > 0 {
            return Turn::Abandon { messages };
        }
        let Some(first) = self.queue.front_mut() else {
            if self.phase == Phase::Finishing {
                self.phase = Phase::Closed;
                return Turn::Close;
            }
            return Turn::Idle;
        };
        let message_len = first.payload.len();
        let Some(len) = allowance.map(|allowance| allowance.min(message_len - first.sent)) else { return Turn::Idle };
        if len == 0 && message_len > 0 {
            return Turn::Idle;
        }
        let payload = if len == message_len {
            std::mem::take(&mut first.payload)
        } else {
            first.payload.slice(first.sent..first.sent + len)
        };
        first.sent += len;
        self.queued -= len;
        let last = first.sent == message_len;
        let finish_by = first.deadline.finish_by;
        tally.bytes += len as u64;
        if last {
            if let Some(origin) = first.origin {
                tally.sent(origin, now);
            }
            self.pop();
        }
        Turn::Data(Piece { payload, last, message_len, finish_by })
    }

    /// Whether a turn taken now could send anything, windows allowing.
    pub(super) fn has_work(&self) -> bool {
        !self.announced || !self.queue.is_empty() || self.phase == Phase::Finishing
    }

    fn pop(&mut self) {
        self.queue.pop_front();
        self.head += 1;
        if self.queue.is_empty() {
            // Begins again at its start: a queue that holds one frame at a time would go round through all of its room.
            self.queue.clear();
            if self.queue.capacity() > QUEUE_KEPT {
                self.queue.shrink_to(QUEUE_KEPT);
            }
        }
    }

    /// Drops what is not worth sending from the head of the queue and says how many messages that was.
    fn trim(&mut self, now: Instant, tally: &mut Tally) -> u64 {
        let mut messages = 0;
        while let Some(first) = self.queue.front() {
            let orphan = first.needs_previous && self.broken == Some(first.group);
            if !(first.abandoned || orphan || first.deadline.is_over(now, first.sent > 0)) {
                break;
            }
            self.broken = Some(first.group);
            self.queued -= first.payload.len() - first.sent;
            if let Some(origin) = first.origin {
                tally.gave_up(origin);
            }
            self.pop();
            messages += 1;
        }
        messages
    }
}

impl Deadline {
    fn is_over(self, now: Instant, started: bool) -> bool {
        self.finish_by.is_some_and(|by| now > by) || (!started && self.start_by.is_some_and(|by| now > by))
    }

    fn sooner(self, other: Self) -> Self {
        let min = |a: Option<Instant>, b: Option<Instant>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { start_by: min(self.start_by, other.start_by), finish_by: min(self.finish_by, other.finish_by) }
    }
}
