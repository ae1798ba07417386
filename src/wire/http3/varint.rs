//! QUIC's variable-length integers: big-endian, the length in the first two bits.
//!
//! | specification | section |
//! |---|---|
//! | RFC 9000 | §16 |

/// The largest value.
pub const MAX: u64 = (1 << 62) - 1;

/// The longest encoding, in bytes.
pub const MAX_LEN: usize = 8;

/// Appends `value`, at most [`MAX`], in its shortest form.
pub fn encode(value: u64, out: &mut Vec<u8>) {
    debug_assert!(value <= MAX, "{value} is no variable-length integer");
    let bytes = value.to_be_bytes();
    let (len, prefix) = match value {
        0..0x40 => (1, 0x00),
        0x40..0x4000 => (2, 0x40),
        0x4000..0x4000_0000 => (4, 0x80),
        _ => (8, 0xc0),
    };
    let start = out.len();
    out.extend_from_slice(&bytes[MAX_LEN - len..]);
    out[start] |= prefix;
}

/// How many bytes the integer takes that begins with this one.
pub fn len(first: u8) -> usize {
    1 << (first >> 6)
}

/// The integer at the front of `input`, and how many bytes it takes. `None`: there are not enough.
pub fn decode(input: &[u8]) -> Option<(u64, usize)> {
    let len = len(*input.first()?);
    let bytes = input.get(..len)?;
    let value = bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    // Without the two bits that say the length.
    Some((value & (u64::MAX >> (66 - 8 * len.min(8))), len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out);
        out
    }

    #[test]
    fn the_specifications_examples_are_read_and_written() {
        for (bytes, value) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            assert_eq!(decode(bytes), Some((value, bytes.len())));
            assert_eq!(encoded(value), bytes);
        }
    }

    #[test]
    fn longer_than_shortest_forms_are_read() {
        assert_eq!(decode(&[0x40, 0x25]), Some((37, 2)));
    }

    #[test]
    fn the_ends_of_every_length_survive() {
        for value in [0, 0x3f, 0x40, 0x3fff, 0x4000, 0x3fff_ffff, 0x4000_0000, MAX] {
            assert_eq!(decode(&encoded(value)), Some((value, encoded(value).len())));
        }
    }

    proptest! {
        #[test]
        fn every_value_survives_and_no_prefix_is_one(value in 0..=MAX) {
            let bytes = encoded(value);
            prop_assert_eq!(decode(&bytes), Some((value, bytes.len())));
            prop_assert_eq!(len(bytes[0]), bytes.len());
            for end in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..end]), None);
            }
        }
    }
}
