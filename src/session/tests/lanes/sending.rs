//! Which lane a message goes to, and what becomes of lanes.

use super::*;
use crate::session::streams::{LaneTransmit, SendLaneId};
use crate::session::{Event, RecvFlow};
use crate::wire::lane::LaneCode;

/// All that went to a lane.
fn written(pair: &Pair, lane: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (_, transmit) in &pair.left.sent {
        if let LaneTransmit::Data { lane: SendLaneId(id), fragment } = transmit
            && *id == lane
        {
            bytes.extend_from_slice(&fragment.to_bytes());
        }
    }
    bytes
}

fn write(pair: &mut Pair, flow: SendFlow, message: Message) {
    pair.left.session.flows().write(flow, message).unwrap();
}

#[test]
fn a_flow_is_opened_on_the_control_lane_and_its_messages_share_a_lane() {
    let (mut pair, flow) = with_flow(1 << 20);
    write(&mut pair, flow, message("one"));
    write(&mut pair, flow, message("two"));
    pair.settle();
    assert_eq!(written(&pair, 0), b"\0\x06\x10\0flow");
    assert_eq!(written(&pair, 1), b"\x01\0\0\x01\0\0\x03one\0\x03two");
    assert_eq!(pair.right.messages(), ["one", "two"]);
}

#[test]
fn a_group_is_a_lane_and_the_next_one_ends_it() {
    let (mut pair, flow) = with_flow(1 << 20);
    for (group, name) in [(1, "key 1"), (1, "delta 1"), (2, "key 2")] {
        write(&mut pair, flow, of_group(group, name));
    }
    pair.settle();
    assert_eq!(pair.left.opened(), 2);
    let finished = |lane| LaneTransmit::Finish { lane: SendLaneId(lane) };
    let finishes: Vec<_> =
        pair.left.sent.iter().filter(|(_, transmit)| matches!(transmit, LaneTransmit::Finish { .. })).collect();
    assert_eq!(finishes.iter().map(|(_, transmit)| transmit.clone()).collect::<Vec<_>>(), [finished(1)]);
    assert_eq!(pair.right.messages(), ["key 1", "delta 1", "key 2"]);
}

#[test]
fn a_large_message_is_cut_and_put_together() {
    let (mut pair, flow) = with_flow(1 << 20);
    let large = filled(7, 100_000);
    write(&mut pair, flow, large.clone());
    write(&mut pair, flow, message(""));
    pair.run_for(10 * MS);
    assert_eq!(pair.right.messages(), [large.payload, Bytes::new()]);
}

#[test]
fn each_lane_begins_with_the_preamble_which_is_handed_up_when_it_changes() {
    let (mut pair, flow) = with_flow(1 << 20);
    for (configuration, group, name) in [("a", 1, "1"), ("a", 2, "2"), ("b", 3, "3")] {
        pair.left.session.flows().preamble(flow, configuration.into()).unwrap();
        write(&mut pair, flow, of_group(group, name));
    }
    pair.settle();
    assert_eq!(written(&pair, 2), b"\x01\0\x01\x02\x01a\0\x012");
    assert_eq!(pair.right.messages(), ["a", "1", "2", "b", "3"]);
    assert_eq!(pair.right.lost(), 0, "a preamble has no number");
}

#[test]
fn a_changed_preamble_begins_a_lane_in_its_place() {
    let (mut pair, flow) = with_flow(1 << 20);
    write(&mut pair, flow, message("before"));
    pair.left.session.flows().preamble(flow, "new".into()).unwrap();
    write(&mut pair, flow, message("behind"));
    pair.settle();
    assert_eq!(pair.right.messages(), ["before", "new", "behind"]);
    assert_eq!((pair.left.opened(), pair.left.resets()), (2, 0));
}

#[test]
fn a_message_abandoned_before_it_began_is_skipped_in_its_place() {
    let (mut pair, flow) = with_flow(1 << 20);
    let ids: Vec<_> = ["a", "b", "c"].map(|name| pair.left.session.flows().write(flow, message(name)).unwrap()).into();
    pair.left.session.flows().abandon(ids[1]);
    pair.settle();
    assert_eq!(written(&pair, 1), b"\x01\0\0\x01\0\0\x01a\x01\x01c");
    assert_eq!((pair.right.messages(), pair.right.lost()), (vec!["a".into(), "c".into()], 1));
}

#[test]
fn a_message_that_was_begun_is_abandoned_by_reset_and_what_does_not_need_it_goes_on() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.left.line.rate = Some(100_000);
    pair.left.line.window = 8 << 10;
    let deadline = Deadline { start_by: None, finish_by: Some(pair.now + 100 * MS) };
    write(&mut pair, flow, Message { deadline, ..filled(1, 40_000) });
    write(&mut pair, flow, Message { needs_previous: true, ..message("needs it") });
    pair.run_for(50 * MS);
    write(&mut pair, flow, message("does not"));
    pair.run_for(1000 * MS);
    assert_eq!((pair.right.messages(), pair.right.lost()), (vec!["does not".into()], 2));
    assert_eq!((pair.left.opened(), pair.left.resets()), (2, 1));
    assert!(
        pair.left
            .sent
            .iter()
            .any(|(at, transmit)| *transmit == LaneTransmit::Reset { lane: SendLaneId(1), code: LaneCode::Abandoned }
                && *at <= 101 * MS)
    );
}

