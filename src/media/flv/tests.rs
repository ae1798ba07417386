use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::media::codec::describe;
use crate::media::time::{Continuity, Timeline};

fn read_body(message_type: u8, body: &[u8]) -> Result<Option<Unit>, FlvError> {
    let message = [&[0xee; MESSAGE_HEADER_LEN], body].concat();
    read(message_type, Timestamp::from_millis(7), message.as_slice().into())
}

/// Kind, composition time and body of what is read.
fn unit(message_type: u8, body: &[u8]) -> Option<(UnitKind, i32, Vec<u8>)> {
    read_body(message_type, body).unwrap().map(|unit| (unit.kind, unit.composition_ms, unit.body().to_vec()))
}

fn refusal(message_type: u8, body: &[u8]) -> String {
    read_body(message_type, body).unwrap_err().to_string()
}

/// A body that passes unchanged.
#[track_caller]
fn passes(message_type: u8, body: &[u8], kind: UnitKind, composition_ms: i32) {
    assert_eq!(unit(message_type, body), Some((kind, composition_ms, body.to_vec())), "{body:02x?}");
}

#[test]
fn legacy_avc_passes() {
    passes(9, b"\x17\x00\x00\x00\x00record", UnitKind::Configuration, 0);
    passes(9, b"\x17\x01\x00\x00\x50frame", UnitKind::Key, 80);
    passes(9, b"\x27\x01\xff\xff\xd8frame", UnitKind::Delta, -40);
    passes(9, b"\x37\x01\x00\x00\x00frame", UnitKind::Delta, 0);
    passes(9, b"\x47\x01\x00\x00\x00frame", UnitKind::Key, 0);
    passes(9, b"\x17\x02\x00\x00\x00", UnitKind::EndOfSequence, 0);
}

#[test]
fn enhanced_video_passes() {
    for codec in ["avc1", "hvc1", "av01", "vp09"] {
        let body = |first: u8, rest: &[u8]| [&[first], codec.as_bytes(), rest].concat();
        passes(9, &body(0x90, b"record"), UnitKind::Configuration, 0);
        passes(9, &body(0x93, b"frame"), UnitKind::Key, 0);
        passes(9, &body(0xa3, b"frame"), UnitKind::Delta, 0);
        passes(9, &body(0x92, b""), UnitKind::EndOfSequence, 0);
        passes(9, &body(0x94, b"colorInfo"), UnitKind::Data, 0);
    }
    passes(9, b"\x91hvc1\x00\x00\x28frame", UnitKind::Key, 40);
    passes(9, b"\x91av01\x12\x00frame", UnitKind::Key, 0);
}

#[test]
fn the_coded_frame_is_found_behind_every_header() {
    let coded = |track, body: &'static [u8]| coded_in(track, body).map(|coded| (coded.composition_ms, coded.data));
    for (body, composition_ms) in [
        (&b"\x17\x01\x00\x00\x50frame"[..], 80),
        (b"\x27\x01\xff\xff\xd8frame", -40),
        (b"\x91hvc1\x00\x00\x28frame", 40),
        (b"\xa3avc1frame", 0),
        (b"\x91av01frame", 0),
    ] {
        assert_eq!(coded(Track::Video, body), Some((composition_ms, &b"frame"[..])), "{body:02x?}");
    }
    assert_eq!(coded(Track::Audio, b"\xaf\x01frame"), Some((0, &b"frame"[..])));
    assert_eq!(coded(Track::Audio, b"\x2fframe"), Some((0, &b"frame"[..])));
    for (track, body) in [
        (Track::Video, &b"\x17\x00\x00\x00\x00record"[..]),
        (Track::Video, b"\x17\x02\x00\x00\x00"),
        (Track::Video, b"\x91hvc1\x00"),
        (Track::Audio, b"\xaf\x00\x12\x10"),
        (Track::Data, b"frame"),
    ] {
        assert_eq!(coded(track, body), None, "{body:02x?}");
    }
}

#[test]
fn audio_passes() {
    passes(8, b"\xaf\x00\x12\x10", UnitKind::Configuration, 0);
    passes(8, b"\xaf\x01frame", UnitKind::Audio, 0);
    passes(8, b"\x2fframe", UnitKind::Audio, 0);
}

#[test]
fn aac_in_an_enhanced_header_gets_the_legacy_one() {
    assert_eq!(unit(8, b"\x90mp4a\x12\x10"), Some((UnitKind::Configuration, 0, b"\xaf\x00\x12\x10".to_vec())));
    assert_eq!(unit(8, b"\x91mp4aframe"), Some((UnitKind::Audio, 0, b"\xaf\x01frame".to_vec())));
    assert_eq!(unit(8, b"\x92mp4a"), None);
}

#[test]
fn set_data_frame_is_taken_off() {
    let metadata = b"\x02\x00\x0aonMetaData\x08\x00\x00\x00\x00\x00\x00\x09".to_vec();
    let set = [&b"\x02\x00\x0d@setDataFrame"[..], &metadata].concat();
    let expected = Some((UnitKind::Metadata, 0, metadata.clone()));
    assert_eq!(unit(18, &set), expected);
    assert_eq!(unit(18, &metadata), expected);
    assert_eq!(unit(15, &[&[0], &set[..]].concat()), expected);
    for end in 1..16 + 13 {
        read_body(18, &set[..end]).unwrap_err();
    }
}

#[test]
fn other_data_passes_and_clear_data_frame_is_dropped() {
    passes(18, b"\x02\x00\x06onText\x05", UnitKind::Data, 0);
    assert_eq!(unit(18, b"\x02\x00\x0f@clearDataFrame\x02\x00\x0aonMetaData"), None);
    assert_eq!(refusal(18, b"\x05"), "start of a data message 5 has no meaning");
}

