//! Groups onto lanes: which lane a message goes to, and which lanes are given up.
//!
//! ```text
//! group 1   ──●──●──●── Finish          the next group's first message ends it
//! group 2          Open ──●──●─✕ Reset  a message was begun and not finished in time
//!                       Open ──●──      what does not need it goes on
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::flows::Flows;
use super::super::send::{Piece, Turn};
use super::super::table::Table;
use super::super::{Event, GroupId, PeerMisbehaved, Priority, SendFlow};
use super::{LaneTransmit, SendLaneId};
use crate::wire::frame::Fragment;
use crate::wire::lane::{self, GroupHeader, LaneCode, MessageHeader, Record};

/// Most lanes that wait, their group over, for the peer to take their last bytes. Beyond, the oldest of the least urgent flow is
/// given up: a peer that reads nothing must not make the number of open streams grow with every group.
const MAX_ENDING: usize = 16;

/// The control lane.
const CONTROL: SendLaneId = SendLaneId(0);

/// What this side sends.
#[derive(Debug)]
pub(super) struct Sending {
    fragment_size: usize,
    flows: Table<SendFlow, Outbound>,
    /// Lanes whose group is over but whose last bytes the transport has not taken. Oldest first.
    ending: VecDeque<Ending>,
    next_lane: u64,
    /// Number of the next flow to tell the peer of.
    next_flow: u64,
    /// What goes out at once.
    ready: VecDeque<LaneTransmit>,
    /// What goes out on the control lane.
    records: VecDeque<Fragment>,
    record_bytes: usize,
    control_blocked: bool,
}

/// A flow of ours and where on its lanes it is.
#[derive(Debug)]
struct Outbound {
    priority: Priority,
    /// How many lanes it has had.
    lanes: u64,
    /// Number of its next message.
    next: u64,
    /// Messages given up since the last one that went to the lane.
    skipped: u64,
    preamble: Bytes,
    lane: Option<Lane>,
}

/// The lane that takes a flow's messages.
#[derive(Debug, Clone, Copy)]
struct Lane {
    id: SendLaneId,
    /// Its number in the flow.
    number: u64,
    group: GroupId,
    blocked: bool,
    content: Content,
}

/// What has gone to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// No message.
    Nothing,
    /// The beginning of a message.
    Part,
    /// Whole messages, the last of which is of no more use after `finish_by`.
    Whole { finish_by: Option<Instant> },
}

#[derive(Debug)]
struct Ending {
    flow: SendFlow,
    priority: Priority,
    id: SendLaneId,
    number: u64,
    give_up_at: Option<Instant>,
}

impl Sending {
    pub(super) fn new(fragment_size: usize) -> Self {
        let open = LaneTransmit::Open { lane: CONTROL, priority: i32::MAX };
        let header = LaneTransmit::Data { lane: CONTROL, fragment: lane::control_header() };
        Self {
            fragment_size: fragment_size.max(1),
            flows: Table::default(),
            ending: VecDeque::new(),
            next_lane: CONTROL.0 + 1,
            next_flow: 0,
            ready: VecDeque::from([open, header]),
            records: VecDeque::new(),
            record_bytes: 0,
            control_blocked: false,
        }
    }

    /// The next thing to send.
    pub(super) fn poll(&mut self, flows: &mut Flows, now: Instant) -> Option<LaneTransmit> {
        self.announce(flows);
        loop {
            if let Some(transmit) = self.ready.pop_front() {
                return Some(transmit);
            }
            if !self.control_blocked
                && let Some(fragment) = self.records.pop_front()
            {
                self.record_bytes -= cost(&fragment);
                return Some(LaneTransmit::Data { lane: CONTROL, fragment });
            }
            let flow = flows.next_scheduled()?;
            self.turn(flows, flow, now);
        }
    }

