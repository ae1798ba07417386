use proptest::prelude::*;

use super::*;

fn record(kind: u64, body: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    varint::encode(kind, &mut record);
    varint::encode(body.len() as u64, &mut record);
    record.extend(body);
    record
}

/// Only the beginning of one.
fn claim(kind: u64, len: u64) -> Vec<u8> {
    let mut record = Vec::new();
    varint::encode(kind, &mut record);
    varint::encode(len, &mut record);
    record
}

fn end(code: u32, reason: &str) -> Result<Option<Close>, CapsuleError> {
    Ok(Some(Close { code, reason: reason.into() }))
}

fn read(bytes: &[u8]) -> Result<Option<Close>, CapsuleError> {
    Reader::default().read(bytes)
}

#[test]
fn an_end_has_the_form_that_browsers_read() {
    assert_eq!(close(7, "bye"), [0x00, 10, 0x68, 0x43, 7, 0, 0, 0, 7, b'b', b'y', b'e']);
    assert_eq!(read(&close(7, "bye")), end(7, "bye"));
}

#[test]
fn every_prefix_of_an_end_is_no_end_yet_and_the_rest_makes_it_one() {
    let bytes = [record(0x21, b"grease"), record(0, &record(0x17, b"grease")), close(u32::MAX, "größer")].concat();
    for at in 0..bytes.len() {
        let mut reader = Reader::default();
        assert_eq!(reader.read(&bytes[..at]), Ok(None), "{at}");
        assert_eq!(reader.read(&bytes[at..]), end(u32::MAX, "größer"), "{at}");
    }
}

#[test]
fn what_nobody_knows_is_skipped_even_when_it_is_empty() {
    let capsules = [record(0x29, &[]), record(0x1f * 7 + 0x17, &[9; 2000]), record(CLOSE, &[0, 0, 0, 5])].concat();
    let frames = [record(0, &[]), record(0x1f * 3 + 0x21, &[1; 3000]), record(0x21, &[]), record(0, &capsules)];
    assert_eq!(read(&frames.concat()), end(5, ""));
}

#[test]
fn a_capsule_may_go_on_in_the_next_frame() {
    let capsule = record(CLOSE, b"\0\0\0\x01over");
    let frames: Vec<u8> = capsule.iter().flat_map(|&byte| [record(0, &[byte]), record(0x21, b"?")].concat()).collect();
    assert_eq!(read(&frames), end(1, "over"));
}

#[test]
fn an_endless_capsule_is_refused_at_its_length() {
    for len in [MAX_LEN + 1, varint::MAX] {
        let data = claim(0, varint::MAX);
        assert_eq!(read(&[data, claim(0x17, len)].concat()), Err(CapsuleError::Length(len)));
        assert_eq!(read(&claim(0x21, len)), Err(CapsuleError::Length(len)));
    }
}

#[test]
fn small_capsules_without_end_are_refused() {
    let mut reader = Reader::default();
    assert_eq!(reader.read(&claim(0, varint::MAX)), Ok(None));
    let mut capsules = std::iter::repeat_with(|| reader.read(&record(0x17, &[0; 100])));
    assert_eq!(capsules.find(|result| *result != Ok(None)), Some(Err(CapsuleError::TooMuch)));
}

#[test]
fn an_end_of_a_length_that_none_has_is_refused() {
    assert_eq!(read(&record(0, &record(CLOSE, &[0; 3]))), Err(CapsuleError::Length(3)));
    assert_eq!(read(&[claim(0, 5000), claim(CLOSE, 1029)].concat()), Err(CapsuleError::Length(1029)));
}

#[test]
fn frames_that_are_known_and_hold_no_data_are_refused() {
    for kind in [0x01, 0x03, 0x04, 0x05, 0x07, 0x0d, 0x41] {
        assert_eq!(read(&record(kind, b"?")), Err(CapsuleError::Frame), "{kind:x}");
    }
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let Ok(Some(read)) = read(&close(0, &"ä".repeat(MAX_REASON))) else { panic!() };
    assert_eq!(read.reason, "ä".repeat(MAX_REASON / 2));
}

proptest! {
    #[test]
    fn where_it_is_cut_makes_no_difference(
        kinds in prop::collection::vec((prop::sample::select(&[0u64, 0x21, 0x17, CLOSE][..]), prop::collection::vec(any::<u8>(), 0..20)), 0..8),
        cuts in prop::collection::vec(1usize..9, 1..40),
    ) {
        let capsules: Vec<u8> = kinds.iter().flat_map(|(kind, body)| record(*kind, body)).collect();
        let bytes: Vec<u8> = capsules.chunks(7).flat_map(|piece| record(0, piece)).collect();
        let (mut reader, mut rest, mut cut) = (Reader::default(), &bytes[..], cuts.iter().cycle());
        let mut result = Ok(None);
        while !rest.is_empty() && result == Ok(None) {
            let (piece, behind) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
            result = reader.read(piece);
            rest = behind;
        }
        prop_assert_eq!(result, read(&bytes));
    }
}
