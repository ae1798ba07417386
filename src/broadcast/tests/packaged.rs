//! The stream's other form.

use std::time::SystemTime;

use mp4_atom::{Decode, Ftyp, Moof, Moov, Prft};

use super::*;
use crate::clock::Clock;
use crate::wire::tlv::{self, Message};

/// H.264 of 640×360.
const AVC: &[u8] =
    b"\x17\0\0\0\0\x01\x4d\x40\x1f\xff\xe1\x00\x1a\x67\x4d\x40\x1f\xa6\x11\x02\x80\xbf\xe5\xc0\x44\x00\x00\x03\x00\
    \x04\x00\x00\x03\x00\xf2\x3c\x60\xc8\x46\x01\x00\x06\x68\xe8\x43\x0b\x2c\x80";
/// 48 kHz, and 44.1.
const AAC: &[u8] = b"\xaf\0\x11\x90";
const OTHER_AAC: &[u8] = b"\xaf\0\x12\x10";

/// As [`unit`], with bodies that can be packaged: `V H` configurations of H.264 and H.265, `A B` of AAC.
fn real(kind: char, at: u64) -> Unit {
    let (track, unit_kind, body): (_, _, &[u8]) = match kind {
        'V' => (Track::Video, UnitKind::Configuration, AVC),
        'H' => (Track::Video, UnitKind::Configuration, b"\x90hvc1record"),
        'A' => (Track::Audio, UnitKind::Configuration, AAC),
        'B' => (Track::Audio, UnitKind::Configuration, OTHER_AAC),
        'K' => (Track::Video, UnitKind::Key, b"\x17\x01\0\0\0\0\0\0\x01\x65"),
        'd' => (Track::Video, UnitKind::Delta, b"\x27\x01\0\0\0\0\0\0\x01\x41"),
        'a' => (Track::Audio, UnitKind::Audio, b"\xaf\x01sound"),
        'E' => (Track::Video, UnitKind::EndOfSequence, b"\x17\x02\0\0\0"),
        other => return unit(other, at),
    };
    let mut message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
    message.extend_from_slice(body);
    Unit::new(track, unit_kind, Timestamp::from_millis(at), 0, message)
}

fn append(stream: &mut Stream, units: &[(char, u64)]) {
    units.iter().for_each(|&(kind, at)| stream.append(real(kind, at)));
}

fn subscribe(stream: &Stream, frames: usize) -> Subscriber {
    stream.registry.subscribe_packaged(&stream.path, frames, Clock.epoch())
}

/// What is read in short: `avc1.…` for a header, `K2@80` for the start of group 2, `v80×3` for a segment.
fn read(subscriber: &mut Subscriber) -> String {
    let mut words = Vec::new();
    while let Some(item) = subscriber.try_next() {
        match item {
            Item::Online => words.push("online".into()),
            Item::Offline => words.push("offline".into()),
            Item::Skipped { .. } => words.push("skipped".into()),
            Item::Frame(frame) if frame.track == Track::Data => words.push("data".into()),
            Item::Frame(frame) => words.extend(messages(frame.message).into_iter().map(word)),
        }
    }
    words.join(" ")
}

fn messages(mut bytes: Bytes) -> Vec<Message> {
    let messages = std::iter::from_fn(|| Message::decode(&mut bytes, u32::MAX).unwrap()).collect();
    assert!(bytes.is_empty());
    messages
}

/// What comes before a segment's `mdat`.
fn boxes(segment: &[u8]) -> (Option<Prft>, Moof) {
    let mut rest = segment;
    let reference = (segment[4..8] == *b"prft").then(|| Prft::decode(&mut rest).unwrap());
    (reference, Moof::decode(&mut rest).unwrap())
}