    /// Queues a record for the control lane.
    pub(super) fn record(&mut self, record: Record) {
        let fragment = record.encode();
        self.record_bytes += cost(&fragment);
        self.records.push_back(fragment);
    }

    /// Queues what goes out at once.
    pub(super) fn at_once(&mut self, transmit: LaneTransmit) {
        self.ready.push_back(transmit);
    }

    /// Memory, in bytes, of what waits for the peer to read it.
    pub(super) fn waiting(&self) -> usize {
        self.record_bytes
    }

    pub(super) fn handle_blocked(&mut self, id: SendLaneId) {
        if id == CONTROL {
            self.control_blocked = true;
        } else if let Some((_, lane)) = self.lane_mut(id) {
            lane.blocked = true;
        }
    }

    pub(super) fn handle_writable(&mut self, flows: &mut Flows, id: SendLaneId) {
        if id == CONTROL {
            self.control_blocked = false;
        } else if let Some(index) = self.ending.iter().position(|ending| ending.id == id) {
            self.ending.remove(index);
            self.ready.push_back(LaneTransmit::Finish { lane: id });
        } else if let Some((flow, lane)) = self.lane_mut(id) {
            lane.blocked = false;
            flows.schedule(flow);
        }
    }

    /// The peer wants no more of a lane: what needs its messages is given up with them.
    pub(super) fn handle_stopped(&mut self, flows: &mut Flows, id: SendLaneId) {
        if let Some(index) = self.ending.iter().position(|ending| ending.id == id) {
            self.give_up_ending(index);
        } else if let Some((flow, lane)) = self.lane_mut(id) {
            let group = lane.group;
            self.give_up_group(flows, flow, group);
        }
    }

    fn give_up_group(&mut self, flows: &mut Flows, flow: SendFlow, group: GroupId) {
        self.give_up_lane(flow);
        if let Some(sender) = flows.senders.get_mut(flow) {
            sender.give_up(group);
        }
        flows.schedule(flow);
    }

    /// The peer does not want a flow.
    pub(super) fn handle_exception(
        &mut self,
        flows: &mut Flows,
        flow: SendFlow,
        reason: u64,
        text: &[u8],
    ) -> Result<(), PeerMisbehaved> {
        if flow.0 >= self.next_flow {
            return Err(PeerMisbehaved::UnknownFlow { what: "exception", flow: flow.0 });
        }
        self.give_up_lane(flow);
        while let Some(index) = self.ending.iter().position(|ending| ending.flow == flow) {
            self.give_up_ending(index);
        }
        if flows.is_open(flow) {
            flows.rejected(flow);
            flows.events.push_back(Event::Rejected { flow, reason, text: String::from_utf8_lossy(text).into_owned() });
        }
        Ok(())
    }

    pub(super) fn handle_timeout(&mut self, flows: &mut Flows, now: Instant) {
        while let Some(index) =
            self.ending.iter().position(|ending| ending.give_up_at.is_some_and(|give_up_at| now > give_up_at))
        {
            self.give_up_ending(index);
        }
        let blocked: Vec<_> = self.blocked().map(|(flow, lane)| (flow, *lane)).collect();
        for (flow, lane) in blocked {
            if lane.finish_by().is_some_and(|at| now > at) {
                self.give_up_group(flows, flow, lane.group);
            } else if late_at(flows, flow).is_some_and(|at| now > at) {
                flows.schedule(flow);
            }
        }
    }

    /// When something that waits for a blocked lane is of no more use.
    pub(super) fn poll_timeout(&self, flows: &Flows) -> Option<Instant> {
        let queued = self.blocked().filter_map(|(flow, _)| late_at(flows, flow));
        let begun = self.blocked().filter_map(|(_, lane)| lane.finish_by());
        let ending = self.ending.iter().filter_map(|ending| ending.give_up_at);
        // A deadline is over only after its time.
        queued.chain(begun).chain(ending).min().map(|at| at + Duration::from_nanos(1))
    }

