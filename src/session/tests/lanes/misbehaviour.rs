//! Peers that break the protocol: each is named, none does harm.

use proptest::prelude::*;

use super::order::{CONTROL, Hand};
use super::*;
use crate::session::PeerMisbehaved;
use crate::session::streams::{LaneInput, RecvLaneId, SendLaneId};
use crate::wire::lane::{GroupHeader, LaneCode, MalformedLane, MessageHeader, Record};

#[test]
fn what_is_said_of_flows_never_opened_is_refused() {
    let about = [
        (Record::GivenUp { flow: 5, lane: 0 }, "abandonment"),
        (Record::Close { flow: 5, lanes: 0, messages: 0 }, "close"),
        (Record::Exception { flow: 5, reason: 0, text: Bytes::new() }, "exception"),
    ];
    for (record, what) in about {
        assert_eq!(Hand::with_flow().record(record), Err(PeerMisbehaved::UnknownFlow { what, flow: 5 }));
    }
}

#[test]
fn what_is_said_late_of_flows_that_are_over_is_not() {
    let mut hand = Hand::with_flow();
    let flow = hand.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    hand.session.flows().finish(flow);
    hand.drain();
    hand.record(Record::Exception { flow: 0, reason: 0, text: Bytes::new() }).unwrap();
    hand.record(Record::Close { flow: 0, lanes: 0, messages: 0 }).unwrap();
    hand.record(Record::GivenUp { flow: 0, lane: 3 }).unwrap();
}

#[test]
fn a_flow_number_that_does_not_grow_is_refused() {
    let open = Record::Open { flow: 0, answers: None, metadata: Bytes::new() };
    assert_eq!(Hand::with_flow().record(open), Err(PeerMisbehaved::FlowOutOfOrder { flow: 0 }));
}

#[test]
fn a_flow_closed_twice_is_refused() {
    let mut hand = Hand::with_flow();
    hand.record(Record::Close { flow: 0, lanes: 1, messages: 1 }).unwrap();
    let twice = hand.record(Record::Close { flow: 0, lanes: 1, messages: 1 });
    assert_eq!(twice, Err(PeerMisbehaved::UnknownFlow { what: "close", flow: 0 }));
}

#[test]
fn a_lane_number_in_use_or_behind_the_close_is_refused() {
    let mut hand = Hand::with_flow();
    hand.header(0, 1, "").unwrap();
    let header = GroupHeader { flow: 0, lane: 0, first: 1, preamble: 0 };
    let twice = hand.received(1, &header.encode(Bytes::new()).to_bytes());
    assert_eq!(twice, Err(PeerMisbehaved::LaneOutOfOrder { flow: 0, lane: 0 }));
    let mut hand = Hand::with_flow();
    hand.record(Record::Close { flow: 0, lanes: 1, messages: 1 }).unwrap();
    assert_eq!(hand.header(1, 2, ""), Err(PeerMisbehaved::LaneOutOfOrder { flow: 0, lane: 1 }));
}

#[test]
fn the_control_lane_is_one_and_has_no_end() {
    assert_eq!(Hand::with_flow().received(1, &[0]), Err(PeerMisbehaved::SecondControlLane));
    for end in [LaneInput::Finished { lane: RecvLaneId(CONTROL) }, LaneInput::Reset { lane: RecvLaneId(CONTROL) }] {
        assert_eq!(Hand::with_flow().input(end), Err(PeerMisbehaved::ControlLaneEnded));
    }
}

#[test]
fn a_lane_that_ends_inside_a_header_or_a_message_is_refused() {
    for lane in [&b"\x01\0\0"[..], b"\x01\0\0\x01\x02p", b"\x01\0\0\x01\0\0", b"\x01\0\0\x01\0\0\x05half"] {
        let mut hand = Hand::with_flow();
        hand.received(0, lane).unwrap();
        let refused = hand.input(LaneInput::Finished { lane: RecvLaneId(0) });
        assert_eq!(refused, Err(MalformedLane::Unfinished.into()), "{lane:02x?}");
    }
}

#[test]
fn a_long_preamble_record_or_number_is_refused_by_its_claim() {
    let mut hand = Hand::with_flow();
    assert_eq!(hand.received(0, b"\x01\0\0\x01\x81\x80\x01"), Err(MalformedLane::LongPreamble.into()));
    assert_eq!(hand.received(CONTROL, b"\xa0\x01"), Err(MalformedLane::LongRecord.into()));
    assert_eq!(
        Hand::with_flow().received(0, b"\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"),
        Err(MalformedLane::LongNumber.into())
    );
}

