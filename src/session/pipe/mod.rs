//! `Pipe`: RTWebSocket's own bytes over one ordered pipe of messages. Unmodified rtws.js and rtws.py are its peers.
//!
//! What may go out is bounded twice: by the window that the peer advertises for each flow, and by what may be in
//! flight on the whole connection (`in_flight`), so that what is sent is never stuck behind what was sent long ago.
//!
//! Defined by: RTWebSocket (zenomt/rtwebsocket, `protocol`).

mod acks;
mod credit;
mod in_flight;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use self::acks::Acks;
use self::credit::Credit;
use self::in_flight::InFlight;
use super::config::Config;
use super::error::PeerMisbehaved;
use super::flows::{Answer, Flows};
use super::link::PathStats;
use super::recv::Receiver;
use super::send::{Piece, Turn};
use super::table::Table;
use super::timer::Timer;
use super::wire::{Wire, sealed};
use super::{Event, RecvFlow, SendFlow};
use crate::wire::frame::{Fragment, Frame};

/// Most memory, in bytes, of answers (acknowledgements, ping replies) that wait for a peer that asks but does not read. No input
/// is taken beyond, so that a flood of pings fills the flooder's own buffers.
const MAX_ANSWERS: usize = 64 << 10;

/// RTWebSocket framing.
#[derive(Debug)]
pub struct Pipe {
    fragment_size: u64,
    credits: Table<SendFlow, Credit>,
    in_flight: InFlight,
    acks: Acks,
    /// What goes out before any flow's turn, whatever the windows say.
    answers: VecDeque<Fragment>,
    answer_bytes: usize,
    /// The acknowledgement window that the peer was last asked for.
    asked_window: u64,
}

impl sealed::Sealed for Pipe {}

impl Wire for Pipe {
    type Input = Bytes;
    type Transmit = Fragment;

    fn new(config: &Config) -> Self {
        Self {
            fragment_size: config.fragment_size.max(1) as u64,
            credits: Table::default(),
            in_flight: InFlight::new(config),
            acks: Acks::default(),
            answers: VecDeque::new(),
            answer_bytes: 0,
            asked_window: acks::MIN_WINDOW,
        }
    }

    fn handle_input(&mut self, flows: &mut Flows, now: Instant, input: Bytes) -> Result<(), PeerMisbehaved> {
        let len = input.len() as u64;
        match Frame::decode(input)? {
            None | Some(Frame::PingReply(_)) => Ok(()),
            Some(Frame::Ping(payload)) => {
                self.answer(Frame::PingReply(payload));
                Ok(())
            }
            Some(Frame::AckWindow(bytes)) => {
                self.acks.set_window(bytes);
                Ok(())
            }
            Some(Frame::Open { flow, answers, metadata }) => {
                self.handle_open(flows, RecvFlow(flow), answers.map(SendFlow), metadata)
            }
            Some(Frame::Data { flow, last, payload }) => {
                self.handle_data(flows, now, RecvFlow(flow), last, payload, len)
            }
            Some(Frame::Abandon { flow, messages }) => self.handle_abandon(flows, RecvFlow(flow), messages),
            Some(Frame::Close { flow }) => self.handle_close(flows, RecvFlow(flow)),
            Some(Frame::Ack { flow, delta, advertisement }) => {
                self.handle_ack(flows, now, SendFlow(flow), delta, advertisement)
            }
            Some(Frame::CloseAck { flow }) => self.handle_close_ack(flows, SendFlow(flow)),
            Some(Frame::Exception { flow, reason }) => self.handle_exception(flows, SendFlow(flow), reason),
        }
    }

    fn handle_timeout(&mut self, _: &mut Flows, now: Instant) {
        self.acks.handle_timeout(now);
    }

