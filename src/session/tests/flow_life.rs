//! Opening, answering, rejecting, closing.

use bytes::Bytes;

use super::*;
use crate::session::error::{TooManyFlows, WriteError};
use crate::session::{Event, RecvFlow, SendFlow};

#[test]
fn a_message_crosses_with_its_flow_opened_first() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.left.session.flows().write(flow, message("hello")).unwrap();
    pair.settle();
    assert_eq!(pair.right.messages(), ["hello"]);
    let Event::Opened { metadata, answers, .. } = &pair.right.events[0].1 else { panic!("opened first") };
    assert_eq!((&metadata[..], *answers), (&b"flow"[..], None));
}

#[test]
fn a_large_message_is_cut_and_put_together() {
    let (mut pair, flow) = with_flow(1 << 20);
    let large = filled(7, 100_000);
    pair.left.session.flows().write(flow, large.clone()).unwrap();
    pair.left.session.flows().write(flow, message("")).unwrap();
    pair.settle();
    assert_eq!(pair.right.messages(), [large.payload, Bytes::new()]);
    let longest = pair.left.sent.iter().map(|(_, bytes)| bytes.len()).max();
    assert_eq!(longest, Some((16 << 10) + 2));
}

#[test]
fn a_flow_left_unanswered_is_rejected_by_name_and_its_messages_dropped() {
    let mut pair = Pair::new();
    pair.right.accepts = None;
    let flow = pair.left.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    pair.left.session.flows().write(flow, message("lost")).unwrap();
    pair.settle();
    assert_eq!(pair.right.messages(), [] as [Bytes; 0]);
    assert_eq!(
        sent(&pair.right)[..2],
        [
            Frame::Exception { flow: 0, reason: Some((0, "not accepted".into())) },
            Frame::Ack { flow: 0, delta: 6, advertisement: 0 },
        ]
    );
    let rejected = Event::Rejected { flow, reason: 0, text: "not accepted".into() };
    assert_eq!(pair.left.events[0].1, rejected);
    assert_eq!(sent(&pair.left).last(), Some(&Frame::Close { flow: 0 }));
    assert_eq!(sent(&pair.right).last(), Some(&Frame::CloseAck { flow: 0 }));
    assert_eq!(pair.left.session.path().in_flight, 0);
}

#[test]
fn a_rejected_flow_takes_no_more_messages() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.right.session.flows().reject(RecvFlow(0), 3, "enough");
    pair.settle();
    assert_eq!(pair.left.session.flows().write(flow, message("late")), Err(WriteError::Closed));
}

#[test]
fn what_is_queued_on_a_rejected_flow_is_abandoned_before_its_close() {
    let (mut pair, flow) = with_flow(0);
    for _ in 0..3 {
        pair.left.session.flows().write(flow, message("waits for a window")).unwrap();
    }
    pair.settle();
    pair.right.session.flows().reject(RecvFlow(0), 0, "");
    pair.settle();
    let frames = sent(&pair.left);
    assert_eq!(frames[frames.len() - 2..], [Frame::Abandon { flow: 0, messages: 3 }, Frame::Close { flow: 0 }]);
    assert_eq!(pair.left.session.flows().queued(), 0);
}

#[test]
fn a_return_flow_names_the_flow_it_answers() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.right.session.flows().open(Bytes::new(), Priority::Routine, Some(RecvFlow(0))).unwrap();
    pair.settle();
    let Some((_, Event::Opened { answers, .. })) = pair.left.events.last() else { panic!("opened") };
    assert_eq!(*answers, Some(flow));
}

#[test]
fn a_return_flow_to_nothing_is_rejected() {
    let mut pair = Pair::new();
    let opened = Frame::Open { flow: 8, answers: Some(5), metadata: Bytes::new() }.encode().to_bytes();
    pair.right.input(pair.now, opened).unwrap();
    let output = pair.right.output(pair.now);
    assert_eq!(output[0], b"\x5e\x08\x00return association not found"[..]);
    assert_eq!(output[1], b"\x5a\x08\x00\x00"[..]);
    assert_eq!(pair.right.events, []);
}