#[test]
fn a_message_is_refused_by_its_claim_beyond_what_its_flow_takes() {
    let mut hand = Hand::new();
    hand.accepts = Some(0);
    hand.open();
    hand.header(0, 1, "").unwrap();
    let header = |len| MessageHeader { skipped: 0, len }.encode(Bytes::new()).to_bytes();
    let refused = hand.received(0, &header((256 << 10) + 1));
    assert_eq!(refused, Err(PeerMisbehaved::MessageTooLong { flow: 0, limit: 256 << 10 }));
    let mut hand = Hand::with_flow();
    hand.header(0, 1, "").unwrap();
    hand.received(0, &header(1 << 20)).unwrap();
}

#[test]
fn lanes_that_only_begin_are_bounded() {
    let mut hand = Hand::new();
    for lane in 0..128 {
        hand.received(lane, &[1]).unwrap();
    }
    assert_eq!(hand.received(128, &[1]), Err(PeerMisbehaved::TooManyLanes { limit: 128 }));
}

#[test]
fn flows_are_bounded_and_those_that_wait_for_their_end_leave_room() {
    let mut hand = Hand::with_flow();
    let open = |flow| Record::Open { flow, answers: None, metadata: Bytes::new() };
    for flow in 1..64 {
        hand.record(open(flow)).unwrap();
    }
    assert_eq!(hand.record(open(64)), Err(PeerMisbehaved::TooManyFlows { limit: 64 }));
    hand.record(Record::Close { flow: 3, lanes: 1, messages: 1 }).unwrap();
    hand.record(open(64)).unwrap();
}

#[test]
fn lanes_of_flows_never_opened_are_bounded() {
    let mut hand = Hand::new();
    let header = |flow, lane| GroupHeader { flow, lane, first: 1, preamble: 0 }.encode(Bytes::new()).to_bytes();
    for flow in 0..100 {
        hand.received(flow, &header(flow, 0)).unwrap();
    }
    assert_eq!(hand.stops.len(), 92);
    for lane in 1..100 {
        hand.received(1000 + lane, &header(0, lane)).unwrap();
    }
    assert_eq!(hand.stops.len(), 92 + 92, "eight lanes of each of eight flows");
    hand.stops.clear();
    let large = MessageHeader { skipped: 0, len: 200_000 }.encode(vec![0; 200_000].into()).to_bytes();
    hand.received(0, &large).unwrap();
    hand.received(1, &large).unwrap();
    assert_eq!(hand.stops, [(1, LaneCode::Superseded)], "256 KiB for all of them");
}

#[test]
fn floods_of_lanes_leave_nothing_behind() {
    let mut hand = Hand::with_flow();
    for number in 0..10_000 {
        hand.header(number, 1, "").unwrap();
        hand.finish(number);
    }
    for number in (20_000..30_000).step_by(2) {
        hand.header(number, 1, "").unwrap();
        hand.finish(number);
    }
    assert_eq!(hand.told(), "");
}

#[test]
fn a_flood_of_flows_that_are_rejected_stops_being_read_before_it_fills_memory() {
    let mut hand = Hand::new();
    hand.accepts = None;
    hand.input(LaneInput::Blocked { lane: SendLaneId(0) }).unwrap();
    hand.received(CONTROL, &[0]).unwrap();
    let mut flow = 0;
    while hand.session.accepts_input() {
        hand.record(Record::Open { flow, answers: None, metadata: Bytes::new() }).unwrap();
        hand.record(Record::Close { flow, lanes: 0, messages: 0 }).unwrap();
        flow += 1;
    }
    assert!(flow < 2000, "{flow}");
}

#[test]
fn a_peer_that_stops_every_lane_and_does_not_read_of_it_is_left_before_it_fills_memory() {
    let mut hand = Hand::new();
    let flow = hand.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    hand.drain();
    hand.input(LaneInput::Blocked { lane: SendLaneId(0) }).unwrap();
    let stopped = (1..10_000).map(|lane| {
        hand.session.flows().write(flow, of_group(lane, "frame")).unwrap();
        hand.drain();
        hand.input(LaneInput::Stopped { lane: SendLaneId(lane) })
    });
    assert_eq!({ stopped }.find_map(Result::err), Some(PeerMisbehaved::ControlLaneUnread));
}

proptest! {
    #[test]
    fn arbitrary_lanes_never_panic(inputs in proptest::collection::vec(
        (0_u64..6, 0_u8..8, proptest::collection::vec(prop_oneof![0_u8..4, Just(0x10_u8), Just(0x1a), Just(0x1c), any::<u8>()], 0..12)), 0..80)) {
        let mut hand = Hand::new();
        for (lane, what, data) in inputs {
            let id = RecvLaneId(lane);
            let input = match what {
                0 => LaneInput::Finished { lane: id },
                1 => LaneInput::Reset { lane: id },
                _ => LaneInput::Received { lane: id, data: data.into() },
            };
            if hand.input(input).is_err() {
                break;
            }
        }
    }
}