    /// Tells the peer of new flows, in the order of their numbers.
    fn announce(&mut self, flows: &mut Flows) {
        while let Some(sender) = flows.senders.get_mut(SendFlow(self.next_flow)) {
            sender.announced = true;
            let outbound = Outbound::new(sender.priority);
            let answers = sender.answers.map(|answered| answered.0);
            self.record(Record::Open { flow: self.next_flow, answers, metadata: sender.metadata.clone() });
            self.flows.insert(SendFlow(self.next_flow), outbound);
            self.next_flow += 1;
        }
    }

    fn turn(&mut self, flows: &mut Flows, flow: SendFlow, now: Instant) {
        let Some(outbound) = self.flows.get_mut(flow) else { return };
        while let Some(preamble) = flows.take_preamble(flow) {
            if outbound.preamble != preamble {
                outbound.preamble = preamble;
                let lane = outbound.lane.take();
                self.end(flow, lane);
                flows.schedule(flow);
                return;
            }
        }
        match flows.turn(flow, now, None) {
            Turn::Abandon { messages } => return self.skip(flow, messages),
            Turn::Close => return self.close(flows, flow),
            Turn::Open | Turn::Data(_) | Turn::Idle => {}
        }
        let Some(sender) = flows.senders.get(flow) else { return };
        let (Some(group), priority) = (sender.next_group(), sender.priority) else { return };
        outbound.priority = priority;
        match &outbound.lane {
            Some(lane) if lane.group == group => {
                if !lane.blocked
                    && let Turn::Data(piece) = flows.turn(flow, now, Some(self.fragment_size))
                {
                    self.send(flow, piece);
                }
            }
            Some(_) | None => {
                let older = outbound.lane.take();
                self.end(flow, older);
                self.open(flow, group);
                flows.schedule(flow);
            }
        }
    }

    fn open(&mut self, flow: SendFlow, group: GroupId) {
        let Some(outbound) = self.flows.get_mut(flow) else { return };
        let id = SendLaneId(self.next_lane);
        self.next_lane += 1;
        let number = outbound.lanes;
        outbound.lanes += 1;
        outbound.skipped = 0;
        outbound.lane = Some(Lane { id, number, group, blocked: false, content: Content::Nothing });
        let preamble = outbound.preamble.clone();
        let header = GroupHeader { flow: flow.0, lane: number, first: outbound.next, preamble: preamble.len() as u64 };
        self.ready.push_back(LaneTransmit::Open { lane: id, priority: precedence(outbound.priority, id) });
        self.ready.push_back(LaneTransmit::Data { lane: id, fragment: header.encode(preamble) });
    }

    fn send(&mut self, flow: SendFlow, piece: Piece) {
        let Some(outbound) = self.flows.get_mut(flow) else { return };
        let Some(lane) = &mut outbound.lane else { return };
        let Piece { payload, last, message_len, finish_by } = piece;
        let fragment = if lane.content == Content::Part {
            lane::piece(payload)
        } else {
            MessageHeader { skipped: std::mem::take(&mut outbound.skipped), len: message_len as u64 }.encode(payload)
        };
        lane.content = if last { Content::Whole { finish_by } } else { Content::Part };
        outbound.next += u64::from(last);
        self.ready.push_back(LaneTransmit::Data { lane: lane.id, fragment });
    }

    /// Counts messages given up, the first of which may have begun.
    fn skip(&mut self, flow: SendFlow, messages: u64) {
        let Some(outbound) = self.flows.get_mut(flow) else { return };
        outbound.next += messages;
        outbound.skipped += messages;
        if outbound.lane.as_ref().is_some_and(|lane| lane.content == Content::Part) {
            self.give_up_lane(flow);
        }
    }