    fn poll_transmit(&mut self, flows: &mut Flows, now: Instant) -> Option<Fragment> {
        self.answer_flows(flows);
        if let Some(fragment) = self.answers.pop_front() {
            self.answer_bytes -= cost(&fragment);
            return Some(fragment);
        }
        while !flows.schedule.is_empty() && self.in_flight.has_room(now) {
            let flow = flows.next_scheduled()?;
            let window = self.credits.get(flow).map_or(0, Credit::allowance);
            // At most the fragment size, which is a usize.
            let allowance = window.min(self.fragment_size) as usize;
            if let Some(frame) = self.turn(flows, flow, now, allowance) {
                return Some(frame);
            }
        }
        None
    }

    fn poll_timeout(&self, _: &Flows) -> Option<(Instant, Timer)> {
        self.acks.poll_timeout().map(|at| (at, Timer::DelayedAck))
    }

    fn accepts_input(&self) -> bool {
        self.answer_bytes < MAX_ANSWERS
    }

    fn path(&self) -> PathStats {
        self.in_flight.path()
    }
}

impl Pipe {
    fn handle_open(
        &mut self,
        flows: &mut Flows,
        flow: RecvFlow,
        answers: Option<SendFlow>,
        metadata: Bytes,
    ) -> Result<(), PeerMisbehaved> {
        if flows.receivers.contains(flow) {
            return Err(PeerMisbehaved::FlowInUse { flow: flow.0 });
        }
        let limit = flows.config.max_flows;
        if flows.receivers.len() >= limit {
            return Err(PeerMisbehaved::TooManyFlows { limit });
        }
        self.acks.open(flow);
        flows.opened(flow, answers, metadata);
        Ok(())
    }

    fn handle_data(
        &mut self,
        flows: &mut Flows,
        now: Instant,
        flow: RecvFlow,
        last: bool,
        payload: Bytes,
        len: u64,
    ) -> Result<(), PeerMisbehaved> {
        let max_message = flows.config.max_message;
        let receiver = receiver(flows, flow, "data")?;
        // Whoever gives a flow a large window means to hold that much of it.
        let limit = receiver.window_bytes().max(max_message);
        let message = receiver
            .fragment(payload, last, limit)
            .map_err(|_| PeerMisbehaved::MessageTooLong { flow: flow.0, limit })?;
        if let Some(payload) = message {
            flows.events.push_back(Event::Message { flow, payload });
        }
        self.acks.data(flow, len, now);
        Ok(())
    }

    fn handle_abandon(&mut self, flows: &mut Flows, flow: RecvFlow, messages: u64) -> Result<(), PeerMisbehaved> {
        let receiver = receiver(flows, flow, "abandonment")?;
        receiver.drop_partial();
        if receiver.is_accepted() {
            flows.events.push_back(Event::Gap { flow, messages });
        }
        self.acks.at_once(flow);
        Ok(())
    }

    fn handle_close(&mut self, flows: &mut Flows, flow: RecvFlow) -> Result<(), PeerMisbehaved> {
        let advertisement = receiver(flows, flow, "close")?.window;
        // The last word on this flow comes now, since its number may be opened again at once.
        if let Some(delta) = self.acks.close(flow) {
            self.answer(Frame::Ack { flow: flow.0, delta, advertisement });
        }
        self.answer(Frame::CloseAck { flow: flow.0 });
        flows.closed(flow);
        Ok(())
    }

    fn handle_ack(
        &mut self,
        flows: &mut Flows,
        now: Instant,
        flow: SendFlow,
        delta: u64,
        advertisement: u64,
    ) -> Result<(), PeerMisbehaved> {
        let credit = self.credits.get_mut(flow).ok_or(unknown("acknowledgement", flow.0))?;
        let rtt = credit.acked(delta, advertisement, now).ok_or(PeerMisbehaved::AckBeyondSent { flow: flow.0 })?;
        self.in_flight.acked(delta, rtt, now);
        self.ask_for_acks();
        flows.schedule(flow);
        Ok(())
    }