fn word(message: Message) -> String {
    let segment = |name: &str, bytes: Bytes| {
        let (_, moof) = boxes(&bytes);
        let at = moof.traf[0].tfdt.as_ref().unwrap().base_media_decode_time;
        format!("{name}{at}×{}", moof.traf[0].trun[0].samples.len())
    };
    match message {
        Message::Init { codec, .. } => codec,
        Message::Keyframe { group, decode_time } => format!("K{group}@{decode_time}"),
        Message::Segment(bytes) => segment("v", bytes),
        Message::Audio(bytes) => segment("a", bytes),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_joining_viewer_gets_headers_and_the_newest_group() {
    let mut stream = Stream::new(Config::default());
    let units = [('M', 0), ('V', 0), ('A', 0), ('K', 0), ('d', 40), ('K', 80), ('a', 100), ('d', 120)];
    append(&mut stream, &units);
    let mut viewer = subscribe(&stream, 1);
    assert_eq!(read(&mut viewer), "online data avc1.4d401f mp4a.40.2 K2@80 v80×1 a4800×1 v120×1");
    append(&mut stream, &[('d', 160), ('K', 200)]);
    assert_eq!(read(&mut viewer), "v160×1 K3@200 v200×1");
}

#[test]
fn every_viewer_reads_the_same_segments() {
    let mut stream = Stream::new(Config::default());
    append(&mut stream, &[('V', 0), ('K', 0)]);
    let mut viewers: Vec<_> = (0..50).map(|_| subscribe(&stream, 1)).collect();
    append(&mut stream, &[('d', 40)]);
    viewers.push(subscribe(&stream, 1));
    let pointers = |viewer: &mut Subscriber| {
        let items = std::iter::from_fn(|| viewer.try_next());
        let frames = items.filter_map(|item| if let Item::Frame(frame) = item { Some(frame) } else { None });
        frames.map(|frame| frame.message.as_ptr()).collect::<Vec<_>>()
    };
    let first = pointers(&mut viewers[0]);
    assert_eq!(first.len(), 3);
    assert!(viewers[1..].iter_mut().all(|viewer| pointers(viewer) == first));
}

#[test]
fn once_a_second_each_tracks_segment_says_when_it_came() {
    let mut stream = Stream::new(Config::default());
    let epoch = Clock.epoch();
    append(&mut stream, &[('V', 0), ('A', 0), ('K', 0), ('a', 0)]);
    for frame in 1..=60 {
        append(&mut stream, &[('d', 40 * frame), ('a', 40 * frame)]);
    }
    for (track, timescale) in [(Track::Video, 1000), (Track::Audio, 48_000)] {
        let mut viewer = stream.registry.subscribe_packaged(&stream.path, 1, epoch);
        let items = std::iter::from_fn(|| viewer.try_next());
        let of_track = items.filter_map(|item| match item {
            Item::Frame(frame) if frame.track == track => Some(frame.message),
            _ => None,
        });
        let segments = of_track.flat_map(messages).filter_map(|message| match message {
            Message::Segment(bytes) | Message::Audio(bytes) => Some(boxes(&bytes)),
            _ => None,
        });
        let told: Vec<_> =
            segments.map(|(reference, _)| reference).enumerate().filter_map(|(n, told)| Some((n, told?))).collect();
        assert_eq!(told.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [0, 25, 50]);
        for (n, reference) in told {
            let since = Duration::from_millis(40 * n as u64);
            assert_eq!(u128::from(reference.media_time) * 1000, since.as_millis() * timescale);
            let came = epoch.wall_at(stream.start + since).duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let told = reference.ntp_timestamp as f64 / 2f64.powi(32) - 2_208_988_800.0;
            assert!((told - came.as_secs_f64()).abs() < 1e-5, "{told} is not {came:?}");
        }
    }
}

#[test]
fn a_segment_of_several_frames_ends_with_its_group() {
    let mut stream = Stream::new(Config::default());
    append(&mut stream, &[('V', 0), ('K', 0)]);
    let mut viewer = subscribe(&stream, 3);
    assert_eq!(read(&mut viewer), "online avc1.4d401f");
    append(&mut stream, &[('d', 40), ('d', 80), ('d', 120)]);
    assert_eq!(read(&mut viewer), "K1@0 v0×3");
    append(&mut stream, &[('K', 160)]);
    assert_eq!(read(&mut viewer), "v120×1");
    stream.publisher = None;
    assert_eq!(read(&mut viewer), "K2@160 v160×1 offline");
}

#[test]
fn a_new_configuration_is_a_new_header_and_the_same_one_is_none() {
    let mut stream = Stream::new(Config::default());
    append(&mut stream, &[('A', 0), ('a', 0)]);
    let mut viewer = subscribe(&stream, 1);
    assert_eq!(read(&mut viewer), "online mp4a.40.2 a0×1");
    append(&mut stream, &[('A', 21), ('a', 21), ('B', 43), ('a', 43)]);
    assert_eq!(read(&mut viewer), "a1024×1 mp4a.40.2 a1896×1");
}

#[test]
fn a_returning_publisher_begins_with_headers_and_goes_on_in_time() {
    let mut stream = Stream::new(Config::default());
    append(&mut stream, &[('V', 0), ('K', 0)]);
    let mut viewer = subscribe(&stream, 1);
    read(&mut viewer);
    stream.publisher = None;
    assert_eq!(read(&mut viewer), "offline");
    stream.publish();
    append(&mut stream, &[('V', 500), ('K', 500)]);
    assert_eq!(read(&mut viewer), "online avc1.4d401f K2@500 v500×1");
}

#[test]
fn the_end_of_a_sequence_ends_a_segment() {
    let mut stream = Stream::new(Config::default());
    append(&mut stream, &[('V', 0), ('K', 0), ('E', 40)]);
    assert_eq!(read(&mut subscribe(&stream, 3)), "online avc1.4d401f K1@0 v0×1");
}

#[test]
fn a_track_that_no_header_can_be_made_of_leaves_the_other_in_peace() {
    let mut stream = Stream::new(Config::default());
    append(&mut stream, &[('H', 0), ('A', 0), ('K', 0), ('a', 0), ('d', 40)]);
    assert_eq!(read(&mut subscribe(&stream, 1)), "online mp4a.40.2 a0×1");
}

#[test]
fn while_nobody_looks_nothing_is_made_and_who_looks_again_skips() {
    let mut stream = Stream::new(Config::default());
    append(&mut stream, &[('V', 0), ('K', 0)]);
    let mut viewer = subscribe(&stream, 1);
    assert_eq!(read(&mut viewer), "online avc1.4d401f K1@0 v0×1");
    for second in 1..30 {
        append(&mut stream, &[('K', second * 1000), ('d', second * 1000 + 40)]);
    }
    assert_eq!(read(&mut viewer), "K30@29000 v29000×1 v29040×1");
}

#[test]
fn a_viewer_that_lags_behind_the_others_skips() {
    let mut stream = Stream::new(Config::default());
    append(&mut stream, &[('V', 0), ('K', 0)]);
    let (mut prompt, mut slow) = (subscribe(&stream, 1), subscribe(&stream, 1));
    read(&mut slow);
    for second in 1..4 {
        append(&mut stream, &[('K', second * 1000), ('d', second * 1000 + 40)]);
        read(&mut prompt);
    }
    assert_eq!(read(&mut slow), "skipped K4@3000 v3000×1 v3040×1");
}

#[test]
fn headers_of_all_messages_are_of_one_length() {
    // What is the same again is found behind it.
    assert_eq!(tlv::HEADER_LEN, MESSAGE_HEADER_LEN);
}

#[test]
fn the_newest_key_frame_is_a_file_of_its_own_and_nobody_s_view() {
    let mut stream = Stream::new(Config::default());
    assert_eq!(stream.registry.key_frame(&stream.path), None);
    append(&mut stream, &[('V', 0), ('K', 5000), ('d', 5040), ('K', 7000), ('d', 7040)]);
    let file = stream.registry.key_frame(&stream.path).unwrap();
    let rest = &mut &file[..];
    Ftyp::decode(rest).unwrap();
    Moov::decode(rest).unwrap();
    let moof = Moof::decode(rest).unwrap();
    assert_eq!(moof.traf[0].tfdt.as_ref().unwrap().base_media_decode_time, 0);
    assert_eq!(moof.traf[0].trun[0].samples.len(), 1);
    assert!(file.ends_with(b"mdat\0\0\0\x01\x65"));
    assert_eq!(stream.registry.streams(stream.start)[0].viewers, 0);
    stream.publisher = None;
    assert_eq!(stream.registry.key_frame(&stream.path), None);
}

#[test]
fn there_is_no_key_frame_of_sound_or_of_what_can_t_be_packaged() {
    for units in [[('A', 0), ('a', 0)], [('H', 0), ('K', 0)], [('K', 0), ('d', 40)]] {
        let mut stream = Stream::new(Config::default());
        append(&mut stream, &units);
        assert_eq!(stream.registry.key_frame(&stream.path), None);
    }
}
