//! Lanes put in order, whatever order they come in.

use std::time::Instant;

use super::*;
use crate::session::streams::{LaneInput, LaneTransmit, RecvLaneId};
use crate::session::{Config, Event, PeerMisbehaved, RecvFlow, Session, Streams, Timer};
use crate::wire::lane::{GroupHeader, LaneCode, MessageHeader, Record, control_header};

/// A receiving session whose peer is written by hand.
pub(super) struct Hand {
    pub(super) session: Session<Streams>,
    pub(super) now: Instant,
    pub(super) accepts: Option<u64>,
    pub(super) events: Vec<Event>,
    pub(super) stops: Vec<(u64, LaneCode)>,
}

/// The lane that the control lane comes on.
pub(super) const CONTROL: u64 = u64::MAX;

impl Hand {
    pub(super) fn new() -> Self {
        let session = Session::new(Config::default());
        let now = Instant::now();
        Self { session, now, accepts: Some(1 << 20), events: Vec::new(), stops: Vec::new() }
    }

    /// With flow 0 open and accepted.
    pub(super) fn with_flow() -> Self {
        let mut hand = Self::new();
        hand.open();
        hand.events.clear();
        hand
    }

    pub(super) fn open(&mut self) {
        self.received(CONTROL, &control_header().to_bytes()).unwrap();
        self.record(Record::Open { flow: 0, answers: None, metadata: Bytes::new() }).unwrap();
    }

    pub(super) fn input(&mut self, input: LaneInput) -> Result<(), PeerMisbehaved> {
        let result = self.session.handle_input(self.now, input);
        self.drain();
        result
    }

    pub(super) fn received(&mut self, lane: u64, data: &[u8]) -> Result<(), PeerMisbehaved> {
        self.input(LaneInput::Received { lane: RecvLaneId(lane), data: Bytes::copy_from_slice(data) })
    }

    pub(super) fn record(&mut self, record: Record) -> Result<(), PeerMisbehaved> {
        self.received(CONTROL, &record.encode().to_bytes())
    }

    /// The header of lane `number` of flow 0, whose first message would be `first`.
    pub(super) fn header(&mut self, number: u64, first: u64, preamble: &'static str) -> Result<(), PeerMisbehaved> {
        let header = GroupHeader { flow: 0, lane: number, first, preamble: 0 };
        self.received(number, &header.encode(preamble.into()).to_bytes())
    }

    pub(super) fn message(&mut self, number: u64, payload: &'static str) {
        let header = MessageHeader { skipped: 0, len: payload.len() as u64 };
        self.received(number, &header.encode(payload.into()).to_bytes()).unwrap();
    }

    fn lane(&mut self, number: u64, first: u64, payloads: &[&'static str]) {
        self.header(number, first, "").unwrap();
        for payload in payloads {
            self.message(number, payload);
        }
    }

    pub(super) fn finish(&mut self, lane: u64) {
        self.input(LaneInput::Finished { lane: RecvLaneId(lane) }).unwrap();
    }

    fn reset(&mut self, lane: u64) {
        self.input(LaneInput::Reset { lane: RecvLaneId(lane) }).unwrap();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.session.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
            self.session.handle_timeout(self.now);
        }
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        loop {
            while let Some(transmit) = self.session.poll_transmit(self.now) {
                if let LaneTransmit::Stop { lane, code } = transmit {
                    self.stops.push((lane.0, code));
                }
            }
            let Some(event) = self.session.poll_event() else { break };
            if let (Event::Opened { flow, .. }, Some(window)) = (&event, self.accepts) {
                self.session.flows().accept(*flow, window);
            }
            self.events.push(event);
        }
    }

