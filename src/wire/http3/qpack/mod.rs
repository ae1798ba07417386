//! Field sections: the names and values of a message's header.
//!
//! | specification | section |
//! |---|---|
//! | RFC 9204 | §4.5, appendix A |
//! | RFC 7541 | §5.1, §5.2 |
//!
//! The dynamic table is never offered, so nothing refers to it and no stream of its instructions has to be read.

mod huffman;
mod table;

use thiserror::Error;

use self::table::STATIC;
use super::MAX_FIELD_SECTION;

/// Most fields of a section: browsers send about twenty. Stops one-byte fields without end.
pub const MAX_FIELDS: usize = 64;

/// What a field counts for beside its name and value. Defined by: RFC 9114 §4.2.2.
const OVERHEAD: usize = 32;

/// A field's name and value.
pub type Field = (Vec<u8>, Vec<u8>);

/// Why a field section can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QpackError {
    /// It ends inside a field.
    #[error("truncated field section")]
    Truncated,
    /// It refers to a table that was never offered, or has no such entry.
    #[error("a field that is in no table")]
    Reference,
    /// A string that its code does not allow, or a length beyond all reason.
    #[error("a string that can't be read")]
    Malformed,
    /// Longer than [`MAX_FIELD_SECTION`], or more than [`MAX_FIELDS`]. The rest of the connection is well.
    #[error("too many fields, or too long ones")]
    TooLong,
}

/// Reads a whole field section.
///
/// # Errors
/// [`QpackError`].
pub fn decode(input: &[u8]) -> Result<Vec<Field>, QpackError> {
    let mut reader = Reader { input, room: MAX_FIELD_SECTION };
    // The insert count, which has to be 0, and the base, which then means nothing.
    let (_, insert_count) = reader.integer(8)?;
    let _ = reader.integer(7)?;
    if insert_count != 0 {
        return Err(QpackError::Reference);
    }
    let mut fields = Vec::new();
    while let Some(&first) = reader.input.first() {
        if fields.len() == MAX_FIELDS {
            return Err(QpackError::TooLong);
        }
        fields.push(reader.field(first)?);
    }
    Ok(fields)
}

/// Appends the beginning of a field section, to be followed by its fields.
pub fn encode_start(out: &mut Vec<u8>) {
    out.extend([0, 0]);
}

/// Appends a field, as it is: answers have few.
pub fn encode_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    encode_integer(0b0010_0000, 3, name.len(), out);
    out.extend(name);
    encode_integer(0, 7, value.len(), out);
    out.extend(value);
}

struct Reader<'a> {
    input: &'a [u8],
    /// What the fields to come may still count for.
    room: usize,
}

impl Reader<'_> {
    fn field(&mut self, first: u8) -> Result<Field, QpackError> {
        let (name, value) = match first {
            // Indexed, in the static table.
            0b1100_0000.. => {
                let (name, value) = self.indexed(6)?;
                (name.into(), value.into())
            }
            // A value, with a name of the static table.
            0b0101_0000..0b0110_0000 | 0b0111_0000..0b1000_0000 => {
                let (name, _) = self.indexed(4)?;
                (name.into(), self.string(7)?)
            }
            // A name and a value.
            0b0010_0000..0b0100_0000 => (self.string(3)?, self.string(7)?),
            // The same with the dynamic table.
            _ => return Err(QpackError::Reference),
        };
        let size = name.len() + value.len() + OVERHEAD;
        self.room = self.room.checked_sub(size).ok_or(QpackError::TooLong)?;
        Ok((name, value))
    }

    fn indexed(&mut self, bits: u32) -> Result<(&'static str, &'static str), QpackError> {
        let (_, index) = self.integer(bits)?;
        STATIC.get(index).copied().ok_or(QpackError::Reference)
    }

    /// A string whose length has this many bits, behind one that says whether it is shortened.
    fn string(&mut self, bits: u32) -> Result<Vec<u8>, QpackError> {
        let (first, len) = self.integer(bits)?;
        let (text, rest) = self.input.split_at_checked(len).ok_or(QpackError::Truncated)?;
        self.input = rest;
        if first >> bits & 1 == 0 {
            return Ok(text.into());
        }
        huffman::decode(text, MAX_FIELD_SECTION).ok_or(QpackError::Malformed)
    }

    /// The first byte, and the integer in its last bits and in what follows. Defined by: RFC 7541 §5.1.
    fn integer(&mut self, bits: u32) -> Result<(u8, usize), QpackError> {
        let first = self.byte()?;
        let most = (1 << bits) - 1;
        let mut value = usize::from(first) & most;
        if value < most {
            return Ok((first, value));
        }
        // Three more bytes are enough for anything that fits into a section.
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((first, value));
            }
        }
        Err(QpackError::Malformed)
    }

    fn byte(&mut self) -> Result<u8, QpackError> {
        let (&byte, rest) = self.input.split_first().ok_or(QpackError::Truncated)?;
        self.input = rest;
        Ok(byte)
    }
}