    fn close(&mut self, flows: &mut Flows, flow: SendFlow) {
        let Some(outbound) = self.flows.remove(flow) else { return };
        self.record(Record::Close { flow: flow.0, lanes: outbound.lanes, messages: outbound.next - 1 });
        self.end_with(flow, outbound.priority, outbound.lane);
        flows.forget(flow);
    }

    /// Ends a lane that gets no more messages: in order, unless nothing of use would come of it.
    fn end(&mut self, flow: SendFlow, lane: Option<Lane>) {
        let priority = self.flows.get(flow).map_or(Priority::Background, |outbound| outbound.priority);
        self.end_with(flow, priority, lane);
    }

    fn end_with(&mut self, flow: SendFlow, priority: Priority, lane: Option<Lane>) {
        let Some(Lane { id, number, blocked, content, .. }) = lane else { return };
        match content {
            _ if !blocked && content != Content::Part => self.ready.push_back(LaneTransmit::Finish { lane: id }),
            Content::Nothing | Content::Part => self.give_up(flow, id, number),
            Content::Whole { finish_by } => {
                self.ending.push_back(Ending { flow, priority, id, number, give_up_at: finish_by });
                if self.ending.len() > MAX_ENDING {
                    let least = self.ending.iter().map(|ending| ending.priority).min();
                    let oldest = self.ending.iter().position(|ending| Some(ending.priority) == least);
                    oldest.into_iter().for_each(|index| self.give_up_ending(index));
                }
            }
        }
    }

    fn give_up_lane(&mut self, flow: SendFlow) {
        if let Some(lane) = self.flows.get_mut(flow).and_then(|outbound| outbound.lane.take()) {
            self.give_up(flow, lane.id, lane.number);
        }
    }

    fn give_up_ending(&mut self, index: usize) {
        if let Some(Ending { flow, id, number, .. }) = self.ending.remove(index) {
            self.give_up(flow, id, number);
        }
    }

    fn give_up(&mut self, flow: SendFlow, id: SendLaneId, number: u64) {
        self.ready.push_back(LaneTransmit::Reset { lane: id, code: LaneCode::Abandoned });
        self.record(Record::GivenUp { flow: flow.0, lane: number });
    }

    fn blocked(&self) -> impl Iterator<Item = (SendFlow, &Lane)> {
        let lanes = self.flows.iter().filter_map(|(flow, outbound)| Some((flow, outbound.lane.as_ref()?)));
        lanes.filter(|(_, lane)| lane.blocked)
    }

    fn lane_mut(&mut self, id: SendLaneId) -> Option<(SendFlow, &mut Lane)> {
        let mut lanes = self.flows.iter_mut().filter_map(|(flow, outbound)| Some((flow, outbound.lane.as_mut()?)));
        lanes.find(|(_, lane)| lane.id == id)
    }
}

impl Outbound {
    fn new(priority: Priority) -> Self {
        Self { priority, lanes: 0, next: 1, skipped: 0, preamble: Bytes::new(), lane: None }
    }
}

impl Lane {
    /// When the last message that went to it is of no more use; one that has only begun is still the flow's.
    fn finish_by(&self) -> Option<Instant> {
        match self.content {
            Content::Whole { finish_by } => finish_by,
            Content::Nothing | Content::Part => None,
        }
    }
}

fn late_at(flows: &Flows, flow: SendFlow) -> Option<Instant> {
    flows.senders.get(flow).filter(|sender| !sender.scheduled)?.late_at()
}

/// A lane's precedence among all: its flow's, then the newest. Lanes beyond what the lower bits count are equals.
fn precedence(priority: Priority, id: SendLaneId) -> i32 {
    const NUMBER_BITS: u32 = 24;
    // Priorities are below 8 and the number fits its bits.
    ((priority as i32) << NUMBER_BITS) | id.0.min((1 << NUMBER_BITS) - 1) as i32
}

/// What a record that waits takes in memory: most are a few bytes on the wire.
fn cost(record: &Fragment) -> usize {
    size_of::<Fragment>() + record.body().len()
}
