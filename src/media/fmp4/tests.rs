//! Boxes as a person reads them, and what must hold of any stream.

mod tree;

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use mp4_atom::{Decode, Moof};
use proptest::prelude::*;

use super::*;
use crate::media::codec::{aac, avc};
use crate::media::flv::Coded;
use crate::media::time::Timestamp;

/// H.264, main profile, level 3.1, 640×360: that of the demo's clip.
const AVC: &[u8] =
    b"\x01\x4d\x40\x1f\xff\xe1\x00\x1a\x67\x4d\x40\x1f\xa6\x11\x02\x80\xbf\xe5\xc0\x44\x00\x00\x03\x00\x04\x00\
    \x00\x03\x00\xf2\x3c\x60\xc8\x46\x01\x00\x06\x68\xe8\x43\x0b\x2c\x80";
/// AAC-LC, 48 kHz, stereo, without SBR.
const AAC: &[u8] = b"\x11\x90\x56\xe5\x00";

const IDR: &[u8] = b"\0\0\0\x05\x65idr!";
const SLICE: &[u8] = b"\0\0\0\x02\x41s";

/// Compares with a stored snapshot. With `UPDATE_SNAPSHOTS` set, stores it.
#[track_caller]
fn snapshot(name: &str, file: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/media/fmp4/snapshots").join(name).with_extension("txt");
    let tree = tree::of(file);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &tree).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(tree == stored, "{} is not\n{tree}", path.display());
}

fn video(frames: usize) -> Track {
    Track::avc(&avc::Configuration::read(AVC).unwrap(), frames)
}

fn audio(frames: usize) -> Track {
    Track::aac(&aac::Configuration::read(AAC).unwrap(), frames)
}

fn push(track: &mut Track, ms: u64, composition_ms: i32, data: &'static [u8]) -> Option<Bytes> {
    let shared = Bytes::from_static(data);
    track.push(Timestamp::from_millis(ms), Coded { composition_ms, data: &shared }, &shared).map(|made| written(&made))
}

fn written(fragment: &Fragment) -> Bytes {
    let mut out = BytesMut::new();
    fragment.write(&mut out);
    assert_eq!(out.len(), fragment.len());
    out.freeze()
}

/// Where a fragment begins, and its samples' durations.
fn times(fragment: &Bytes) -> (u64, Vec<u32>) {
    let moof = Moof::decode(&mut &fragment[..]).unwrap();
    let traf = &moof.traf[0];
    let durations = traf.trun[0].samples.iter().map(|sample| sample.duration.unwrap()).collect();
    (traf.tfdt.as_ref().unwrap().base_media_decode_time, durations)
}

#[test]
fn the_header_of_h264() {
    let made = init::avc(AVC).unwrap();
    assert_eq!((made.codec.as_str(), made.width, made.height), ("avc1.4d401f", 640, 360));
    snapshot("avc-init", &made.segment);
}

#[test]
fn the_header_of_aac() {
    let made = init::aac(AAC).unwrap();
    assert_eq!((made.codec.as_str(), made.width, made.height), ("mp4a.40.2", 0, 0));
    snapshot("aac-init", &made.segment);
}

#[test]
fn a_fragment_of_one_key_frame() {
    snapshot("avc-key", &push(&mut video(1), 5000, 80, IDR).unwrap());
}

#[test]
fn a_fragment_of_three_frames_with_b_frames() {
    let mut track = video(3);
    assert_eq!(push(&mut track, 5000, 40, IDR), None);
    assert_eq!(push(&mut track, 5040, 80, SLICE), None);
    snapshot("avc-three", &push(&mut track, 5080, -40, SLICE).unwrap());
}

#[test]
fn a_fragment_of_sound() {
    snapshot("aac-frame", &push(&mut audio(1), 5000, 0, b"sound").unwrap());
}

/// A fragment of one picture, shown 80 ms after it is decoded, that says it came half a second after `seconds` of Unix time.
fn referred(ms: u64, seconds: u64) -> Bytes {
    let shared = Bytes::from_static(IDR);
    let coded = Coded { composition_ms: 80, data: &shared };
    let mut fragment = video(1).push(Timestamp::from_millis(ms), coded, &shared).unwrap();
    fragment.refer(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(500));
    written(&fragment)
}

#[test]
fn a_fragment_that_says_when_it_came() {
    snapshot("avc-key-referred", &referred(5000, 1_700_000_000));
}

#[test]
fn a_time_of_day_after_2036_and_a_stream_of_months_fit() {
    let tree = tree::of(&referred(5_000_000_000, 2_085_978_496));
    assert!(tree.starts_with("prft 32: version 1, flags 1, track 1 is at 5000000080 at 0 s, 2147483648\n"), "{tree}");
}

