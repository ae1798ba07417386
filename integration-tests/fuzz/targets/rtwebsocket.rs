//! The session core: messages from a stranger, commands from us, and time, in any order.
//!
//! The input is a sequence of steps: what u8, with what u8, length u16, bytes. What we send of our own flows goes to a
//! real peer too, which must find no fault with it.

#![no_main]

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use headwater::session::{
    Config, Deadline, Event, GroupId, Message, MessageId, Pipe, Priority, RecvFlow, SendFlow, Session,
};
use headwater::wire::frame::Frame;
use libfuzzer_sys::fuzz_target;

/// Most messages of answers that may come in a row: far above what is waited for, far below what never ends.
const MAX_OUTPUT: usize = 100_000;

const PRIORITIES: [Priority; 3] = [Priority::Immediate, Priority::Priority, Priority::Bulk];

fuzz_target!(|input: &[u8]| {
    let config = Config { fragment_size: 300, max_flows: 5, max_message: 1000, ..Config::default() };
    let peer_config = Config { max_message: usize::MAX, ..config.clone() };
    let mut ours = Ours {
        session: Session::new(config),
        peer: Session::new(peer_config),
        now: Instant::now(),
        sending: Vec::new(),
        receiving: Vec::new(),
        messages: Vec::new(),
    };
    let mut input = input;
    while input.len() >= 4 {
        let (what, with, len) = (input.get_u8(), input.get_u8(), input.get_u16());
        let (bytes, rest) = input.split_at(usize::from(len).min(input.len()));
        input = rest;
        if ours.step(what, with, Bytes::copy_from_slice(bytes)).is_none() {
            break;
        }
        ours.drain(with);
    }
});

struct Ours {
    session: Session<Pipe>,
    peer: Session<Pipe>,
    now: Instant,
    sending: Vec<SendFlow>,
    receiving: Vec<RecvFlow>,
    messages: Vec<MessageId>,
}

impl Ours {
    /// `None`: the session is over.
    fn step(&mut self, what: u8, with: u8, bytes: Bytes) -> Option<()> {
        let flow = self.sending.get(usize::from(with & 7)).copied();
        let received = self.receiving.get(usize::from(with & 7)).copied();
        let deadline = (with & 0x80 != 0).then(|| self.now + Duration::from_millis(100));
        let deadline = Deadline { start_by: deadline, finish_by: deadline };
        let group = GroupId((with >> 4).into());
        let priority = PRIORITIES[usize::from(with) % PRIORITIES.len()];
        let flows = self.session.flows();
        match what & 15 {
            0 => {
                if let Ok(flow) = flows.open(bytes, priority, received) {
                    self.sending.push(flow);
                }
            }
            1 => {
                let message = Message { payload: bytes, group, needs_previous: with & 8 != 0, deadline };
                if let Some(Ok(message)) = flow.map(|flow| flows.write(flow, message)) {
                    self.messages.push(message);
                }
            }
            2 => drop(flow.map(|flow| flows.preamble(flow, bytes))),
            3 => drop(flow.map(|flow| flows.finish(flow))),
            4 => drop(flow.map(|flow| flows.prioritize(flow, priority))),
            5 => drop(flow.map(|flow| flows.expire(flow, group, deadline))),
            6 => drop(self.messages.get(usize::from(with)).map(|message| flows.abandon(*message))),
            7 => drop(received.map(|flow| flows.reject(flow, with.into(), "fuzz"))),
            8 => drop(received.map(|flow| flows.accept(flow, u64::from(with) << 8))),
            9 => {
                self.now += Duration::from_millis(u64::from(with) << 2);
                self.session.handle_timeout(self.now);
            }
            _ => self.session.handle_input(self.now, bytes).ok()?,
        }
        Some(())
    }

    /// Takes everything, or with some inputs leaves what is to be sent for later.
    fn drain(&mut self, with: u8) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Opened { flow, .. } => {
                    if with & 0x40 == 0 {
                        self.session.flows().accept(flow, 65536);
                    }
                    self.receiving.push(flow);
                }
                Event::Rejected { flow, .. } => {
                    let message = Message {
                        payload: Bytes::new(),
                        group: GroupId(0),
                        needs_previous: false,
                        deadline: Deadline::default(),
                    };
                    self.session.flows().write(flow, message).expect_err("a rejected flow is closed");
                }
                _ => {}
            }
        }
        if with & 0x20 != 0 && self.session.accepts_input() {
            return;
        }
        for _ in 0..MAX_OUTPUT {
            let Some(fragment) = self.session.poll_transmit(self.now) else {
                assert!(self.session.accepts_input(), "all answers are out");
                let _ = (self.session.poll_timeout(), self.session.path());
                return;
            };
            let bytes = fragment.to_bytes();
            assert_eq!(bytes.len(), fragment.len());
            let frame = Frame::decode(bytes.clone()).expect("it can be read").expect("and has a known type");
            if let Frame::Open { .. } | Frame::Data { .. } | Frame::Abandon { .. } | Frame::Close { .. } = frame {
                self.peer.handle_input(self.now, bytes).expect("our own flows are right");
            }
            while let Some(event) = self.peer.poll_event() {
                if let Event::Opened { flow, .. } = event {
                    self.peer.flows().accept(flow, u64::MAX);
                }
            }
            while self.peer.poll_transmit(self.now).is_some() {}
        }
        panic!("output without end");
    }
}
