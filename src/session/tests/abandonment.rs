//! Giving up what is not worth sending: by deadline, by group and by hand.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::session::{Event, MessageId, SendFlow};

const MS: Duration = Duration::from_millis(1);

/// A pair whose line takes nothing for a second, so that what is written waits.
fn stalled() -> (Pair, SendFlow) {
    let (mut pair, flow) = with_flow(1 << 20);
    pair.left.link.buffer = 0;
    (pair, flow)
}

fn resume(pair: &mut Pair) {
    pair.left.link.buffer = 16 << 10;
    pair.run_for(300 * MS);
}

fn write(
    pair: &mut Pair,
    flow: SendFlow,
    name: &'static str,
    group: u64,
    needs_previous: bool,
    start_by: Option<Duration>,
) {
    let start_by = start_by.map(|after| pair.now + after);
    let deadline = Deadline { start_by, finish_by: start_by.map(|by| by + 100 * MS) };
    let payload = Bytes::from_static(name.as_bytes());
    let message = Message { payload, group: GroupId(group), needs_previous, deadline };
    pair.left.session.flows().write(flow, message).unwrap();
}

fn gaps(pair: &Pair) -> u64 {
    let gap = |event: &Event| match event {
        Event::Gap { messages, .. } => *messages,
        Event::Opened { .. } | Event::Message { .. } | Event::Closed { .. } | Event::Rejected { .. } | Event::Room => 0,
    };
    pair.right.events.iter().map(|(_, event)| gap(event)).sum()
}

#[test]
fn a_message_not_started_in_time_is_a_gap() {
    let (mut pair, flow) = stalled();
    write(&mut pair, flow, "late", 0, false, Some(50 * MS));
    write(&mut pair, flow, "in time", 0, false, Some(500 * MS));
    pair.run_for(100 * MS);
    resume(&mut pair);
    assert_eq!((pair.right.messages(), gaps(&pair)), (vec!["in time".into()], 1));
    assert_eq!(pair.left.session.flows().abandoned(), 1);
}

#[test]
fn a_message_exactly_on_time_is_sent() {
    let (mut pair, flow) = stalled();
    write(&mut pair, flow, "on time", 0, false, Some(50 * MS));
    pair.run_for(50 * MS);
    resume(&mut pair);
    assert_eq!(pair.right.messages(), ["on time"]);
}

#[test]
fn a_message_not_finished_in_time_is_given_up_half_way() {
    let (mut pair, flow) = with_flow(1000);
    pair.right.link.delay = 100 * MS;
    let deadline = Deadline { start_by: None, finish_by: Some(pair.now + 50 * MS) };
    pair.left.session.flows().write(flow, Message { deadline, ..filled(1, 3000) }).unwrap();
    pair.left.session.flows().write(flow, message("next")).unwrap();
    pair.run_for(400 * MS);
    assert_eq!((pair.right.messages(), gaps(&pair)), (vec!["next".into()], 1));
}

#[test]
fn one_lost_frame_takes_the_rest_of_its_group_and_not_the_next_group() {
    let (mut pair, flow) = stalled();
    write(&mut pair, flow, "key 1", 1, false, Some(50 * MS));
    write(&mut pair, flow, "delta 1a", 1, true, Some(500 * MS));
    write(&mut pair, flow, "delta 1b", 1, true, Some(500 * MS));
    write(&mut pair, flow, "key 2", 2, false, Some(500 * MS));
    write(&mut pair, flow, "delta 2a", 2, true, Some(500 * MS));
    pair.run_for(100 * MS);
    resume(&mut pair);
    assert_eq!((pair.right.messages(), gaps(&pair)), (vec!["key 2".into(), "delta 2a".into()], 3));
}

#[test]
fn messages_that_need_nothing_survive_their_neighbours() {
    let (mut pair, flow) = stalled();
    write(&mut pair, flow, "audio 1", 1, false, Some(50 * MS));
    write(&mut pair, flow, "audio 2", 1, false, Some(500 * MS));
    pair.run_for(100 * MS);
    resume(&mut pair);
    assert_eq!(pair.right.messages(), ["audio 2"]);
}

#[test]
fn consecutive_losses_are_one_abandonment() {
    let (mut pair, flow) = stalled();
    for name in ["a", "b", "c"] {
        write(&mut pair, flow, name, 0, false, Some(50 * MS));
    }
    pair.run_for(100 * MS);
    resume(&mut pair);
    assert_eq!(sent(&pair.left).last(), Some(&Frame::Abandon { flow: 0, messages: 3 }));
}

#[test]
fn expiring_a_group_brings_deadlines_forward_and_never_back() {
    let (mut pair, flow) = stalled();
    write(&mut pair, flow, "configuration", 1, false, None);
    write(&mut pair, flow, "soon", 1, false, Some(50 * MS));
    write(&mut pair, flow, "old", 1, false, Some(2000 * MS));
    write(&mut pair, flow, "new key", 2, false, Some(2000 * MS));
    let by = Some(pair.now + 200 * MS);
    pair.left.session.flows().expire(flow, GroupId(2), Deadline { start_by: by, finish_by: by });
    pair.run_for(300 * MS);
    resume(&mut pair);
    assert_eq!(pair.right.messages(), ["configuration", "new key"]);
}

#[test]
fn a_message_abandoned_by_hand_is_a_gap_in_its_place() {
    let (mut pair, flow) = stalled();
    let ids: Vec<MessageId> =
        ["a", "b", "c"].map(|name| pair.left.session.flows().write(flow, message(name)).unwrap()).into();
    pair.left.session.flows().abandon(ids[1]);
    resume(&mut pair);
    assert_eq!((pair.right.messages(), gaps(&pair)), (vec!["a".into(), "c".into()], 1));
}

#[test]
fn abandoning_what_has_gone_out_changes_nothing() {
    let (mut pair, flow) = with_flow(1 << 20);
    let id = pair.left.session.flows().write(flow, message("gone")).unwrap();
    pair.settle();
    pair.left.session.flows().abandon(id);
    pair.left.session.flows().abandon(MessageId { number: 99, ..id });
    pair.settle();
    assert_eq!((pair.right.messages(), gaps(&pair)), (vec!["gone".into()], 0));
}

#[test]
fn queued_counts_what_can_still_be_taken_back() {
    let (mut pair, flow) = stalled();
    write(&mut pair, flow, "12345", 0, false, Some(50 * MS));
    pair.left.session.flows().write(flow, message("678")).unwrap();
    assert_eq!(pair.left.session.flows().queued(), 8);
    assert_eq!(pair.left.session.flows().queued_on(flow), 8);
    pair.run_for(100 * MS);
    resume(&mut pair);
    assert_eq!(pair.left.session.flows().queued(), 0);
}
