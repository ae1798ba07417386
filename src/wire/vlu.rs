//! Variable-length unsigned integers: big-endian base 128, bit 7 set on every byte but the last.
//!
//! | specification | section |
//! |---|---|
//! | RFC 7016 | §2.1.2 |

use bytes::{Buf, Bytes};
use thiserror::Error;

/// The longest minimal encoding of a `u64`, in bytes.
pub const MAX_LEN: usize = 10;

/// The input ended inside an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("truncated variable-length integer")]
pub struct Truncated;

/// Writes `value` in its minimal form to the start of `out` and returns how many bytes it took.
pub fn encode(value: u64, out: &mut [u8; MAX_LEN]) -> usize {
    let len = len(value);
    for (i, byte) in out[..len].iter_mut().enumerate() {
        let shift = 7 * (len - 1 - i);
        let more = if shift > 0 { 0x80 } else { 0 };
        // Masked to seven bits, so the cast loses nothing.
        *byte = ((value >> shift) & 0x7f) as u8 | more;
    }
    len
}

/// How many bytes the minimal form of `value` takes, 1 to 10.
pub fn len(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    (bits.div_ceil(7)).max(1) as usize
}

/// Takes one integer off the front of `input`.
///
/// Longer than minimal forms are accepted, as every known peer accepts them; values beyond `u64` saturate.
///
/// # Errors
/// [`Truncated`] when the input ends before the last byte; `input` is then used up.
pub fn decode(input: &mut Bytes) -> Result<u64, Truncated> {
    let mut value: u64 = 0;
    while input.has_remaining() {
        let byte = input.get_u8();
        value = if value >> (u64::BITS - 7) == 0 { value << 7 | u64::from(byte & 0x7f) } else { u64::MAX };
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Truncated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = [0; MAX_LEN];
        let len = encode(value, &mut out);
        out[..len].to_vec()
    }

    #[test]
    fn known_values_encode_as_genuine_peers_do() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x81, 0x00]),
            (2800, &[0x95, 0x70]),
            (11200, &[0xd7, 0x40]),
            (65536, &[0x84, 0x80, 0x00]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (16_777_215, &[0x87, 0xff, 0xff, 0x7f]),
            (1 << 32, &[0x90, 0x80, 0x80, 0x80, 0x00]),
        ] {
            assert_eq!(encoded(value), bytes, "{value}");
        }
    }

    #[test]
    fn non_minimal_input_is_accepted() {
        assert_eq!(decode(&mut Bytes::from_static(&[0x80, 0x80, 0x05])), Ok(5));
    }

    #[test]
    fn a_value_beyond_64_bits_saturates() {
        let mut input = Bytes::from_static(&[0xff; 20]).slice(..);
        assert_eq!(decode(&mut input), Err(Truncated));
        let mut bytes = vec![0xff; 20];
        bytes.push(0x7f);
        assert_eq!(decode(&mut bytes.into()), Ok(u64::MAX));
    }

    proptest! {
        #[test]
        fn every_value_survives_and_every_prefix_is_truncated(value: u64) {
            let bytes = encoded(value);
            prop_assert_eq!(bytes.len(), len(value));
            prop_assert_eq!(decode(&mut bytes.clone().into()), Ok(value));
            for end in 0..bytes.len() {
                prop_assert_eq!(decode(&mut Bytes::copy_from_slice(&bytes[..end])), Err(Truncated));
            }
        }
    }
}
