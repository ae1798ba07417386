//! AMF0 values: what RTMP commands and data messages are made of.
//!
//! | specification | section |
//! |---|---|
//! | Action Message Format AMF 0 (Adobe, 2007) | §2 |
//! | RTMP 1.0 | §7 |
//!
//! Reading is bounded in depth, elements and bytes, and nothing is allocated by a length that a peer only claims.
//! References, movie clips, record sets and the switch to AMF3 are refused: no known peer sends them.

mod reader;
mod writer;

pub use reader::{Amf0Error, MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS, decode_all};
pub use writer::encode;

/// One AMF0 value.
///
/// Property lists keep their order and any duplicates, so that what was read can be written again unchanged.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A double (marker 0x00).
    Number(f64),
    /// A boolean (marker 0x01).
    Boolean(bool),
    /// Text (markers 0x02 and, from 65536 bytes on, 0x0c). Bytes that aren't UTF-8 are read as U+FFFD.
    String(String),
    /// An anonymous object (marker 0x03).
    Object(Vec<(String, Value)>),
    /// Nothing, on purpose (marker 0x05).
    Null,
    /// Nothing at all (marker 0x06).
    Undefined,
    /// An associative array (marker 0x08). Its claimed count is ignored when read.
    EcmaArray(Vec<(String, Value)>),
    /// A dense array (marker 0x0a).
    StrictArray(Vec<Value>),
    /// A point in time (marker 0x0b).
    Date {
        /// Milliseconds since 1970-01-01 UTC.
        millis: f64,
        /// A time zone in minutes, which the specification reserves; 0 when written by us.
        zone: i16,
    },
    /// A placeholder for what the sender could not serialize (marker 0x0d).
    Unsupported,
    /// An XML document as text (marker 0x0f).
    XmlDocument(String),
    /// An object of a named class (marker 0x10).
    TypedObject {
        /// The class.
        class: String,
        /// Its properties.
        properties: Vec<(String, Value)>,
    },
}

impl Value {
    /// An anonymous object with these properties, in this order.
    pub fn object<K: Into<String>, V: Into<Value>>(properties: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Object(properties.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A number that is a whole one from 0 to `u32::MAX`: stream ids, sizes, rates.
    pub fn as_u32(&self) -> Option<u32> {
        let number = self.as_f64()?;
        let whole = number.trunc() == number && (0.0..=f64::from(u32::MAX)).contains(&number);
        // Checked to be in range and whole, so the cast loses nothing.
        whole.then_some(number as u32)
    }

    /// The value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// The property `key` of an object, typed object or associative array; the first one if there are several.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Object(properties) | Value::EcmaArray(properties) | Value::TypedObject { properties, .. } => {
                properties.iter().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

/// The byte that starts every value.
mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0a;
    pub(super) const DATE: u8 = 0x0b;
    pub(super) const LONG_STRING: u8 = 0x0c;
    pub(super) const UNSUPPORTED: u8 = 0x0d;
    pub(super) const XML_DOCUMENT: u8 = 0x0f;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_found_in_every_kind_of_object() {
        let properties = vec![("code".to_owned(), Value::from("a")), ("code".to_owned(), Value::from("b"))];
        for value in [
            Value::Object(properties.clone()),
            Value::EcmaArray(properties.clone()),
            Value::TypedObject { class: "c".into(), properties },
        ] {
            assert_eq!(value.get("code").and_then(Value::as_str), Some("a"));
            assert_eq!(value.get("none"), None);
        }
        assert_eq!(Value::Null.get("code"), None);
    }

    #[test]
    fn only_whole_numbers_in_range_are_integers() {
        assert_eq!(Value::Number(1.0).as_u32(), Some(1));
        assert_eq!(Value::Number(f64::from(u32::MAX)).as_u32(), Some(u32::MAX));
        for number in [-1.0, 0.5, f64::NAN, f64::INFINITY, 4_294_967_296.0] {
            assert_eq!(Value::Number(number).as_u32(), None, "{number}");
        }
    }
}
