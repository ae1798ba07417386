//! HTTP/3: a field section, a CONNECT stream's capsules. Where a stream is cut makes no difference, and what is read can be
//! written and read again.

#![no_main]

use headwater::wire::http3::capsule::{self, Reader};
use headwater::wire::http3::{qpack, varint};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(fields) = qpack::decode(input) {
        let mut section = Vec::new();
        qpack::encode_start(&mut section);
        fields.iter().for_each(|(name, value)| qpack::encode_field(name, value, &mut section));
        assert_eq!(qpack::decode(&section), Ok(fields));
    }
    if let Some((value, _)) = varint::decode(input) {
        let mut shortest = Vec::new();
        varint::encode(value, &mut shortest);
        assert_eq!(varint::decode(&shortest), Some((value, shortest.len())));
    }
    let whole = Reader::default().read(input);
    let mut reader = Reader::default();
    let pieces = input.iter().map(|byte| reader.read(std::slice::from_ref(byte)));
    assert_eq!(pieces.into_iter().find(|result| *result != Ok(None)).unwrap_or(Ok(None)), whole);
    if let Ok(Some(close)) = whole {
        let again = Reader::default().read(&capsule::close(close.code, &close.reason));
        assert!(matches!(again, Ok(Some(again)) if again.code == close.code));
    }
});