    fn handle_close_ack(&mut self, flows: &mut Flows, flow: SendFlow) -> Result<(), PeerMisbehaved> {
        if !flows.forget(flow) {
            return Err(unknown("close acknowledgement", flow.0));
        }
        flows.free(flow);
        if let Some(credit) = self.credits.remove(flow) {
            self.in_flight.forgotten(credit.in_flight());
        }
        Ok(())
    }

    fn handle_exception(
        &mut self,
        flows: &mut Flows,
        flow: SendFlow,
        reason: Option<(u64, Bytes)>,
    ) -> Result<(), PeerMisbehaved> {
        if !self.credits.contains(flow) {
            return Err(unknown("exception", flow.0));
        }
        if flows.is_open(flow) {
            let (reason, text) = reason.unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            flows.rejected(flow);
            flows.events.push_back(Event::Rejected { flow, reason, text });
        }
        Ok(())
    }

    /// Turns what the application said of the peer's flows, and what is to be acknowledged, into messages.
    fn answer_flows(&mut self, flows: &mut Flows) {
        while let Some(answer) = flows.answers.pop_front() {
            match answer {
                Answer::Accepted(flow) => self.acks.at_once(flow),
                Answer::Rejected { flow, reason, text } => {
                    self.answer(Frame::Exception { flow: flow.0, reason: Some((reason, text.into())) });
                    self.acks.at_once(flow);
                }
            }
        }
        while let Some(flow) = self.acks.next_due(|flow| flows.receivers.get(flow).is_some_and(Receiver::is_asked)) {
            let advertisement = flows.receivers.get(flow).map_or(0, |receiver| receiver.window);
            let delta = self.acks.acknowledge(flow, advertisement);
            self.answer(Frame::Ack { flow: flow.0, delta, advertisement });
        }
    }

    fn turn(&mut self, flows: &mut Flows, flow: SendFlow, now: Instant, allowance: usize) -> Option<Fragment> {
        let frame = match flows.turn(flow, now, Some(allowance)) {
            Turn::Open => {
                self.credits.insert(flow, Credit::default());
                let sender = flows.senders.get(flow)?;
                Frame::Open {
                    flow: flow.0,
                    answers: sender.answers.map(|answered| answered.0),
                    metadata: sender.metadata.clone(),
                }
            }
            Turn::Abandon { messages } => Frame::Abandon { flow: flow.0, messages },
            Turn::Close => Frame::Close { flow: flow.0 },
            Turn::Idle => return None,
            Turn::Data(Piece { payload, last, .. }) => {
                let fragment = Frame::Data { flow: flow.0, last, payload }.encode();
                self.sent(flow, fragment.len() as u64, now);
                return Some(fragment);
            }
        };
        Some(frame.encode())
    }

    fn sent(&mut self, flow: SendFlow, len: u64, now: Instant) {
        if let Some(credit) = self.credits.get_mut(flow) {
            credit.sent(len, now);
        }
        self.in_flight.sent(len, now);
        self.ask_for_acks();
    }

    /// Tells the peer how often to acknowledge, when that has changed much.
    fn ask_for_acks(&mut self) {
        let window = self.in_flight.ack_window();
        let asked = self.asked_window;
        if window >= 2 * asked || window <= asked / 2 {
            self.asked_window = window;
            self.answer(Frame::AckWindow(window));
        }
    }

    fn answer(&mut self, frame: Frame) {
        let fragment = frame.encode();
        self.answer_bytes += cost(&fragment);
        self.answers.push_back(fragment);
    }
}

/// What an answer that waits takes in memory: most are a few bytes on the wire.
fn cost(answer: &Fragment) -> usize {
    size_of::<Fragment>() + answer.body().len()
}

fn receiver<'a>(flows: &'a mut Flows, flow: RecvFlow, what: &'static str) -> Result<&'a mut Receiver, PeerMisbehaved> {
    flows.receivers.get_mut(flow).ok_or(unknown(what, flow.0))
}

fn unknown(what: &'static str, flow: u64) -> PeerMisbehaved {
    PeerMisbehaved::UnknownFlow { what, flow }
}
