//! Priorities, and the limit in flight that keeps the delay bounded.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::session::{Config, SendFlow};

const MS: Duration = Duration::from_millis(1);

fn open(pair: &mut Pair, priority: Priority) -> SendFlow {
    pair.left.session.flows().open(Bytes::new(), priority, None).unwrap()
}

/// A line of 1.25 Mbit/s with 40 ms of delay each way.
fn slow_line() -> Pair {
    let mut pair = Pair::new();
    pair.left.link.rate = Some(156_250);
    pair.left.link.delay = 40 * MS;
    pair.right.link.delay = 40 * MS;
    pair
}

#[test]
fn a_higher_priority_goes_first_whatever_was_written_first() {
    let mut pair = Pair::new();
    let video = open(&mut pair, Priority::Priority);
    let audio = open(&mut pair, Priority::Immediate);
    pair.left.session.flows().write(video, message("video")).unwrap();
    pair.left.session.flows().write(audio, message("audio")).unwrap();
    pair.settle();
    assert_eq!(pair.right.messages(), ["audio", "video"]);
}

#[test]
fn equals_take_turns() {
    let mut pair = Pair::new();
    let flows = [open(&mut pair, Priority::Routine), open(&mut pair, Priority::Routine)];
    for (name, flow) in [("a1", flows[0]), ("a2", flows[0]), ("b1", flows[1]), ("b2", flows[1])] {
        pair.left.session.flows().write(flow, message(name)).unwrap();
    }
    pair.settle();
    assert_eq!(pair.right.messages(), ["a1", "b1", "a2", "b2"]);
}

#[test]
fn a_changed_priority_counts_at_once() {
    let mut pair = Pair::new();
    let first = open(&mut pair, Priority::Immediate);
    let second = open(&mut pair, Priority::Routine);
    pair.left.session.flows().write(first, message("first")).unwrap();
    pair.left.session.flows().write(second, message("second")).unwrap();
    pair.left.session.flows().prioritize(second, Priority::FlashOverride);
    pair.settle();
    assert_eq!(pair.right.messages(), ["second", "first"]);
}

#[test]
fn the_round_trip_is_measured() {
    let mut pair = slow_line();
    pair.left.link.rate = None;
    let flow = open(&mut pair, Priority::Routine);
    for _ in 0..20 {
        pair.left.session.flows().write(flow, filled(0, 12_000)).unwrap();
        pair.run_for(200 * MS);
    }
    let rtt = pair.left.session.path().rtt.unwrap();
    assert!((80 * MS..90 * MS).contains(&rtt), "{rtt:?}");
}

#[test]
fn nothing_is_sent_while_nothing_is_acknowledged() {
    let mut pair = slow_line();
    pair.left.link.rate = None;
    let audio = open(&mut pair, Priority::Immediate);
    let say = |pair: &mut Pair, times: usize| {
        for _ in 0..times {
            pair.left.session.flows().write(audio, filled(0, 400)).unwrap();
            pair.run_for(20 * MS);
        }
        pair.left.sent.len()
    };
    say(&mut pair, 100);
    pair.left.link.delay = 3000 * MS;
    pair.left.session.flows().write(audio, filled(0, 40_000)).unwrap();
    let stuck = say(&mut pair, 25);
    assert_eq!(say(&mut pair, 100), stuck);
    pair.left.link.delay = 40 * MS;
    assert!(say(&mut pair, 100) > stuck + 100, "it goes on when something is acknowledged");
}

#[test]
fn a_saturated_line_delays_audio_by_little_more_than_its_own_length() {
    let mut pair = slow_line();
    let video = open(&mut pair, Priority::Priority);
    let audio = open(&mut pair, Priority::Immediate);
    for _ in 0..100 {
        pair.left.session.flows().write(video, filled(0, 50_000)).unwrap();
    }
    pair.run_for(5000 * MS);
    for _ in 0..50 {
        let written = pair.elapsed();
        pair.left.session.flows().write(audio, message("audio")).unwrap();
        let before = pair.right.events.len();
        pair.run_for(400 * MS);
        let heard = pair.right.events[before..].iter().find(|(_, e)| pair::message_of(e).is_some_and(|m| m == "audio"));
        let delay = heard.expect("it came within 400 ms").0 - written;
        assert!(delay < 300 * MS, "{delay:?}");
    }
}

#[test]
fn a_fast_long_line_is_filled() {
    let mut pair = slow_line();
    pair.left.link.rate = Some(2_500_000);
    pair.left.link.buffer = 256 << 10;
    let flow = open(&mut pair, Priority::Routine);
    pair.right.accepts = Some(16 << 20);
    for _ in 0..160 {
        pair.left.session.flows().write(flow, filled(0, 50_000)).unwrap();
    }
    pair.run_for(6000 * MS);
    let received: usize = pair.right.messages().iter().map(Bytes::len).sum();
    assert_eq!(received, 8_000_000, "8 MB at 2.5 MB/s in 6 s, though 64 KiB a round trip would be 4.8 MB");
}

