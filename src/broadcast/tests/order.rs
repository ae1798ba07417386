//! What decoders are told about the order of pictures.

use super::*;
use crate::media::codec::picture_order::declare;
use crate::media::codec::picture_order::tests::{UNKNOWN, undeclared};

const HEADER: &[u8] = b"\x17\x00\x00\x00\x00";
const FRAME: u64 = 20;

fn configuration(record: &[u8], at: u64) -> Unit {
    let mut message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
    message.extend_from_slice(HEADER);
    message.extend_from_slice(record);
    Unit::new(Track::Video, UnitKind::Configuration, Timestamp::from_millis(at), 0, message)
}

fn stream(declare_picture_order: bool) -> Stream {
    let rules = PublisherRules { declare_picture_order, ..PublisherRules::default() };
    let registry = Registry::with_rules(Config::default(), rules);
    let mut stream =
        Stream { registry, path: StreamPath::new("live", "x").unwrap(), publisher: None, start: Instant::now() };
    stream.publish();
    stream.append(configuration(&undeclared(UNKNOWN), 0));
    stream
}

/// Groups of 50 frames, from one time to another, `composition_ms` being that of the last frame of each.
fn groups(stream: &mut Stream, from: u64, to: u64, composition_ms: i32) {
    for at in (from..to).step_by(FRAME as usize) {
        let kind = if at % 1000 == 0 { 'K' } else { 'd' };
        let mut unit = unit(kind, at);
        unit.composition_ms = if at % 1000 == 1000 - FRAME { composition_ms } else { 0 };
        stream.append(unit);
    }
}

/// The records that a viewer is given, in order.
fn records(subscriber: &mut Subscriber) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| subscriber.try_next())
        .filter_map(|item| match item {
            Item::Frame(frame) if frame.kind == UnitKind::Configuration => {
                Some(frame.message[MESSAGE_HEADER_LEN + HEADER.len()..].to_vec())
            }
            _ => None,
        })
        .collect()
}

#[test]
fn who_joins_a_stream_without_reordering_is_told_and_who_was_there_is_left_alone() {
    let (original, declared) = (undeclared(UNKNOWN), declare(&undeclared(UNKNOWN)).unwrap().record);
    let mut stream = stream(true);
    let mut early = stream.subscribe();
    let mut told = Vec::new();
    for second in 0..6 {
        groups(&mut stream, second * 1000, second * 1000 + 1000, 0);
        told.extend(records(&mut early));
        if second == 1 {
            assert_eq!(records(&mut stream.subscribe()), std::slice::from_ref(&original), "two seconds are not enough");
        }
    }
    // Some encoders repeat it.
    stream.append(configuration(&original, 6000));
    groups(&mut stream, 6000, 6500, 0);
    told.extend(records(&mut early));
    assert_eq!(told, [original]);
    assert_eq!(records(&mut stream.subscribe()), [declared]);
}

#[test]
fn a_stream_with_reordering_is_left_alone() {
    let mut stream = stream(true);
    groups(&mut stream, 0, 10_000, 40);
    assert_eq!(records(&mut stream.subscribe()), [undeclared(UNKNOWN)]);
}

#[test]
fn what_turns_out_to_be_wrong_is_taken_back_at_the_next_key_frame() {
    let (original, declared) = (undeclared(UNKNOWN), declare(&undeclared(UNKNOWN)).unwrap().record);
    let mut stream = stream(true);
    groups(&mut stream, 0, 5000, 0);
    let mut told = stream.subscribe();
    groups(&mut stream, 5000, 6500, 40);
    assert_eq!(records(&mut told), [declared, original.clone()]);
    assert_eq!(records(&mut stream.subscribe()), [original]);
}

#[test]
fn nothing_is_declared_where_that_is_not_wanted() {
    let mut stream = stream(false);
    groups(&mut stream, 0, 10_000, 0);
    assert_eq!(records(&mut stream.subscribe()), [undeclared(UNKNOWN)]);
}