#[test]
fn a_finished_flow_sends_its_queue_first_and_gives_its_number_back_last() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.left.session.flows().write(flow, filled(1, 40_000)).unwrap();
    pair.left.session.flows().finish(flow);
    assert_eq!(pair.left.session.flows().write(flow, message("late")), Err(WriteError::Closed));
    pair.settle();
    assert_eq!(pair.right.messages().len(), 1);
    assert_eq!(sent(&pair.left).last(), Some(&Frame::Close { flow: 0 }));
    let answers = sent(&pair.right);
    assert!(matches!(answers[answers.len() - 2], Frame::Ack { flow: 0, .. }), "the last bytes are acknowledged first");
    assert_eq!(answers.last(), Some(&Frame::CloseAck { flow: 0 }));
    assert_eq!(pair.left.session.path().in_flight, 0);
}

#[test]
fn a_number_is_used_again_only_after_the_others_that_were_free() {
    let mut pair = Pair::new();
    let flows: Vec<SendFlow> =
        (0..3).map(|_| pair.left.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap()).collect();
    for flow in [flows[1], flows[0]] {
        pair.left.session.flows().finish(flow);
        pair.settle();
    }
    let next = pair.left.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    assert_eq!(next, flows[1]);
}

#[test]
fn a_flow_finished_before_it_was_announced_is_still_announced() {
    let mut pair = Pair::new();
    let flow = pair.left.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    pair.left.session.flows().write(flow, message("only")).unwrap();
    pair.left.session.flows().finish(flow);
    pair.settle();
    assert_eq!(pair.right.messages(), ["only"]);
    assert!(matches!(pair.right.events.last(), Some((_, Event::Closed { .. }))));
}

#[test]
fn flows_are_bounded() {
    let mut pair = Pair::new();
    for _ in 0..64 {
        pair.left.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    }
    assert_eq!(pair.left.session.flows().open(Bytes::new(), Priority::Routine, None), Err(TooManyFlows));
}

#[test]
fn a_preamble_keeps_its_place_among_the_messages() {
    let (mut pair, flow) = with_flow(1 << 20);
    for name in ["a", "b"] {
        pair.left.session.flows().preamble(flow, name.into()).unwrap();
        pair.left.session.flows().write(flow, message(name)).unwrap();
    }
    pair.settle();
    assert_eq!(pair.right.messages(), ["a", "a", "b", "b"]);
}

#[test]
fn a_preamble_that_found_no_room_is_sent_when_it_is_tried_again() {
    let (mut pair, flow) = with_flow(16 << 20);
    pair.left.session.flows().write(flow, filled(0, 8 << 20)).unwrap();
    assert_eq!(pair.left.session.flows().preamble(flow, "new".into()), Err(WriteError::Full));
    pair.settle();
    pair.left.session.flows().preamble(flow, "new".into()).unwrap();
    pair.settle();
    assert_eq!(pair.right.messages().last().unwrap(), "new");
}

#[test]
fn a_full_queue_refuses_and_takes_again_once_it_has_gone_out() {
    let (mut pair, flow) = with_flow(16 << 20);
    pair.left.session.flows().write(flow, filled(0, 8 << 20)).unwrap();
    assert_eq!(pair.left.session.flows().write(flow, message("more")), Err(WriteError::Full));
    pair.left.session.flows().finish(flow);
    pair.right.session.flows().reject(RecvFlow(0), 0, "");
    pair.settle();
    assert_eq!(pair.left.session.flows().queued(), 0);
}

#[test]
fn room_is_told_once_and_only_when_there_is_some() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.left.link.buffer = 0;
    pair.left.session.flows().write(flow, filled(0, 10_000)).unwrap();
    pair.left.session.flows().tell_room(5000);
    pair.settle();
    assert_eq!(pair.left.events, []);
    pair.left.link.buffer = 16 << 10;
    pair.settle();
    pair.left.session.flows().write(flow, filled(0, 10_000)).unwrap();
    pair.settle();
    assert_eq!(pair.left.events.iter().map(|(_, event)| event).collect::<Vec<_>>(), [&Event::Room]);
}