#[test]
fn a_key_frame_that_is_no_idr_picture_is_no_sync_sample() {
    let flags =
        |fragment: Bytes| Moof::decode(&mut &fragment[..]).unwrap().traf[0].trun[0].samples.get(0).unwrap().flags;
    assert_eq!(flags(push(&mut video(1), 0, 0, IDR).unwrap()), Some(0x0200_0000));
    assert_eq!(flags(push(&mut video(1), 0, 0, SLICE).unwrap()), Some(0x0101_0000));
}

#[test]
fn a_frame_is_taken_to_last_as_long_as_the_one_before() {
    let mut track = video(1);
    let made: Vec<_> =
        [0, 33, 67, 100, 5000, 5033].into_iter().map(|ms| times(&push(&mut track, ms, 0, SLICE).unwrap())).collect();
    let expected = [(0, 33), (33, 33), (67, 34), (100, 33), (5000, 33), (5033, 33)];
    assert_eq!(made, expected.map(|(at, duration)| (at, vec![duration])));
}

#[test]
fn what_is_not_complete_is_given_when_it_is_asked_for_or_forgotten() {
    let mut track = video(3);
    push(&mut track, 0, 0, IDR);
    push(&mut track, 40, 0, SLICE);
    assert_eq!(times(&written(&track.finish().unwrap())), (0, vec![40, 40]));
    assert!(track.finish().is_none());
    push(&mut track, 80, 0, SLICE);
    track.skip();
    assert!(track.finish().is_none());
    push(&mut track, 400, 0, IDR);
    assert_eq!(times(&written(&track.finish().unwrap())).0, 400);
}

#[test]
fn sound_is_without_gaps_where_milliseconds_were_rounded() {
    let mut track = audio(1);
    for frame in 0..1000 {
        let ms = frame * 1024 / 48;
        assert_eq!(times(&push(&mut track, ms, 0, b"sound").unwrap()), (frame * 1024, vec![1024]), "{ms}");
    }
}

#[test]
fn sound_that_is_missing_leaves_a_gap() {
    let mut track = audio(1);
    push(&mut track, 0, 0, b"sound");
    // The frame at 21 is lost.
    assert_eq!(times(&push(&mut track, 42, 0, b"sound").unwrap()), (2016, vec![1024]));
    assert_eq!(times(&push(&mut track, 64, 0, b"sound").unwrap()), (3040, vec![1024]));
}

#[test]
fn records_that_no_header_can_be_made_of_are_refused() {
    for end in 0..AVC.len() {
        init::avc(&AVC[..end]).unwrap_err();
    }
    init::avc(&[AVC, &[0; 20_000]].concat()).unwrap_err();
    // A sample rate of 0, spelt out.
    init::aac(b"\x17\x80\x00\x00\x10").unwrap_err();
}

#[test]
fn bytes_behind_a_record_that_are_no_extension_do_no_harm() {
    assert_eq!(init::avc(&[AVC, b"\xff"].concat()), init::avc(AVC));
}

proptest! {
    #[test]
    fn no_record_panics(record in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = init::avc(&record);
        let _ = init::aac(&record);
    }

    /// Whatever its frames' times are, a track never goes back, and its fragments hold what they say.
    #[test]
    fn a_track_never_goes_back(
        steps in prop::collection::vec((0u64..5000, -500i32..500), 1..40),
        frames in 1usize..5,
        sound: bool,
    ) {
        let mut track = if sound { audio(frames) } else { video(frames) };
        let (mut ms, mut made) = (0, vec![]);
        for (step, composition) in &steps {
            ms += step;
            made.extend(push(&mut track, ms, *composition, SLICE));
        }
        made.extend(track.finish().map(|fragment| written(&fragment)));
        let mut earliest = 0;
        for fragment in &made {
            let (at, durations) = times(fragment);
            prop_assert!(at >= earliest && durations.len() <= frames);
            // The last frame's duration is foretold.
            earliest = at + durations.iter().rev().skip(1).map(|duration| u64::from(*duration)).sum::<u64>();
            prop_assert!(fragment.ends_with(&SLICE.repeat(durations.len())));
        }
        let count: usize = made.iter().map(|fragment| times(fragment).1.len()).sum();
        prop_assert_eq!(count, steps.len());
    }

    #[test]
    fn a_timestamp_at_the_end_of_time_is_no_overflow(ms: u64) {
        for mut track in [audio(1), video(1)] {
            push(&mut track, ms, i32::MIN, SLICE);
            push(&mut track, ms, i32::MAX, SLICE);
        }
    }
}
