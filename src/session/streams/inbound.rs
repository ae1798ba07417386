//! One flow of the peer's: its lanes put in order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::super::{Event, RecvFlow};
use super::RecvLaneId;
use super::reader::Reader;

/// A flow and where it is.
#[derive(Debug)]
pub(super) struct Inbound {
    /// The lane that is being handed up.
    pub(super) current: u64,
    /// That lane and newer ones, as far as something is known of them.
    pub(super) lanes: BTreeMap<u64, Group>,
    /// How many lanes and how many messages it had, once it was closed.
    pub(super) close: Option<(u64, u64)>,
    /// Number of the next message.
    next: u64,
    /// What was handed up last.
    preamble: Bytes,
}

/// A lane of a flow's.
#[derive(Debug)]
pub(super) struct Group {
    /// `None` once it has ended.
    pub(super) id: Option<RecvLaneId>,
    pub(super) reader: Reader,
    /// Number of its first message, until that has been compared with the flow's.
    first: Option<u64>,
    preamble: Bytes,
    /// Messages that wait, each behind the number of those given up before it.
    held: VecDeque<(u64, Bytes)>,
    held_bytes: usize,
    /// When its first whole message came.
    whole_since: Option<Instant>,
}

impl Default for Inbound {
    fn default() -> Self {
        Self { current: 0, lanes: BTreeMap::new(), close: None, next: 1, preamble: Bytes::new() }
    }
}

impl Inbound {
    /// Hands up what is next in order.
    pub(super) fn hand_up(&mut self, flow: RecvFlow, events: &mut VecDeque<Event>) {
        while let Some(group) = self.lanes.get_mut(&self.current) {
            group.hand_up(flow, &mut self.next, &mut self.preamble, events);
            if group.id.is_some() {
                break;
            }
            self.lanes.remove(&self.current);
            self.current = self.current.saturating_add(1);
        }
    }

    /// Goes on with lane `number`, after what has come of those before it. Gives those that have not ended.
    pub(super) fn pass_over(&mut self, flow: RecvFlow, number: u64, events: &mut VecDeque<Event>) -> Vec<RecvLaneId> {
        let newer = self.lanes.split_off(&number);
        let older = std::mem::replace(&mut self.lanes, newer);
        self.current = self.current.max(number);
        let mut stopped = Vec::new();
        for mut group in older.into_values() {
            group.hand_up(flow, &mut self.next, &mut self.preamble, events);
            stopped.extend(group.id);
        }
        stopped
    }

    /// Gives up what has come of a lane and what will. Gives it, if it has not ended.
    pub(super) fn give_up(&mut self, number: u64) -> Option<RecvLaneId> {
        self.lanes.insert(number, Group::given_up()).and_then(|group| group.id)
    }

    /// Whether all has come that the close speaks of, or nothing of it is wanted.
    pub(super) fn is_over(&self, is_rejected: bool) -> bool {
        self.close.is_some_and(|(lanes, _)| is_rejected || self.current >= lanes)
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&mut self, flow: RecvFlow, is_accepted: bool, events: &mut VecDeque<Event>) {
        if let Some((_, messages)) = self.close
            && is_accepted
        {
            gap(flow, &mut self.next, messages.saturating_add(1), events);
        }
    }

    /// Lanes that wait for older ones, and since when.
    pub(super) fn waiting(&self) -> impl DoubleEndedIterator<Item = (u64, Instant)> {
        let newer = self.lanes.iter().filter(|(number, _)| **number > self.current);
        newer.filter_map(|(number, group)| Some((*number, group.whole_since?)))
    }

    /// The first lane behind the one that is being handed up.
    pub(super) fn next_lane(&self) -> Option<u64> {
        self.lanes.keys().copied().find(|number| *number > self.current)
    }

    /// Bytes of memory that all lanes hold.
    pub(super) fn held(&self) -> usize {
        self.lanes.values().map(Group::held).sum()
    }

    /// Bytes of memory that lanes hold which wait for older ones.
    pub(super) fn held_behind(&self) -> usize {
        self.lanes.iter().filter(|(number, _)| **number > self.current).map(|(_, group)| group.held()).sum()
    }
}

impl Group {
    pub(super) fn new(id: RecvLaneId, first: u64, preamble: Bytes, reader: Reader) -> Self {
        Self { id: Some(id), reader, first: Some(first), preamble, ..Self::given_up() }
    }

    /// A lane of which nothing comes.
    pub(super) fn given_up() -> Self {
        Self {
            id: None,
            reader: Reader::default(),
            first: None,
            preamble: Bytes::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            whole_since: None,
        }
    }

    /// Takes a whole message.
    pub(super) fn hold(&mut self, skipped: u64, message: Bytes, now: Instant) {
        self.held_bytes += message.len();
        self.held.push_back((skipped, message));
        self.whole_since.get_or_insert(now);
    }

    /// Nothing more comes; a message of which only a part came is lost.
    pub(super) fn end(&mut self) {
        self.id = None;
        self.reader = Reader::default();
    }

    fn hand_up(&mut self, flow: RecvFlow, next: &mut u64, preamble: &mut Bytes, events: &mut VecDeque<Event>) {
        if let Some(first) = self.first.take() {
            gap(flow, next, first, events);
            if !self.preamble.is_empty() && self.preamble != *preamble {
                *preamble = std::mem::take(&mut self.preamble);
                events.push_back(Event::Message { flow, payload: preamble.clone() });
            }
        }
        for (skipped, payload) in self.held.drain(..) {
            gap(flow, next, next.saturating_add(skipped), events);
            *next = next.saturating_add(1);
            events.push_back(Event::Message { flow, payload });
        }
        self.held_bytes = 0;
    }

    fn held(&self) -> usize {
        self.reader.len() + self.preamble.len() + self.held_bytes + self.held.len() * size_of::<(u64, Bytes)>()
    }
}

/// Names the messages before `number` as lost that have not come.
fn gap(flow: RecvFlow, next: &mut u64, number: u64, events: &mut VecDeque<Event>) {
    let messages = number.saturating_sub(*next);
    if messages > 0 {
        *next = number;
        events.push_back(Event::Gap { flow, messages });
    }
}
