//! AMF0: whatever is read can be written and read again.

#![no_main]

use bytes::BytesMut;
use headwater::wire::amf0::{MAX_BYTES, Value, decode_all, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(values) = decode_all(input) else { return };
    let written = write(&values);
    // Text that isn't UTF-8 grows when it is read.
    if written.len() <= MAX_BYTES {
        let again = decode_all(&written).expect("what was written can be read");
        assert_eq!(write(&again), written);
    }
});

fn write(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    encode(values, &mut out);
    out
}
