//! The code that strings are shortened with.
//!
//! | specification | section |
//! |---|---|
//! | RFC 7541 | §5.2, appendix B |
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their symbols, and follow on those of the
//! length before. The lengths alone tell the rest.

/// Bits of each symbol's code; the last one is the end of string.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const END: u16 = 256;
const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// The code, to be decoded bit by bit.
struct Code {
    /// How many symbols have codes of each length.
    counts: [u16; LONGEST + 1],
    /// All symbols, by length, then by number.
    symbols: [u16; LENGTHS.len()],
}

const CODE: Code = Code::new();

impl Code {
    const fn new() -> Self {
        let mut code = Self { counts: [0; LONGEST + 1], symbols: [0; LENGTHS.len()] };
        let (mut len, mut next) = (SHORTEST, 0);
        while len <= LONGEST {
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == len {
                    code.counts[len] += 1;
                    code.symbols[next] = symbol as u16;
                    next += 1;
                }
                symbol += 1;
            }
            len += 1;
        }
        code
    }
}

/// The string that `input` is short for. `None`: it is none; nothing longer than `most` bytes is.
pub(super) fn decode(input: &[u8], most: usize) -> Option<Vec<u8>> {
    // The shortest code has five bits, so a string's length is bounded by its code's.
    let mut out = Vec::with_capacity((input.len() * 8 / SHORTEST).min(most));
    // Of the symbol being read: its bits, how many they are, the first code of that length, the symbols with shorter ones.
    let (mut bits, mut len, mut first, mut before) = (0u32, 0usize, 0u32, 0usize);
    for byte in input {
        for shift in (0..8).rev() {
            bits = bits << 1 | u32::from(byte >> shift & 1);
            len += 1;
            first <<= 1;
            let count = CODE.counts[len];
            if bits - first < u32::from(count) {
                let symbol = CODE.symbols[before + (bits - first) as usize];
                if symbol == END || out.len() == most {
                    return None;
                }
                out.push(symbol as u8);
                (bits, len, first, before) = (0, 0, 0, 0);
            } else {
                first += u32::from(count);
                before += usize::from(count);
            }
        }
    }
    // What is left has to be fewer than eight bits, all ones.
    (len < 8 && bits == (1 << len) - 1).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The other way, to test with; padded with ones.
    pub(in super::super) fn encode(text: &[u8]) -> Vec<u8> {
        let code_of = |symbol: u8| {
            let (mut code, mut at) = (0u32, 0);
            for len in 1..=LONGEST {
                code <<= 1;
                for _ in 0..CODE.counts[len] {
                    if CODE.symbols[at] == u16::from(symbol) {
                        return (code, len);
                    }
                    code += 1;
                    at += 1;
                }
            }
            unreachable!()
        };
        let mut bits = Vec::new();
        for &symbol in text {
            let (code, len) = code_of(symbol);
            bits.extend((0..len).rev().map(|shift| code >> shift & 1));
        }
        bits.resize(bits.len().next_multiple_of(8), 1);
        bits.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | *bit as u8)).collect()
    }

    #[test]
    fn the_code_is_complete() {
        let sum: u64 = LENGTHS.iter().map(|&len| 1 << (LONGEST - usize::from(len))).sum();
        assert_eq!(sum, 1 << LONGEST);
    }

    #[test]
    fn the_specifications_examples_are_read() {
        for (code, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x64, 0x02], "302"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
        ] {
            assert_eq!(decode(code, 100).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn padding_of_a_byte_or_of_zeros_is_refused() {
        assert_eq!(decode(&[0x64, 0x02, 0xff], 100), None);
        assert_eq!(decode(&[0xae, 0xc3, 0x77, 0x1a, 0x4a], 100), None);
    }

    #[test]
    fn the_end_of_string_is_no_part_of_one() {
        assert_eq!(decode(&[0xff; 4], 100), None);
    }

    #[test]
    fn nothing_longer_than_it_may_be_is_read() {
        assert_eq!(decode(&encode(&[b'0'; 100]), 99), None);
    }

    proptest! {
        #[test]
        fn every_string_survives(text: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&text), text.len()), Some(text));
        }

        #[test]
        fn whatever_comes_is_survived(code: Vec<u8>) {
            if let Some(text) = decode(&code, 1000) {
                prop_assert_eq!(encode(&text), code);
            }
        }
    }
}
