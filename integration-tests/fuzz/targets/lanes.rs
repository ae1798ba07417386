//! The session core over streams: lanes from a stranger, commands from us, and time, in any order.
//!
//! The input is a sequence of steps: what u8, with what u8, length u16, bytes.

#![no_main]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use headwater::session::streams::{LaneInput, LaneTransmit, RecvLaneId, SendLaneId};
use headwater::session::{Config, Deadline, Event, GroupId, Message, Priority, RecvFlow, SendFlow, Session, Streams};
use libfuzzer_sys::fuzz_target;

/// Most outputs that may come in a row: far above what is waited for, far below what never ends.
const MAX_OUTPUT: usize = 100_000;

const PRIORITIES: [Priority; 3] = [Priority::Immediate, Priority::Priority, Priority::Bulk];

fuzz_target!(|input: &[u8]| {
    let config = Config { fragment_size: 300, max_flows: 5, max_message: 1000, ..Config::default() };
    let mut ours = Ours {
        session: Session::new(config),
        now: Instant::now(),
        sending: Vec::new(),
        receiving: Vec::new(),
        open: BTreeSet::new(),
        blocked: BTreeSet::new(),
        stopped: BTreeSet::new(),
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
    session: Session<Streams>,
    now: Instant,
    sending: Vec<SendFlow>,
    receiving: Vec<RecvFlow>,
    /// Lanes of ours that have not ended.
    open: BTreeSet<SendLaneId>,
    blocked: BTreeSet<SendLaneId>,
    /// Lanes of the peer's that we want no more of.
    stopped: BTreeSet<RecvLaneId>,
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
        let ours = self.open.iter().nth(usize::from(with)).copied();
        let flows = self.session.flows();
        match what & 15 {
            0 => {
                if let Ok(flow) = flows.open(bytes, priority, received) {
                    self.sending.push(flow);
                }
            }
            1 => {
                let message = Message { payload: bytes, group, needs_previous: with & 8 != 0, deadline };
                let _ = flow.map(|flow| flows.write(flow, message));
            }
            2 => drop(flow.map(|flow| flows.preamble(flow, bytes))),
            3 => drop(flow.map(|flow| flows.finish(flow))),
            4 => drop(flow.map(|flow| flows.expire(flow, group, deadline))),
            5 => drop(received.map(|flow| flows.reject(flow, with.into(), "fuzz"))),
            6 => {
                self.now += Duration::from_millis(u64::from(with) << 2);
                self.session.handle_timeout(self.now);
            }
            7 => {
                if let Some(lane) = ours {
                    let input = if self.blocked.remove(&lane) {
                        LaneInput::Writable { lane }
                    } else {
                        self.blocked.insert(lane);
                        LaneInput::Blocked { lane }
                    };
                    self.session.handle_input(self.now, input).expect("nothing of the peer's");
                }
            }
            8 => {
                if let Some(lane) = ours.filter(|lane| lane.0 != 0) {
                    self.session.handle_input(self.now, LaneInput::Stopped { lane }).expect("nothing of the peer's");
                }
            }
            what => {
                let lane = RecvLaneId((with & 31).into());
                if self.stopped.contains(&lane) || !self.session.accepts_input() {
                    return Some(());
                }
                let input = match what {
                    9 => LaneInput::Finished { lane },
                    10 => LaneInput::Reset { lane },
                    _ => LaneInput::Received { lane, data: bytes },
                };
                self.session.handle_input(self.now, input).ok()?;
            }
        }
        Some(())
    }

    fn drain(&mut self, with: u8) {
        for _ in 0..MAX_OUTPUT {
            let Some(transmit) = self.session.poll_transmit(self.now) else { break };
            match transmit {
                LaneTransmit::Open { lane, .. } => assert!(self.open.insert(lane), "opened twice"),
                LaneTransmit::Data { lane, .. } => {
                    assert!(self.open.contains(&lane), "written to a lane that is not open");
                    assert!(!self.blocked.contains(&lane), "written to a blocked lane");
                }
                LaneTransmit::Finish { lane } | LaneTransmit::Reset { lane, .. } => {
                    assert!(self.open.remove(&lane), "ended twice");
                    self.blocked.remove(&lane);
                }
                LaneTransmit::Stop { lane, .. } => assert!(self.stopped.insert(lane), "stopped twice"),
            }
        }
        assert!(self.session.poll_transmit(self.now).is_none(), "output without end");
        assert!(self.open.len() <= 5 + 16 + 1, "a lane each flow, those that end, and the control lane");
        while let Some(event) = self.session.poll_event() {
            if let Event::Opened { flow, .. } = event {
                if with & 0x40 == 0 {
                    self.session.flows().accept(flow, 65536);
                }
                self.receiving.push(flow);
            }
        }
        let _ = (self.session.poll_timeout(), self.session.path());
    }
}
