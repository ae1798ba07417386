//! The peer's lanes: read as they come, handed up in the order of their flow.
//!
//! ```text
//! lane 3   ──●──●──FIN                     handed up as it comes
//! lane 4      (nothing, reset, or late)    ended, or passed over once lane 5 has waited long enough
//! lane 5          ──●──●──●──              held from its first whole message on
//! ```
//!
//! What is held is bounded for each flow by what its largest message may take, and by a number of lanes; whatever is
//! beyond ends the waiting at once.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::config::Config;
use super::super::flows::Flows;
use super::super::recv::Receiver;
use super::super::table::Table;
use super::super::{PeerMisbehaved, RecvFlow, SendFlow};
use super::inbound::{Group, Inbound};
use super::reader::Reader;
use super::sending::Sending;
use super::{LaneTransmit, RecvLaneId};
use crate::wire::lane::{self, GroupHeader, Kind, LaneCode, MAX_PREAMBLE, MalformedLane, MessageHeader, Record};

/// Most lanes of the peer's that are open at a time. A sender has one for each flow and a few that are ending; what a flood of
/// lanes can take is this many headers.
const MAX_LANES: usize = 128;

/// Most lanes of a flow that wait for an older one. A sender that is ahead by more groups than this has given the older ones up.
const MAX_HELD_LANES: usize = 8;

/// Most flows whose lanes have come before the record that opens them.
const MAX_EARLY_FLOWS: usize = 8;

/// What the peer sends.
#[derive(Debug)]
pub(super) struct Receiving {
    max_wait: Duration,
    lanes: Table<RecvLaneId, Role>,
    flows: Table<RecvFlow, Inbound>,
    /// No flow with a lower number will be opened any more.
    next_flow: u64,
    has_control: bool,
}

/// What a lane is for.
#[derive(Debug)]
enum Role {
    /// Its header has not come.
    Unknown(Reader),
    Control(Reader),
    Group {
        flow: RecvFlow,
        number: u64,
    },
}