#[test]
fn deadlines_run_while_a_lane_is_blocked() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.left.line.window = 1;
    let now = pair.now;
    pair.left.line.stall(now, 10_000 * MS);
    let key = frame(&pair, 1, true, vec![1; 5000], 500 * MS);
    write(&mut pair, flow, key);
    let delta = frame(&pair, 1, false, vec![2; 5000], 200 * MS);
    write(&mut pair, flow, delta);
    pair.run_for(1000 * MS);
    assert_eq!(pair.left.session.flows().queued(), 0, "without anybody having asked");
}

#[test]
fn one_blocked_lane_does_not_hold_up_another_flow() {
    let mut pair = Pair::new();
    let flows = pair.left.session.flows();
    let [first, second] = [0, 1].map(|_| flows.open(Bytes::new(), Priority::Routine, None).unwrap());
    write(&mut pair, first, message("first"));
    pair.settle();
    let blocked = crate::session::streams::LaneInput::Blocked { lane: SendLaneId(1) };
    pair.left.session.handle_input(pair.now, blocked).unwrap();
    write(&mut pair, first, message("waits"));
    write(&mut pair, second, message("second"));
    pair.settle();
    assert_eq!(pair.right.messages(), ["first", "second"]);
    let writable = crate::session::streams::LaneInput::Writable { lane: SendLaneId(1) };
    pair.left.session.handle_input(pair.now, writable).unwrap();
    pair.settle();
    assert_eq!(pair.right.messages(), ["first", "second", "waits"]);
}

#[test]
fn a_lane_goes_before_older_ones_of_its_flow_and_behind_more_urgent_flows() {
    let mut pair = Pair::new();
    let flows = pair.left.session.flows();
    let audio = flows.open(Bytes::new(), Priority::Immediate, None).unwrap();
    let video = flows.open(Bytes::new(), Priority::Priority, None).unwrap();
    write(&mut pair, audio, message("audio"));
    write(&mut pair, video, of_group(1, "old"));
    write(&mut pair, video, of_group(2, "new"));
    pair.settle();
    let opened = pair.left.sent.iter().filter_map(|(_, transmit)| match transmit {
        LaneTransmit::Open { priority, .. } => Some(*priority),
        _ => None,
    });
    let priorities: Vec<i32> = opened.collect();
    assert!(priorities[0] > priorities[1] && priorities[1] > priorities[3] && priorities[3] > priorities[2]);
}

#[test]
fn lanes_that_do_not_end_are_bounded() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.settle();
    let now = pair.now;
    pair.left.line.stall(now, 60_000 * MS);
    for group in 0..100 {
        write(&mut pair, flow, of_group(group, "whole"));
        pair.settle();
        let blocked = crate::session::streams::LaneInput::Blocked { lane: SendLaneId(group + 1) };
        pair.left.session.handle_input(pair.now, blocked).unwrap();
    }
    assert_eq!(pair.left.opened() - pair.left.resets(), 17, "16 and the one that takes messages");
}

#[test]
fn a_group_whose_lane_was_stopped_is_given_up_and_the_next_goes_on() {
    let (mut pair, flow) = with_flow(1 << 20);
    let key = frame(&pair, 1, true, b"key 1".to_vec(), 500 * MS);
    write(&mut pair, flow, key);
    pair.settle();
    let stopped = crate::session::streams::LaneInput::Stopped { lane: SendLaneId(1) };
    pair.left.session.handle_input(pair.now, stopped).unwrap();
    for (group, is_key, name) in [(1, false, "delta 1"), (2, true, "key 2"), (2, false, "delta 2")] {
        let message = frame(&pair, group, is_key, name.as_bytes().to_vec(), 500 * MS);
        write(&mut pair, flow, message);
    }
    pair.settle();
    assert_eq!((pair.right.messages(), pair.right.lost()), (vec!["key 1".into(), "key 2".into(), "delta 2".into()], 1));
}

#[test]
fn a_finished_flow_is_closed_behind_all_its_lanes() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.left.line.jitter = 80 * MS;
    for group in 0..5 {
        write(&mut pair, flow, of_group(group, vec![0; 3000]));
    }
    pair.left.session.flows().finish(flow);
    pair.run_for(1000 * MS);
    assert_eq!(pair.right.messages().len(), 5);
    assert!(matches!(pair.right.events.last(), Some((_, Event::Closed { .. }))));
}

#[test]
fn a_flow_number_is_not_used_again() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.left.session.flows().finish(flow);
    pair.run_for(10 * MS);
    assert_eq!(pair.left.session.flows().open(Bytes::new(), Priority::Routine, None), Ok(SendFlow(1)));
}

#[test]
fn a_rejected_flow_is_told_its_lanes_stopped_and_what_is_queued_given_up() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.left.line.rate = Some(10_000);
    write(&mut pair, flow, filled(0, 200_000));
    pair.run_for(50 * MS);
    pair.right.session.flows().reject(RecvFlow(0), 3, "enough");
    pair.run_for(50 * MS);
    assert!(
        pair.left.events.iter().any(|(_, event)| *event == Event::Rejected { flow, reason: 3, text: "enough".into() })
    );
    assert_eq!((pair.left.session.flows().queued(), pair.left.resets()), (0, 1));
    assert!(pair.right.sent.iter().any(|(_, transmit)| matches!(transmit, LaneTransmit::Stop { code, .. }
        if *code == LaneCode::Rejected)));
    pair.run_for(10_000 * MS);
    assert!(matches!(pair.right.events.last(), Some((_, Event::Closed { .. }))));
}

#[test]
fn a_return_flow_names_the_flow_it_answers() {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.right.session.flows().open(Bytes::new(), Priority::Routine, Some(RecvFlow(0))).unwrap();
    pair.settle();
    let Some((_, Event::Opened { answers, .. })) = pair.left.events.last() else { panic!("opened") };
    assert_eq!(*answers, Some(flow));
}