    /// What came, in words: messages and how many are lost.
    pub(super) fn told(&self) -> String {
        let told = self.events.iter().map(|event| match event {
            Event::Message { payload, .. } => String::from_utf8_lossy(payload).into_owned(),
            Event::Gap { messages, .. } => format!("-{messages}"),
            Event::Opened { .. } => "open".into(),
            Event::Closed { .. } => "closed".into(),
            Event::Rejected { .. } | Event::Room => "?".into(),
        });
        told.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_lane_that_outruns_an_older_one_waits_for_its_end() {
    let mut hand = Hand::with_flow();
    hand.lane(1, 3, &["c", "d"]);
    assert_eq!(hand.told(), "");
    hand.lane(0, 1, &["a", "b"]);
    assert_eq!(hand.told(), "a b");
    hand.finish(0);
    assert_eq!(hand.told(), "a b c d");
    hand.message(1, "e");
    assert_eq!(hand.told(), "a b c d e");
}

#[test]
fn a_lane_waits_100_ms_from_its_first_whole_message_and_then_stops_the_older_one() {
    let mut hand = Hand::with_flow();
    hand.lane(0, 1, &["a"]);
    hand.header(1, 3, "").unwrap();
    hand.wait(60 * MS);
    assert_eq!(hand.session.poll_timeout(), None, "a header alone waits for nothing");
    hand.message(1, "c");
    assert_eq!(hand.session.poll_timeout(), Some((hand.now + 100 * MS, Timer::LaneWait)));
    hand.wait(99 * MS);
    assert_eq!(hand.told(), "a");
    hand.wait(1 * MS);
    assert_eq!((hand.told(), &hand.stops[..]), ("a -1 c".into(), &[(0, LaneCode::Superseded)][..]));
    assert_eq!(hand.session.poll_timeout(), None);
}

#[test]
fn what_has_come_whole_of_a_lane_that_is_passed_over_is_handed_up_first() {
    let mut hand = Hand::with_flow();
    hand.lane(2, 6, &["f"]);
    hand.lane(1, 3, &["c"]);
    hand.wait(100 * MS);
    assert_eq!((hand.told(), &hand.stops[..]), ("-2 c -2 f".into(), &[(1, LaneCode::Superseded)][..]));
}

#[test]
fn a_lane_that_comes_after_it_was_passed_over_is_stopped() {
    let mut hand = Hand::with_flow();
    hand.lane(1, 2, &["b"]);
    hand.wait(100 * MS);
    hand.header(0, 1, "").unwrap();
    assert_eq!((hand.told(), &hand.stops[..]), ("-1 b".into(), &[(0, LaneCode::Superseded)][..]));
}

#[test]
fn a_reset_that_outruns_its_header_is_made_up_for_by_the_record() {
    let mut hand = Hand::with_flow();
    hand.reset(0);
    hand.lane(1, 4, &["d"]);
    assert_eq!(hand.told(), "");
    hand.record(Record::GivenUp { flow: 0, lane: 0 }).unwrap();
    assert_eq!(hand.told(), "-3 d");
}

#[test]
fn a_record_of_a_lane_given_up_does_not_lose_what_has_come_of_it() {
    let mut hand = Hand::with_flow();
    hand.lane(1, 4, &["d"]);
    hand.lane(0, 1, &["a"]);
    hand.record(Record::GivenUp { flow: 0, lane: 0 }).unwrap();
    assert_eq!((hand.told(), &hand.stops[..]), ("a -2 d".into(), &[(0, LaneCode::Superseded)][..]));
}

#[test]
fn a_message_cut_by_a_reset_is_lost_and_its_number_tells() {
    let mut hand = Hand::with_flow();
    hand.lane(0, 1, &["a"]);
    hand.received(0, b"\0\x09half").unwrap();
    hand.reset(0);
    assert_eq!(hand.told(), "a", "loss is read from the next number");
    hand.lane(1, 3, &["c"]);
    assert_eq!(hand.told(), "a -1 c");
}

#[test]
fn a_lane_without_messages_holds_nothing_up() {
    let mut hand = Hand::with_flow();
    hand.lane(0, 1, &[]);
    hand.finish(0);
    hand.lane(1, 1, &["a"]);
    assert_eq!(hand.told(), "a");
}

#[test]
fn bytes_may_come_one_at_a_time() {
    let mut hand = Hand::with_flow();
    for byte in b"\x01\0\0\x01\x02pp\0\x02ab\x03\0\0\x01c" {
        hand.received(0, &[*byte]).unwrap();
    }
    assert_eq!(hand.told(), "pp ab -3  c");
}

#[test]
fn a_preamble_is_handed_up_when_it_is_another_than_the_last() {
    let mut hand = Hand::with_flow();
    for (number, preamble) in [(0, "p"), (1, "p"), (2, ""), (3, "q"), (4, "p")] {
        hand.header(number, number + 1, preamble).unwrap();
        hand.message(number, "m");
        hand.finish(number);
    }
    assert_eq!(hand.told(), "p m m m q m p m");
}

#[test]
fn a_lane_that_outruns_the_record_of_its_flow_waits_for_it() {
    let mut hand = Hand::new();
    hand.lane(0, 1, &["a"]);
    hand.finish(0);
    hand.lane(1, 2, &["b"]);
    hand.wait(1000 * MS);
    assert_eq!(hand.told(), "");
    hand.open();
    assert_eq!(hand.told(), "open a b");
}

#[test]
fn a_flow_left_unanswered_is_rejected_and_its_lanes_stopped() {
    let mut hand = Hand::new();
    hand.accepts = None;
    hand.lane(0, 1, &["a"]);
    hand.open();
    hand.header(1, 2, "").unwrap();
    assert_eq!(
        (hand.told(), &hand.stops[..]),
        ("open".into(), &[(0, LaneCode::Rejected), (1, LaneCode::Rejected)][..])
    );
    hand.record(Record::Close { flow: 0, lanes: 2, messages: 9 }).unwrap();
    assert_eq!(hand.told(), "open closed", "its lanes are not waited for");
}

#[test]
fn a_close_waits_for_the_lanes_and_names_what_never_came() {
    let mut hand = Hand::with_flow();
    hand.lane(1, 2, &["b"]);
    hand.record(Record::Close { flow: 0, lanes: 2, messages: 5 }).unwrap();
    hand.lane(0, 1, &["a"]);
    hand.finish(0);
    assert_eq!(hand.told(), "a b");
    hand.finish(1);
    assert_eq!(hand.told(), "a b -3 closed");
    hand.header(7, 9, "").unwrap();
    assert_eq!(hand.stops, [(7, LaneCode::Rejected)], "a lane of a flow that is over");
}

#[test]
fn a_close_of_a_flow_without_lanes_comes_at_once() {
    let mut hand = Hand::with_flow();
    hand.record(Record::Close { flow: 0, lanes: 0, messages: 0 }).unwrap();
    assert_eq!(hand.told(), "closed");
}

#[test]
fn a_lane_of_an_unknown_kind_is_stopped() {
    let mut hand = Hand::with_flow();
    hand.received(5, b"\x02whatever").unwrap();
    assert_eq!((hand.told(), &hand.stops[..]), (String::new(), &[(5, LaneCode::Rejected)][..]));
}

#[test]
fn more_lanes_than_may_wait_end_the_waiting() {
    let mut hand = Hand::with_flow();
    for number in 1..=9 {
        hand.lane(number, number + 1, &["m"]);
        hand.finish(number);
    }
    assert_eq!(hand.told(), "-1 m m m m m m m m m");
}

#[test]
fn more_bytes_than_may_wait_end_the_waiting() {
    let mut hand = Hand::with_flow();
    hand.header(1, 2, "").unwrap();
    let header = MessageHeader { skipped: 0, len: 600_000 };
    for _ in 0..2 {
        hand.received(1, &header.encode(vec![0; 600_000].into()).to_bytes()).unwrap();
    }
    let came = hand.events.iter().filter(|event| matches!(event, Event::Message { .. })).count();
    assert_eq!(came, 2);
}

#[test]
fn a_rejected_flows_messages_are_dropped() {
    let mut hand = Hand::with_flow();
    hand.lane(0, 1, &["a"]);
    hand.session.flows().reject(RecvFlow(0), 0, "");
    hand.drain();
    assert_eq!((hand.told(), &hand.stops[..]), ("a".into(), &[(0, LaneCode::Rejected)][..]));
}