#[test]
fn a_stall_is_survived_and_what_is_sent_after_it_is_fresh() {
    let mut pair = slow_line();
    let flow = open(&mut pair, Priority::Priority);
    let mut written = 0;
    for step in 0_u32..300 {
        if step == 100 {
            pair.left.link.stall(pair.now, 3000 * MS);
        }
        let start_by = Some(pair.now + 500 * MS);
        let deadline = Deadline { start_by, finish_by: start_by };
        let payload = step.to_be_bytes().repeat(500);
        let frame = Message { payload: payload.into(), group: GroupId(0), needs_previous: false, deadline };
        pair.left.session.flows().write(flow, frame).unwrap();
        written += 1;
        pair.run_for(33 * MS);
    }
    pair.run_for(2000 * MS);
    let received = pair.right.messages().len() as u64;
    assert_eq!(received + pair.left.session.flows().abandoned(), written);
    let since_stall = pair.right.events.iter().filter_map(|(at, e)| Some((*at, pair::message_of(e)?)));
    for (at, payload) in since_stall.filter(|(at, _)| *at > 7000 * MS) {
        let step = u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
        let age = at - step * (33 * MS);
        assert!(age < 800 * MS, "frame {step} came {age:?} after it was written");
    }
}

#[test]
fn a_peer_that_leaves_what_it_may_unacknowledged_does_not_stop_the_session() {
    let mut pair = Pair::with_config(&Config { min_in_flight: 0, initial_in_flight: 0, ..Config::default() });
    let flow = open(&mut pair, Priority::Routine);
    pair.left.session.flows().write(flow, filled(0, 2799 - 2)).unwrap();
    assert_eq!(pair.left.output(pair.now).len(), 2);
    pair.left.session.flows().write(flow, message("more")).unwrap();
    assert_eq!(pair.left.output(pair.now).len(), 1, "no acknowledgement was needed");
}

#[test]
fn a_path_on_which_little_is_sent_is_not_taken_for_a_slow_one() {
    let mut pair = slow_line();
    pair.left.link.rate = Some(12_500_000);
    let flow = open(&mut pair, Priority::Priority);
    for _ in 0..300 {
        pair.left.session.flows().write(flow, filled(0, 4000)).unwrap();
        pair.run_for(33 * MS);
    }
    assert!(pair.left.session.path().limit >= 64 << 10);
    let written = pair.elapsed();
    pair.left.session.flows().write(flow, filled(1, 60_000)).unwrap();
    pair.run_for(1000 * MS);
    let came =
        pair.right.events.iter().find(|(_, e)| pair::message_of(e).is_some_and(|m| m.len() == 60_000)).unwrap().0;
    assert!(came - written < 50 * MS, "a key frame goes out in one piece: {:?}", came - written);
}

#[test]
fn a_limit_that_was_right_for_a_fast_path_shrinks_when_the_path_comes_back_slow() {
    let mut pair = slow_line();
    pair.left.link.rate = Some(12_500_000);
    pair.left.link.buffer = 1 << 20;
    let flow = open(&mut pair, Priority::Priority);
    pair.right.accepts = Some(16 << 20);
    for _ in 0..60 {
        pair.left.session.flows().write(flow, filled(0, 50_000)).unwrap();
    }
    pair.run_for(3000 * MS);
    assert!(pair.left.session.path().limit > 500_000);
    let now = pair.now;
    pair.left.link.stall(now, 1000 * MS);
    pair.left.link.rate = Some(62_500);
    for _ in 0..600 {
        let start_by = Some(pair.now + 500 * MS);
        let deadline = Deadline { start_by, finish_by: start_by };
        let frame = Message { deadline, ..filled(0, 4000) };
        pair.left.session.flows().write(flow, frame).unwrap();
        pair.run_for(33 * MS);
    }
    assert!(pair.left.session.path().limit < 64 << 10, "{}", pair.left.session.path().limit);
}

#[test]
fn a_limit_that_is_not_used_comes_down_to_what_is() {
    let mut pair = slow_line();
    pair.left.link.rate = Some(12_500_000);
    let flow = open(&mut pair, Priority::Priority);
    pair.right.accepts = Some(16 << 20);
    for _ in 0..60 {
        pair.left.session.flows().write(flow, filled(0, 50_000)).unwrap();
    }
    pair.run_for(3000 * MS);
    assert!(pair.left.session.path().limit > 500_000);
    // A key frame of 74 kB each two seconds, and what is between.
    for step in 0..300 {
        let len = if step % 60 == 0 { 74_000 } else { 9_000 };
        pair.left.session.flows().write(flow, filled(0, len)).unwrap();
        pair.run_for(33 * MS);
    }
    assert!((80_000..200_000).contains(&pair.left.session.path().limit), "{}", pair.left.session.path().limit);
}
