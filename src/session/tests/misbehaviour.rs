//! Peers that break the protocol: each is named, none does harm.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::session::PeerMisbehaved;

/// What the right side says of these messages from a stranger.
fn verdict(messages: &[&'static [u8]]) -> Result<(), PeerMisbehaved> {
    let mut pair = Pair::new();
    let mut result = Ok(());
    for message in messages {
        result = pair.right.input(pair.now, Bytes::from_static(message));
        pair.right.output(pair.now);
    }
    result
}

#[test]
fn messages_about_flows_that_are_not_open_are_refused() {
    for (message, what) in [
        (&b"\x1d\x05abc"[..], "data"),
        (b"\x1a\x05", "abandonment"),
        (b"\x1c\x05", "close"),
        (b"\x5a\x05\0\0", "acknowledgement"),
        (b"\x5c\x05", "close acknowledgement"),
        (b"\x5e\x05\0", "exception"),
    ] {
        assert_eq!(verdict(&[message]), Err(PeerMisbehaved::UnknownFlow { what, flow: 5 }));
    }
}

#[test]
fn a_number_in_use_is_refused() {
    assert_eq!(verdict(&[b"\x10\0", b"\x10\0"]), Err(PeerMisbehaved::FlowInUse { flow: 0 }));
}

#[test]
fn a_number_may_be_used_again_as_soon_as_it_was_closed() {
    assert_eq!(verdict(&[b"\x10\0", b"\x1c\0", b"\x10\0"]), Ok(()));
}

#[test]
fn a_truncated_number_is_refused() {
    assert!(matches!(verdict(&[b"\x10\x80"]), Err(PeerMisbehaved::Malformed(_))));
}

#[test]
fn a_flood_of_flows_is_refused() {
    let mut pair = Pair::new();
    let open = |flow| Frame::Open { flow, answers: None, metadata: Bytes::new() }.encode().to_bytes();
    for flow in 0..64 {
        pair.right.input(pair.now, open(flow)).unwrap();
    }
    assert_eq!(pair.right.input(pair.now, open(64)), Err(PeerMisbehaved::TooManyFlows { limit: 64 }));
}

#[test]
fn an_endless_message_is_refused_at_the_limit() {
    let mut pair = Pair::new();
    pair.right.accepts = Some(64 << 10);
    pair.right.input(pair.now, Bytes::from_static(b"\x10\0")).unwrap();
    let piece = Frame::Data { flow: 0, last: false, payload: vec![0; 64 << 10].into() }.encode().to_bytes();
    for _ in 0..4 {
        pair.right.input(pair.now, piece.clone()).unwrap();
    }
    let refused = pair.right.input(pair.now, piece);
    assert_eq!(refused, Err(PeerMisbehaved::MessageTooLong { flow: 0, limit: 256 << 10 }));
}

#[test]
fn a_flow_with_a_large_window_takes_as_large_a_message() {
    let (mut pair, flow) = with_flow(2 << 20);
    pair.left.session.flows().write(flow, filled(0, 2 << 20)).unwrap();
    pair.settle();
    assert_eq!(pair.right.messages().len(), 1);
}

#[test]
fn an_acknowledgement_of_bytes_never_sent_is_refused() {
    let mut pair = Pair::new();
    let flow = pair.left.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    pair.left.session.flows().write(flow, message("five!")).unwrap();
    pair.left.output(pair.now);
    let ack = |delta| Frame::Ack { flow: 0, delta, advertisement: 0 }.encode().to_bytes();
    assert_eq!(pair.left.input(pair.now, ack(7)), Ok(()));
    assert_eq!(pair.left.input(pair.now, ack(1)), Err(PeerMisbehaved::AckBeyondSent { flow: 0 }));
}

#[test]
fn a_number_given_back_before_its_close_is_refused() {
    let mut pair = Pair::new();
    pair.left.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    pair.left.output(pair.now);
    let refused = pair.left.input(pair.now, Bytes::from_static(b"\x5c\0"));
    assert_eq!(refused, Err(PeerMisbehaved::UnknownFlow { what: "close acknowledgement", flow: 0 }));
}

#[test]
fn unknown_types_and_empty_messages_are_ignored() {
    assert_eq!(verdict(&[b"", b"\x77\x01\x02", b"\x41zz"]), Ok(()));
}

proptest! {
    #[test]
    fn arbitrary_messages_never_panic(inputs in proptest::collection::vec(
        (prop_oneof![Just(0x10_u8), Just(0x30), Just(0x3d), Just(0x1d), Just(0x1a), Just(0x1c), Just(0x5a), Just(0x5c), Just(0x5e), any::<u8>()],
         proptest::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..8)), 0..60)) {
        let mut pair = Pair::new();
        let flow = pair.right.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
        pair.right.session.flows().write(flow, filled(0, 1000)).unwrap();
        for (kind, rest) in inputs {
            if pair.right.input(pair.now, [vec![kind], rest].concat().into()).is_err() {
                break;
            }
            pair.right.output(pair.now);
        }
    }
}
