//! Bytes → values, within bounds.

use bytes::Buf;
use thiserror::Error;

use super::{Value, marker};

/// Most levels of nesting. Stops arrays of arrays from overflowing the stack; genuine messages need 3.
pub const MAX_DEPTH: usize = 32;

/// Most values in one message, nested ones included. Stops one-byte values from costing fifty times their size in memory;
/// genuine commands need about 60, the metadata of recorded files some thousands.
pub const MAX_ELEMENTS: usize = 8192;

/// Most bytes in one message. Stops a stranger from having megabytes parsed before a publisher is known to be one.
pub const MAX_BYTES: usize = 256 * 1024;

/// Why bytes are not AMF0, or not AMF0 that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Amf0Error {
    /// The input ends inside a value.
    #[error("truncated AMF0 {what}")]
    Truncated {
        /// The part that is cut.
        what: &'static str,
    },
    /// A value of a kind that isn't read.
    #[error("AMF0 marker {0:#04x} can't be read")]
    Marker(u8),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("AMF0 nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More values than [`MAX_ELEMENTS`].
    #[error("more than {MAX_ELEMENTS} AMF0 values")]
    TooMany,
    /// Longer than [`MAX_BYTES`].
    #[error("AMF0 of {0} bytes is longer than {MAX_BYTES}")]
    TooLong(usize),
}

