//! When what came is acknowledged, and how windows bound what is sent.

use std::time::Duration;

use bytes::Bytes;

use super::*;

/// The right side after an open of flow 0 with `window` bytes of room, its first acknowledgement taken.
fn receiver(window: u64) -> Pair {
    let mut pair = Pair::new();
    pair.right.accepts = Some(window);
    pair.right.input(pair.now, Bytes::from_static(&[0x10, 0])).unwrap();
    let answers = pair.right.output(pair.now);
    assert_eq!(answers, [Frame::Ack { flow: 0, delta: 0, advertisement: window }.encode().to_bytes()]);
    pair
}

/// Hands the right side a whole message of `len` payload bytes and says what it answers.
fn data(pair: &mut Pair, len: usize) -> Vec<Bytes> {
    let frame = Frame::Data { flow: 0, last: true, payload: vec![0; len].into() };
    pair.right.input(pair.now, frame.encode().to_bytes()).unwrap();
    pair.right.output(pair.now)
}

fn ack(delta: u64, advertisement: u64) -> Vec<Bytes> {
    vec![Frame::Ack { flow: 0, delta, advertisement }.encode().to_bytes()]
}

#[test]
fn the_acknowledgement_window_counts_whole_messages() {
    let mut pair = receiver(2_097_151);
    assert_eq!(data(&mut pair, 300), [] as [Bytes; 0]);
    assert_eq!(data(&mut pair, 2499), ack(2803, 2_097_151), "302 + 2501 bytes pass 2800");
}

#[test]
fn half_a_flows_window_is_acknowledged_at_once() {
    let mut pair = receiver(100);
    assert_eq!(data(&mut pair, 47), [] as [Bytes; 0]);
    assert_eq!(data(&mut pair, 0), ack(51, 100));
}

#[test]
fn what_is_left_is_acknowledged_after_250_ms() {
    let mut pair = receiver(1 << 20);
    assert_eq!(data(&mut pair, 1), [] as [Bytes; 0]);
    let (at, _) = pair.right.session.poll_timeout().unwrap();
    assert_eq!(at - pair.now, Duration::from_millis(250));
    pair.right.session.handle_timeout(at);
    assert_eq!(pair.right.output(at), ack(3, 1 << 20));
    assert_eq!(pair.right.session.poll_timeout(), None);
}

#[test]
fn a_larger_window_is_honoured_and_a_smaller_one_than_2800_is_not() {
    let mut pair = receiver(1 << 20);
    pair.right.input(pair.now, Frame::AckWindow(11200).encode().to_bytes()).unwrap();
    assert_eq!(data(&mut pair, 11197), [] as [Bytes; 0]);
    assert_eq!(data(&mut pair, 0), ack(11201, 1 << 20));
    pair.right.input(pair.now, Frame::AckWindow(1).encode().to_bytes()).unwrap();
    assert_eq!(data(&mut pair, 1000), [] as [Bytes; 0]);
}

#[test]
fn an_abandonment_is_acknowledged_at_once() {
    let mut pair = receiver(1 << 20);
    pair.right.input(pair.now, Frame::Abandon { flow: 0, messages: 3 }.encode().to_bytes()).unwrap();
    assert_eq!(pair.right.output(pair.now), ack(0, 1 << 20));
}

#[test]
fn a_close_is_answered_by_the_last_bytes_and_the_number() {
    let mut pair = receiver(1000);
    assert_eq!(data(&mut pair, 100), [] as [Bytes; 0]);
    pair.right.input(pair.now, Frame::Close { flow: 0 }.encode().to_bytes()).unwrap();
    let close_ack = Frame::CloseAck { flow: 0 }.encode().to_bytes();
    assert_eq!(pair.right.output(pair.now), [ack(102, 1000), vec![close_ack]].concat());
}

#[test]
fn rejected_data_is_still_counted() {
    let mut pair = Pair::new();
    pair.right.accepts = None;
    pair.right.input(pair.now, Bytes::from_static(b"\x10\0hello")).unwrap();
    assert_eq!(data(&mut pair, 3), [b"\x5e\0\0not accepted".to_vec(), vec![0x5a, 0, 5, 0]]);
}

#[test]
fn a_sender_stops_at_the_window_but_for_a_header() {
    let (mut pair, flow) = with_flow(0);
    pair.right.session.flows().accept(crate::session::RecvFlow(0), 100);
    pair.settle();
    let before = pair.left.sent.len();
    pair.left.session.flows().write(flow, filled(0, 300)).unwrap();
    let first = pair.left.session.poll_transmit(pair.now).unwrap();
    assert_eq!(first.len(), 102);
    assert_eq!(pair.left.session.poll_transmit(pair.now), None);
    assert_eq!(pair.left.sent.len(), before);
}

#[test]
fn a_sender_sends_64_kib_before_it_hears_of_a_window() {
    let mut pair = Pair::new();
    let flow = pair.left.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    pair.left.session.flows().write(flow, filled(0, 200_000)).unwrap();
    let payload: usize = pair.left.output(pair.now).iter().filter(|m| m[0] == 0x3d).map(|m| m.len() - 2).sum();
    assert_eq!(payload, 65536 - 3 * 2, "headers count, the last one overshoots");
}

#[test]
fn a_wider_path_is_asked_for_fewer_acknowledgements() {
    let (mut pair, flow) = with_flow(16 << 20);
    let asked = |pair: &Pair| {
        let windows = sent(&pair.left).into_iter().filter_map(|frame| match frame {
            Frame::AckWindow(bytes) => Some(bytes),
            _ => None,
        });
        windows.collect::<Vec<_>>()
    };
    assert_eq!(asked(&pair), [16 << 10], "a quarter of what may be in flight at first");
    pair.left.link.delay = Duration::from_millis(20);
    pair.left.link.buffer = 1 << 20;
    for _ in 0..10 {
        pair.left.session.flows().write(flow, filled(0, 100_000)).unwrap();
    }
    pair.run_for(Duration::from_secs(1));
    assert_eq!(asked(&pair), [16 << 10, 32 << 10]);
}

#[test]
fn a_flood_of_pings_stops_being_read_before_it_fills_memory() {
    // Empty answers take memory too: a fragment's own size.
    for (payload, most) in [(1000, 66), (0, 1025)] {
        let mut pair = Pair::new();
        let ping = Frame::Ping(vec![0; payload].into()).encode().to_bytes();
        let mut taken = 0;
        while pair.right.session.accepts_input() {
            pair.right.input(pair.now, ping.clone()).unwrap();
            taken += 1;
        }
        assert!((most / 2..=most).contains(&taken), "{taken}: 64 KiB and the one that passes them");
        assert_eq!(pair.right.output(pair.now).len(), taken);
        assert!(pair.right.session.accepts_input());
    }
}

#[test]
fn acknowledgements_overtake_a_full_line() {
    let (mut pair, flow) = with_flow(0);
    pair.left.session.flows().write(flow, message("waits for a window")).unwrap();
    pair.settle();
    pair.left.input(pair.now, Bytes::from_static(b"\x01?")).unwrap();
    assert_eq!(pair.left.output(pair.now), ["A?"]);
}