#[test]
fn what_is_nothing_to_a_viewer_is_left_out() {
    for (message_type, body) in [
        (8, &b""[..]),
        (9, b""),
        (18, b""),
        (8, b"\xaf\x01"),
        (8, b"\x2f"),
        (9, b"\x17\x01\x00\x00\x00"),
        (9, b"\x57\x00"),
        (9, b"\x52\x01"),
        (9, b"\xd0\x00"),
    ] {
        assert_eq!(unit(message_type, body), None, "{body:02x?}");
    }
}

#[test]
fn other_codecs_are_refused_by_name() {
    for (message_type, body, name) in [
        (9, &b"\x12\x00"[..], "Sorenson H.263 video"),
        (9, b"\x14\x00", "VP6 video"),
        (9, b"\x1c\x01", "H.265 video without the enhanced header"),
        (9, b"\x90vvc1\x00", "codec vvc1"),
        (9, b"\x90\x00\xff\n1\x00", "codec \\x00\\xff\\n1"),
        (9, b"\x96\x00avc1", "multitrack video"),
        (8, b"\xbf\x00", "Speex audio"),
        (8, b"\x91Opus\x00", "Opus audio"),
        (8, b"\x95\x01mp4a", "multitrack audio"),
    ] {
        assert_eq!(refusal(message_type, body), format!("{name} can't be carried"));
    }
}

#[test]
fn a_cut_header_is_an_error() {
    for (message_type, header) in [
        (9, &b"\x17\x00\x00\x00\x00"[..]),
        (9, b"\x91hvc1\x00\x00"),
        (9, b"\x90av01"),
        (8, b"\xaf\x00"),
        (8, b"\x90mp4"),
    ] {
        for end in 1..=header.len() {
            let error = read_body(message_type, &header[..end]).unwrap_err();
            assert!(matches!(error, FlvError::Truncated { .. }), "{error}");
        }
    }
}

#[test]
fn the_message_gets_its_header() {
    let message = read_body(8, b"\x91mp4aframe").unwrap().unwrap().into_message();
    assert_eq!(message, &b"\x08\x00\x00\x00\x07\xaf\x01frame"[..]);
}

#[test]
fn the_record_of_a_configuration_is_found() {
    let configuration_of = |message_type, body| {
        let unit = read_body(message_type, body).unwrap().unwrap();
        configuration(&unit).map(|configuration| format!("{configuration:?}"))
    };
    assert_eq!(configuration_of(9, b"\x17\x00\x00\x00\x00!").as_deref(), Some("Avc([33])"));
    assert_eq!(configuration_of(9, b"\x90avc1!").as_deref(), Some("Avc([33])"));
    assert_eq!(configuration_of(9, b"\x90hvc1!").as_deref(), Some("Hevc([33])"));
    assert_eq!(configuration_of(8, b"\x90mp4a!").as_deref(), Some("Aac([33])"));
    assert_eq!(configuration_of(8, b"\xaf\x01!"), None);
}

/// Type, timestamp and body of each tag of an FLV file.
fn tags(file: &[u8]) -> Vec<(u8, u64, &[u8])> {
    const FILE_HEADER_LEN: usize = 9 + 4;
    const TAG_HEADER_LEN: usize = 11;
    let mut rest = &file[FILE_HEADER_LEN..];
    let mut tags = vec![];
    while let [message_type, l0, l1, l2, t0, t1, t2, t3, ..] = *rest {
        let len = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let (tag, next) = rest.split_at(TAG_HEADER_LEN + len + 4);
        tags.push((message_type, u32::from_be_bytes([t3, t0, t1, t2]).into(), &tag[TAG_HEADER_LEN..][..len]));
        rest = next;
    }
    tags
}

#[test]
fn the_demos_clip_is_read_whole_and_without_a_jump() {
    let mut timeline = Timeline::default();
    let begin = Instant::now();
    let mut kinds = vec![];
    let mut tracks = vec![];
    for (message_type, time, body) in tags(include_bytes!("../../demo/clip.flv")) {
        let message = [&[0; MESSAGE_HEADER_LEN], body].concat();
        let Some(mut unit) = read(message_type, Timestamp::from_millis(time), message.as_slice().into()).unwrap()
        else {
            continue;
        };
        assert_eq!(timeline.place(&mut unit, begin + Duration::from_millis(time)), Continuity::Continuous);
        kinds.push(unit.kind);
        tracks.extend(describe(&unit));
    }
    let first_frame = |kind| kinds.iter().position(|other| *other == kind);
    assert!(first_frame(UnitKind::Key) < first_frame(UnitKind::Delta), "{kinds:?}");
    assert_eq!(tracks.len(), 2, "{tracks:?}");
    assert!(kinds.contains(&UnitKind::Metadata) && kinds.contains(&UnitKind::Audio), "{kinds:?}");
}

proptest! {
    #[test]
    fn no_message_panics(message_type in prop_oneof![Just(8u8), Just(9), Just(15), Just(18)],
                         first: u8,
                         four_cc in prop::sample::select(vec![&b"mp4a"[..], b"hvc1", b"\x00\x0d@setDataFrame\x02", b""]),
                         rest in prop::collection::vec(any::<u8>(), 0..20)) {
        if let Ok(Some(unit)) = read_body(message_type, &[&[first], four_cc, &rest].concat()) {
            configuration(&unit);
            unit.into_message();
        }
        let _ = read(message_type, Timestamp::default(), rest.as_slice().into());
    }
}
