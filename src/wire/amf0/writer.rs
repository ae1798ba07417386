//! Values → bytes. Cannot fail.

use bytes::{BufMut, BytesMut};

use super::{Value, marker};

/// Writes `values` one after the other to the end of `out`.
///
/// Text of more than 65535 bytes becomes a long string; a property or class name is cut there, an array at 2^32 values.
pub fn encode(values: &[Value], out: &mut BytesMut) {
    for value in values {
        put_value(value, out);
    }
}

fn put_value(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Number(number) => {
            out.put_u8(marker::NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(value) => {
            out.put_u8(marker::BOOLEAN);
            out.put_u8(u8::from(*value));
        }
        Value::String(text) if text.len() <= usize::from(u16::MAX) => {
            out.put_u8(marker::STRING);
            put_name(text, out);
        }
        Value::String(text) => {
            out.put_u8(marker::LONG_STRING);
            put_long_text(text, out);
        }
        Value::Object(properties) => {
            out.put_u8(marker::OBJECT);
            put_properties(properties, out);
        }
        Value::Null => out.put_u8(marker::NULL),
        Value::Undefined => out.put_u8(marker::UNDEFINED),
        Value::EcmaArray(properties) => {
            out.put_u8(marker::ECMA_ARRAY);
            out.put_u32(count(properties.len()));
            put_properties(properties, out);
        }
        Value::StrictArray(values) => {
            let count = count(values.len());
            out.put_u8(marker::STRICT_ARRAY);
            out.put_u32(count);
            for value in values.iter().take(count as usize) {
                put_value(value, out);
            }
        }
        Value::Date { millis, zone } => {
            out.put_u8(marker::DATE);
            out.put_f64(*millis);
            out.put_i16(*zone);
        }
        Value::Unsupported => out.put_u8(marker::UNSUPPORTED),
        Value::XmlDocument(text) => {
            out.put_u8(marker::XML_DOCUMENT);
            put_long_text(text, out);
        }
        Value::TypedObject { class, properties } => {
            out.put_u8(marker::TYPED_OBJECT);
            put_name(class, out);
            put_properties(properties, out);
        }
    }
}

fn put_properties(properties: &[(String, Value)], out: &mut BytesMut) {
    for (name, value) in properties {
        put_name(name, out);
        put_value(value, out);
    }
    put_name("", out);
    out.put_u8(marker::OBJECT_END);
}

fn put_name(name: &str, out: &mut BytesMut) {
    let end = name.floor_char_boundary(usize::from(u16::MAX));
    // Cut to 65535 bytes just above, so the cast loses nothing.
    out.put_u16(end as u16);
    out.put_slice(&name.as_bytes()[..end]);
}

fn put_long_text(text: &str, out: &mut BytesMut) {
    let end = text.floor_char_boundary(u32::MAX as usize);
    out.put_u32(count(end));
    out.put_slice(&text.as_bytes()[..end]);
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::amf0::decode_all;

    fn encoded(value: Value) -> BytesMut {
        let mut out = BytesMut::new();
        encode(&[value], &mut out);
        out
    }

    #[test]
    fn an_object_is_written_as_genuine_peers_do() {
        let object = Value::object([("a", Value::from(1.0)), ("b", Value::from("c"))]);
        assert_eq!(encoded(object), &b"\x03\0\x01a\0\x3f\xf0\0\0\0\0\0\0\0\x01b\x02\0\x01c\0\0\x09"[..]);
    }

    #[test]
    fn long_text_becomes_a_long_string() {
        for (len, marker) in [(65_535, marker::STRING), (65_536, marker::LONG_STRING)] {
            let text = Value::from("x".repeat(len));
            let bytes = encoded(text.clone());
            assert_eq!(bytes[0], marker);
            assert_eq!(decode_all(&bytes), Ok(vec![text]));
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_between_characters() {
        let name = "é".repeat(40_000);
        let object = Value::object([(name.as_str(), true)]);
        let cut = Value::object([(&name[..65_534], true)]);
        assert_eq!(decode_all(&encoded(object)), Ok(vec![cut]));
    }
}