/// Reads values until `input` is used up.
///
/// # Errors
/// [`Amf0Error`]. A peer that sends such a message misbehaves; nothing of the message is to be used.
pub fn decode_all(input: &[u8]) -> Result<Vec<Value>, Amf0Error> {
    if input.len() > MAX_BYTES {
        return Err(Amf0Error::TooLong(input.len()));
    }
    let mut reader = Reader { input, elements: 0 };
    let mut values = Vec::new();
    while reader.input.has_remaining() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

struct Reader<'a> {
    input: &'a [u8],
    elements: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        if depth >= MAX_DEPTH {
            return Err(Amf0Error::TooDeep);
        }
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(Amf0Error::TooMany);
        }
        let marker = self.input.try_get_u8().map_err(|_| truncated("marker"))?;
        Ok(match marker {
            marker::NUMBER => Value::Number(self.number()?),
            marker::BOOLEAN => Value::Boolean(self.input.try_get_u8().map_err(|_| truncated("boolean"))? != 0),
            marker::STRING => Value::String(self.string()?),
            marker::LONG_STRING => Value::String(self.long_string()?),
            marker::XML_DOCUMENT => Value::XmlDocument(self.long_string()?),
            marker::OBJECT => Value::Object(self.properties(depth)?),
            marker::NULL => Value::Null,
            marker::UNDEFINED => Value::Undefined,
            marker::UNSUPPORTED => Value::Unsupported,
            marker::ECMA_ARRAY => {
                self.count()?;
                Value::EcmaArray(self.properties(depth)?)
            }
            marker::STRICT_ARRAY => {
                let count = self.count()?;
                // Grows with what is there, never to the claimed count at once.
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Value::StrictArray(values)
            }
            marker::DATE => Value::Date {
                millis: self.number()?,
                zone: self.input.try_get_i16().map_err(|_| truncated("time zone"))?,
            },
            marker::TYPED_OBJECT => Value::TypedObject { class: self.string()?, properties: self.properties(depth)? },
            other => return Err(Amf0Error::Marker(other)),
        })
    }

    /// Properties up to and including the end marker, which stands behind an empty name.
    fn properties(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Amf0Error> {
        let mut properties = Vec::new();
        loop {
            let name = self.string()?;
            if name.is_empty() && self.input.first() == Some(&marker::OBJECT_END) {
                self.input.advance(1);
                return Ok(properties);
            }
            properties.push((name, self.value(depth + 1)?));
        }
    }

    fn number(&mut self) -> Result<f64, Amf0Error> {
        self.input.try_get_f64().map_err(|_| truncated("number"))
    }

    fn count(&mut self) -> Result<u32, Amf0Error> {
        self.input.try_get_u32().map_err(|_| truncated("array count"))
    }

    fn string(&mut self) -> Result<String, Amf0Error> {
        let len = self.input.try_get_u16().map_err(|_| truncated("string length"))?;
        self.text(len.into())
    }

    fn long_string(&mut self) -> Result<String, Amf0Error> {
        let len = self.input.try_get_u32().map_err(|_| truncated("string length"))?;
        self.text(len as usize)
    }

    fn text(&mut self, len: usize) -> Result<String, Amf0Error> {
        let (text, rest) = self.input.split_at_checked(len).ok_or(truncated("string"))?;
        self.input = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

fn truncated(what: &'static str) -> Amf0Error {
    Amf0Error::Truncated { what }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::amf0::encode;

    /// Every kind of value there is.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (-1e15..1e15f64).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,20}".prop_map(Value::String),
            ".{0,20}".prop_map(Value::XmlDocument),
            (-1e15..1e15f64, any::<i16>()).prop_map(|(millis, zone)| Value::Date { millis, zone }),
            Just(Value::Null),
            Just(Value::Undefined),
            Just(Value::Unsupported),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            let properties = prop::collection::vec((".{1,8}", inner.clone()), 0..5);
            prop_oneof![
                properties.clone().prop_map(Value::Object),
                properties.clone().prop_map(Value::EcmaArray),
                (".{0,8}", properties).prop_map(|(class, properties)| Value::TypedObject { class, properties }),
                prop::collection::vec(inner, 0..5).prop_map(Value::StrictArray),
            ]
        })
    }

    fn encoded(values: &[Value]) -> Vec<u8> {
        let mut out = BytesMut::new();
        encode(values, &mut out);
        out.to_vec()
    }

    #[test]
    fn nesting_beyond_the_cap_is_refused() {
        let nested = |levels: usize| {
            let mut bytes = [marker::STRICT_ARRAY, 0, 0, 0, 1].repeat(levels);
            bytes.push(marker::NULL);
            bytes
        };
        assert!(decode_all(&nested(MAX_DEPTH - 1)).is_ok());
        assert_eq!(decode_all(&nested(MAX_DEPTH)), Err(Amf0Error::TooDeep));
        assert_eq!(decode_all(&nested(50_000)), Err(Amf0Error::TooDeep));
    }

    #[test]
    fn more_values_than_the_cap_are_refused() {
        assert_eq!(decode_all(&[marker::NULL; MAX_ELEMENTS]).map(|values| values.len()), Ok(MAX_ELEMENTS));
        assert_eq!(decode_all(&[marker::NULL; MAX_ELEMENTS + 1]), Err(Amf0Error::TooMany));
    }

    #[test]
    fn more_bytes_than_the_cap_are_refused_unread() {
        assert_eq!(decode_all(&vec![0xff; MAX_BYTES + 1]), Err(Amf0Error::TooLong(MAX_BYTES + 1)));
    }

    #[test]
    fn a_claimed_count_allocates_nothing() {
        assert_eq!(decode_all(b"\x0a\xff\xff\xff\xff"), Err(Amf0Error::Truncated { what: "marker" }));
        assert_eq!(decode_all(b"\x0c\xff\xff\xff\xffabc"), Err(Amf0Error::Truncated { what: "string" }));
    }

    #[test]
    fn unreadable_markers_are_named() {
        for marker in [0x04, 0x07, 0x09, 0x0e, 0x11, 0xff] {
            let error = decode_all(&[marker, 0, 0]).unwrap_err();
            assert_eq!(error, Amf0Error::Marker(marker));
            assert!(error.to_string().contains(&format!("{marker:#04x}")), "{error}");
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_kept_readable() {
        assert_eq!(decode_all(b"\x02\x00\x03a\xffb"), Ok(vec![Value::from("a\u{fffd}b")]));
    }

    #[test]
    fn a_property_may_have_an_empty_name() {
        let object = Value::object([("", true)]);
        assert_eq!(decode_all(b"\x03\x00\x00\x01\x01\x00\x00\x09"), Ok(vec![object]));
    }

    proptest! {
        #[test]
        fn every_value_survives_and_no_prefix_is_mistaken_for_it(value in any_value()) {
            let bytes = encoded(std::slice::from_ref(&value));
            prop_assert_eq!(decode_all(&bytes), Ok(vec![value]));
            prop_assert_eq!(decode_all(&[]), Ok(vec![]));
            for end in 1..bytes.len() {
                let error = decode_all(&bytes[..end]).unwrap_err();
                prop_assert!(matches!(error, Amf0Error::Truncated { .. }), "{error}");
            }
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(prop_oneof![0u8..0x12, any::<u8>()], 0..300)) {
            if let Ok(values) = decode_all(&bytes) {
                encoded(&values);
            }
        }
    }
}