fn encode_integer(flags: u8, bits: u32, value: usize, out: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if value < most {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(name: &str, value: &str) -> Field {
        (name.into(), value.into())
    }

    fn section(fields: &[Field]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_start(&mut out);
        fields.iter().for_each(|(name, value)| encode_field(name, value, &mut out));
        out
    }

    #[test]
    fn every_form_of_a_field_is_read() {
        let bytes = [
            &[0, 0, 0xd1][..], // static 17
            &[0xff, 0x23],     // static 98
            &[0x51, 11],       // the name of static 1
            b"/index.html",
            &[0x5f, 0x50, 0x82, 0x64, 0x02], // the name of static 95, a shortened value
            &[0x2f, 0x01, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f, 1, b'v'], // a shortened name
        ];
        let fields = [
            field(":method", "GET"),
            field("x-frame-options", "sameorigin"),
            field(":path", "/index.html"),
            field("user-agent", "302"),
            field("custom-key", "v"),
        ];
        assert_eq!(decode(&bytes.concat()), Ok(fields.to_vec()));
    }

    #[test]
    fn references_to_the_dynamic_table_are_refused() {
        for bytes in [&[1, 0, 0xd1][..], &[0, 0, 0x80], &[0, 0, 0x40, 1, b'v'], &[0, 0, 0x10], &[0, 0, 0x00, 1, b'v']] {
            assert_eq!(decode(bytes), Err(QpackError::Reference), "{bytes:x?}");
        }
    }

    #[test]
    fn an_index_beyond_the_table_is_refused() {
        assert_eq!(decode(&[0, 0, 0xff, 99 - 63]), Err(QpackError::Reference));
    }

    #[test]
    fn no_prefix_ends_inside_a_field_unnoticed() {
        let fields = [field(":status", "200"), field("content-type", "text/html"), field("etag", &"x".repeat(300))];
        let bytes = section(&fields);
        let ends: Vec<_> = (0..=fields.len()).map(|count| section(&fields[..count]).len()).collect();
        for end in 0..bytes.len() {
            let result = decode(&bytes[..end]);
            match ends.iter().position(|&whole| whole == end) {
                Some(count) => assert_eq!(result, Ok(fields[..count].to_vec())),
                None => assert_eq!(result, Err(QpackError::Truncated), "{end}"),
            }
        }
    }

    #[test]
    fn too_many_fields_and_too_long_ones_are_refused() {
        let many = [&[0, 0][..], &[0xd1; MAX_FIELDS + 1]].concat();
        assert_eq!(decode(&many), Err(QpackError::TooLong));
        assert_eq!(decode(&many[..many.len() - 1]).unwrap().len(), MAX_FIELDS);
        assert_eq!(decode(&section(&[field("a", &"b".repeat(MAX_FIELD_SECTION))])), Err(QpackError::TooLong));
    }

    #[test]
    fn a_length_beyond_all_reason_is_refused() {
        assert_eq!(decode(&[0, 0, 0x27, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(QpackError::Malformed));
    }

    proptest! {
        #[test]
        fn every_section_survives(fields in prop::collection::vec(("[a-z-]{1,40}", "[ -~]{0,300}"), 0..20)) {
            let fields: Vec<_> = fields.iter().map(|(name, value)| field(name, value)).collect();
            prop_assert_eq!(decode(&section(&fields)), Ok(fields));
        }

        #[test]
        fn whatever_comes_is_survived(bytes: Vec<u8>) {
            if let Ok(fields) = decode(&bytes) {
                prop_assert_eq!(decode(&section(&fields)), Ok(fields));
            }
        }
    }
}