impl Receiving {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            max_wait: config.max_lane_wait,
            lanes: Table::default(),
            flows: Table::default(),
            next_flow: 0,
            has_control: false,
        }
    }

    /// Bytes came on a lane.
    pub(super) fn handle_received(
        &mut self,
        flows: &mut Flows,
        sending: &mut Sending,
        now: Instant,
        id: RecvLaneId,
        data: Bytes,
    ) -> Result<(), PeerMisbehaved> {
        if !self.lanes.contains(id) {
            if self.lanes.len() >= MAX_LANES {
                return Err(PeerMisbehaved::TooManyLanes { limit: MAX_LANES });
            }
            self.lanes.insert(id, Role::Unknown(Reader::default()));
        }
        match self.lanes.get_mut(id) {
            Some(Role::Unknown(reader) | Role::Control(reader)) => reader.push(data),
            Some(Role::Group { flow, number }) => {
                let (flow, number) = (*flow, *number);
                if let Some(group) = self.flows.get_mut(flow).and_then(|inbound| inbound.lanes.get_mut(&number)) {
                    group.reader.push(data);
                }
            }
            None => {}
        }
        if let Some(Role::Unknown(_)) = self.lanes.get(id) {
            self.read_header(flows, sending, id)?;
        }
        match self.lanes.get(id) {
            Some(Role::Unknown(_)) | None => Ok(()),
            Some(Role::Control(_)) => self.read_records(flows, sending, id),
            Some(Role::Group { flow, number }) => {
                let (flow, number) = (*flow, *number);
                self.read_messages(flows, sending, now, flow, number)
            }
        }
    }

    /// A lane ended in order.
    pub(super) fn handle_finished(
        &mut self,
        flows: &mut Flows,
        sending: &mut Sending,
        id: RecvLaneId,
    ) -> Result<(), PeerMisbehaved> {
        match self.lanes.remove(id) {
            None => Ok(()),
            Some(Role::Unknown(_)) => Err(MalformedLane::Unfinished.into()),
            Some(Role::Control(_)) => Err(PeerMisbehaved::ControlLaneEnded),
            Some(Role::Group { flow, number }) => {
                let group = self.flows.get_mut(flow).and_then(|inbound| inbound.lanes.get_mut(&number));
                if group.is_some_and(|group| group.reader.len() > 0) {
                    return Err(MalformedLane::Unfinished.into());
                }
                self.ended(flows, sending, flow, number);
                Ok(())
            }
        }
    }

    /// A lane was reset.
    pub(super) fn handle_reset(
        &mut self,
        flows: &mut Flows,
        sending: &mut Sending,
        id: RecvLaneId,
    ) -> Result<(), PeerMisbehaved> {
        match self.lanes.remove(id) {
            None | Some(Role::Unknown(_)) => {}
            Some(Role::Control(_)) => return Err(PeerMisbehaved::ControlLaneEnded),
            Some(Role::Group { flow, number }) => self.ended(flows, sending, flow, number),
        }
        Ok(())
    }

    /// The application accepted a flow: what waited for that is handed up.
    pub(super) fn handle_accepted(&mut self, flows: &mut Flows, sending: &mut Sending, flow: RecvFlow) {
        self.advance(flows, sending, flow);
        self.bound(flows, sending, flow);
    }

    /// The application rejected a flow: its lanes are stopped.
    pub(super) fn handle_rejected(&mut self, flows: &mut Flows, sending: &mut Sending, flow: RecvFlow) {
        self.stop_all(sending, flow);
        self.advance(flows, sending, flow);
    }

    /// Ends the waiting of lanes that have waited long enough.
    pub(super) fn handle_timeout(&mut self, flows: &mut Flows, sending: &mut Sending, now: Instant) {
        let due = |(flow, inbound): (RecvFlow, &Inbound)| {
            let mut over = inbound.waiting().filter(|(_, since)| now >= *since + self.max_wait);
            over.next_back().map(|(number, _)| (flow, number))
        };
        for (flow, number) in self.flows.iter().filter_map(due).collect::<Vec<_>>() {
            self.pass_over(flows, sending, flow, number);
        }
    }

    /// When the first lane will have waited long enough.
    pub(super) fn poll_timeout(&self, flows: &Flows) -> Option<Instant> {
        let accepted = self.flows.iter().filter(|(flow, _)| is_accepted(flows, *flow));
        let since = accepted.flat_map(|(_, inbound)| inbound.waiting().map(|(_, since)| since));
        since.min().map(|since| since + self.max_wait)
    }

    fn read_header(&mut self, flows: &mut Flows, sending: &mut Sending, id: RecvLaneId) -> Result<(), PeerMisbehaved> {
        let Some(Role::Unknown(reader)) = self.lanes.get_mut(id) else { return Ok(()) };
        let Some((first, rest)) = reader.bytes().split_first() else { return Ok(()) };
        match Kind::from_byte(*first) {
            None => stop(&mut self.lanes, sending, Some(id), LaneCode::Rejected),
            Some(Kind::Control) => {
                if std::mem::replace(&mut self.has_control, true) {
                    return Err(PeerMisbehaved::SecondControlLane);
                }
                let _ = reader.take(1, 0);
                let reader = std::mem::take(reader);
                self.lanes.insert(id, Role::Control(reader));
            }
            Some(Kind::Group) => {
                let header = GroupHeader::decode(rest)?;
                if header.is_some_and(|(header, _)| header.preamble > MAX_PREAMBLE as u64) {
                    return Err(MalformedLane::LongPreamble.into());
                }
                // At most MAX_PREAMBLE, which is a usize.
                let preamble =
                    header.and_then(|(header, len)| Some((header, reader.take(1 + len, header.preamble as usize)?)));
                let Some((header, preamble)) = preamble else {
                    reader.keep();
                    return Ok(());
                };
                let group = Group::new(id, header.first, preamble, std::mem::take(reader));
                return self.begin(flows, sending, id, header, group);
            }
        }
        Ok(())
    }

    /// A lane's header has come.
    fn begin(
        &mut self,
        flows: &mut Flows,
        sending: &mut Sending,
        id: RecvLaneId,
        header: GroupHeader,
        group: Group,
    ) -> Result<(), PeerMisbehaved> {
        let GroupHeader { flow, lane: number, .. } = header;
        let flow = RecvFlow(flow);
        let is_new = flow.0 >= self.next_flow;
        if is_new && !self.flows.contains(flow) && self.early_flows().count() < MAX_EARLY_FLOWS {
            self.flows.insert(flow, Inbound::default());
        }
        let is_rejected = !is_new && flows.receivers.get(flow).is_none_or(Receiver::is_rejected);
        let Some(inbound) = self.flows.get_mut(flow).filter(|_| !is_rejected) else {
            stop(&mut self.lanes, sending, Some(id), LaneCode::Rejected);
            return Ok(());
        };
        if inbound.close.is_some_and(|(lanes, _)| number >= lanes) {
            return Err(PeerMisbehaved::LaneOutOfOrder { flow: flow.0, lane: number });
        }
        match inbound.lanes.get(&number) {
            Some(present) if present.id.is_some() => {
                return Err(PeerMisbehaved::LaneOutOfOrder { flow: flow.0, lane: number });
            }
            None if number >= inbound.current && (!is_new || inbound.lanes.len() < MAX_HELD_LANES) => {
                inbound.lanes.insert(number, group);
                self.lanes.insert(id, Role::Group { flow, number });
            }
            Some(_) | None => stop(&mut self.lanes, sending, Some(id), LaneCode::Superseded),
        }
        Ok(())
    }

    fn read_messages(
        &mut self,
        flows: &mut Flows,
        sending: &mut Sending,
        now: Instant,
        flow: RecvFlow,
        number: u64,
    ) -> Result<(), PeerMisbehaved> {
        let accepted = limit(flows, flow);
        let (is_accepted, limit) = (accepted.is_some(), accepted.unwrap_or(flows.config.max_message));
        let Some(inbound) = self.flows.get_mut(flow) else { return Ok(()) };
        let goes_up = is_accepted && inbound.current == number;
        let Some(group) = inbound.lanes.get_mut(&number) else { return Ok(()) };
        let mut too_long = false;
        while let Some((header, taken)) = MessageHeader::decode(group.reader.bytes())? {
            let len = usize::try_from(header.len).unwrap_or(usize::MAX);
            if len > limit {
                too_long = true;
                break;
            }
            let Some(payload) = group.reader.take(taken, len) else { break };
            group.hold(header.skipped, if goes_up { payload } else { Bytes::copy_from_slice(&payload) }, now);
        }
        group.reader.keep();
        if too_long && is_accepted {
            return Err(PeerMisbehaved::MessageTooLong { flow: flow.0, limit });
        }
        if is_accepted {
            self.advance(flows, sending, flow);
            self.bound(flows, sending, flow);
        } else if too_long || self.early_flows().map(|(_, inbound)| inbound.held()).sum::<usize>() > limit {
            // Nobody has said yet how much of this flow is wanted.
            let id = self.flows.get_mut(flow).and_then(|inbound| inbound.give_up(number));
            stop(&mut self.lanes, sending, id, LaneCode::Superseded);
        }
        Ok(())
    }

    fn read_records(&mut self, flows: &mut Flows, sending: &mut Sending, id: RecvLaneId) -> Result<(), PeerMisbehaved> {
        loop {
            let Some(Role::Control(reader)) = self.lanes.get_mut(id) else { return Ok(()) };
            let record = lane::record_len(reader.bytes())?.and_then(|(len, taken)| reader.take(taken, len));
            let Some(record) = record else {
                reader.keep();
                return Ok(());
            };
            match Record::decode(record)? {
                None => {}
                Some(Record::Open { flow, answers, metadata }) => {
                    self.handle_open(flows, sending, RecvFlow(flow), answers.map(SendFlow), metadata)?;
                }
                Some(Record::GivenUp { flow, lane }) => {
                    self.handle_given_up(flows, sending, RecvFlow(flow), lane)?;
                }
                Some(Record::Close { flow, lanes, messages }) => {
                    self.handle_close(flows, sending, RecvFlow(flow), lanes, messages)?;
                }
                Some(Record::Exception { flow, reason, text }) => {
                    sending.handle_exception(flows, SendFlow(flow), reason, &text)?;
                }
            }
        }
    }

    fn handle_open(
        &mut self,
        flows: &mut Flows,
        sending: &mut Sending,
        flow: RecvFlow,
        answers: Option<SendFlow>,
        metadata: Bytes,
    ) -> Result<(), PeerMisbehaved> {
        if flow.0 < self.next_flow {
            return Err(PeerMisbehaved::FlowOutOfOrder { flow: flow.0 });
        }
        let limit = flows.config.max_flows;
        let closing = self.flows.iter().filter(|(_, inbound)| inbound.close.is_some()).count();
        // A flow that waits for its lanes is over for its sender, which may have opened another.
        if flows.receivers.len() - closing >= limit || closing >= limit {
            return Err(PeerMisbehaved::TooManyFlows { limit });
        }
        let passed: Vec<_> = self.early_flows().map(|(early, _)| early).filter(|early| *early < flow).collect();
        for early in passed {
            self.stop_all(sending, early);
            self.flows.remove(early);
        }
        self.next_flow = flow.0.saturating_add(1);
        if !self.flows.contains(flow) {
            self.flows.insert(flow, Inbound::default());
        }
        flows.opened(flow, answers, metadata);
        Ok(())
    }

    fn handle_given_up(
        &mut self,
        flows: &mut Flows,
        sending: &mut Sending,
        flow: RecvFlow,
        number: u64,
    ) -> Result<(), PeerMisbehaved> {
        self.check_opened("abandonment", flow)?;
        if let Some(inbound) = self.flows.get_mut(flow).filter(|inbound| number >= inbound.current)
            && flows.receivers.get(flow).is_some_and(|receiver| !receiver.is_rejected())
        {
            let id = inbound.lanes.entry(number).or_insert_with(Group::given_up).id;
            // What it has brought is still of use; what is on the way is not waited for.
            stop(&mut self.lanes, sending, id, LaneCode::Superseded);
            self.ended(flows, sending, flow, number);
            self.bound(flows, sending, flow);
        }
        Ok(())
    }

    fn handle_close(
        &mut self,
        flows: &mut Flows,
        sending: &mut Sending,
        flow: RecvFlow,
        lanes: u64,
        messages: u64,
    ) -> Result<(), PeerMisbehaved> {
        self.check_opened("close", flow)?;
        let Some(inbound) = self.flows.get_mut(flow).filter(|inbound| inbound.close.is_none()) else {
            return Err(PeerMisbehaved::UnknownFlow { what: "close", flow: flow.0 });
        };
        if let Some((last, _)) = inbound.lanes.last_key_value().filter(|(last, _)| **last >= lanes) {
            return Err(PeerMisbehaved::LaneOutOfOrder { flow: flow.0, lane: *last });
        }
        inbound.close = Some((lanes, messages));
        self.advance(flows, sending, flow);
        Ok(())
    }

    /// Nothing more comes on a lane.
    fn ended(&mut self, flows: &mut Flows, sending: &mut Sending, flow: RecvFlow, number: u64) {
        if let Some(group) = self.flows.get_mut(flow).and_then(|inbound| inbound.lanes.get_mut(&number)) {
            group.end();
        }
        self.advance(flows, sending, flow);
    }

    /// Hands up what is next in order, and the flow's end after all.
    fn advance(&mut self, flows: &mut Flows, sending: &mut Sending, flow: RecvFlow) {
        let Some(receiver) = flows.receivers.get(flow) else { return };
        let Some(inbound) = self.flows.get_mut(flow) else { return };
        if receiver.is_accepted() {
            inbound.hand_up(flow, &mut flows.events);
        }
        if inbound.is_over(receiver.is_rejected()) {
            inbound.finish(flow, receiver.is_accepted(), &mut flows.events);
            self.stop_all(sending, flow);
            self.flows.remove(flow);
            flows.closed(flow);
        }
    }

    /// Keeps what waits of a flow within its bounds.
    fn bound(&mut self, flows: &mut Flows, sending: &mut Sending, flow: RecvFlow) {
        let Some(limit) = limit(flows, flow) else { return };
        while let Some(inbound) = self.flows.get_mut(flow)
            && (inbound.lanes.len() > MAX_HELD_LANES || inbound.held_behind() > limit)
            && let Some(next) = inbound.next_lane()
        {
            self.pass_over(flows, sending, flow, next);
        }
    }

    /// Waits no more for the lanes of a flow before `number`.
    fn pass_over(&mut self, flows: &mut Flows, sending: &mut Sending, flow: RecvFlow, number: u64) {
        if !is_accepted(flows, flow) {
            return;
        }
        if let Some(inbound) = self.flows.get_mut(flow) {
            for id in inbound.pass_over(flow, number, &mut flows.events) {
                stop(&mut self.lanes, sending, Some(id), LaneCode::Superseded);
            }
            self.advance(flows, sending, flow);
        }
    }

    fn stop_all(&mut self, sending: &mut Sending, flow: RecvFlow) {
        if let Some(inbound) = self.flows.get_mut(flow) {
            for group in std::mem::take(&mut inbound.lanes).into_values() {
                stop(&mut self.lanes, sending, group.id, LaneCode::Rejected);
            }
        }
    }

    fn early_flows(&self) -> impl Iterator<Item = (RecvFlow, &Inbound)> {
        self.flows.iter().filter(|(flow, _)| flow.0 >= self.next_flow)
    }

    fn check_opened(&self, what: &'static str, flow: RecvFlow) -> Result<(), PeerMisbehaved> {
        if flow.0 < self.next_flow { Ok(()) } else { Err(PeerMisbehaved::UnknownFlow { what, flow: flow.0 }) }
    }
}

/// Most bytes of a message, and of what waits, on an accepted flow.
fn limit(flows: &Flows, flow: RecvFlow) -> Option<usize> {
    let receiver = flows.receivers.get(flow).filter(|receiver| receiver.is_accepted())?;
    // Whoever gives a flow a large window means to hold that much of it.
    Some(receiver.window_bytes().max(flows.config.max_message))
}

fn is_accepted(flows: &Flows, flow: RecvFlow) -> bool {
    flows.receivers.get(flow).is_some_and(Receiver::is_accepted)
}

/// Stops a lane of the peer's, if it has not ended.
fn stop(lanes: &mut Table<RecvLaneId, Role>, sending: &mut Sending, id: Option<RecvLaneId>, code: LaneCode) {
    if let Some(lane) = id
        && lanes.remove(lane).is_some()
    {
        sending.at_once(LaneTransmit::Stop { lane, code });
    }
}
