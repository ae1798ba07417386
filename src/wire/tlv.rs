//! The messages of the delivery format `fmp4`: type u8, length u32 big-endian, value.
//!
//! | type | message | value |
//! |---|---|---|
//! | 1 | INIT | width u16, height u16 (0 for audio), length u32 and codec string, then the initialization segment |
//! | 2 | SEGMENT | `moof` and `mdat` of video; once a second `prft` before them |
//! | 3 | KEYFRAME | before the SEGMENT that starts a group: group number u64, decode time u64 in ms |
//! | 4 | AUDIO | the same of audio |
//! | 5 | METADATA | a data message or a status in JSON: `{"name":"onMetaData","values":[…]}` |
//! | 6 | CONTROL | kind u8; kind 1, acknowledgement: cumulative bytes u64 |
//!
//! Numbers are big-endian. A length does not count the five bytes before the value; acknowledged bytes do. Unknown types and
//! kinds are to be ignored.
//!
//! Over flows, each track has a flow of its own, and a flow's message is one or more of these. METADATA and CONTROL are for
//! connections without flows: where there are flows, the TC conversation says what they say.
//!
//! ```text
//! a flow's metadata:  'T' 'L' 'V' | track u8: 1 video, 2 audio | stream id VLU, of the TC conversation
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde_json::json;
use thiserror::Error;

use super::amf0::Value;
use super::tc::StreamId;
use super::vlu;

/// Length of what is before a message's value: type and length.
pub const HEADER_LEN: usize = 5;

/// Length of a whole KEYFRAME message.
pub const KEYFRAME_LEN: usize = HEADER_LEN + 16;

const SIGNATURE: &[u8] = b"TLV";
/// The kind of CONTROL message that acknowledges.
const ACKNOWLEDGEMENT: u8 = 1;

/// Types of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 1.
    Init = 1,
    /// 2.
    Segment = 2,
    /// 3.
    Keyframe = 3,
    /// 4.
    Audio = 4,
    /// 5.
    Metadata = 5,
    /// 6.
    Control = 6,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What a track's decoder has to have first; again when it changes.
    Init {
        /// In pixels; 0 for audio.
        width: u16,
        /// In pixels; 0 for audio.
        height: u16,
        /// As in RFC 6381.
        codec: String,
        /// `ftyp` and `moov`.
        segment: Bytes,
    },
    /// `moof` and `mdat` of video.
    Segment(Bytes),
    /// The next SEGMENT starts a group.
    Keyframe {
        /// The group's number.
        group: u64,
        /// Its first frame's decode time in milliseconds.
        decode_time: u64,
    },
    /// `moof` and `mdat` of audio.
    Audio(Bytes),
    /// JSON.
    Metadata(Bytes),
    /// All that has come so far, in bytes.
    Acknowledgement(u64),
    /// Of a type or kind that is not known here. To be ignored.
    Unknown,
}

/// A message can't be read. The connection it came over can't be trusted any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TlvError {
    /// It is longer than its reader takes.
    #[error("a message of {length} bytes")]
    TooLong {
        /// Its claimed length.
        length: u32,
    },
    /// Its value ends too early, or isn't UTF-8 where it must be.
    #[error("malformed message of type {kind}")]
    Malformed {
        /// Its type.
        kind: u8,
    },
}

impl Message {
    /// Takes a message off the front of `input`, its value at most `limit` bytes long; `None` while it isn't all there, and
    /// `input` is as it was. What it holds shares `input`'s memory.
    ///
    /// # Errors
    /// [`TlvError`].
    pub fn decode(input: &mut Bytes, limit: u32) -> Result<Option<Self>, TlvError> {
        let Some(&[kind, a, b, c, d]) = input.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]);
        if length > limit {
            return Err(TlvError::TooLong { length });
        }
        // A bound of 32 bits is one of a usize.
        let end = HEADER_LEN + length as usize;
        if input.len() < end {
            return Ok(None);
        }
        let mut value = input.split_to(end);
        value.advance(HEADER_LEN);
        Self::read(kind, value).map(Some).ok_or(TlvError::Malformed { kind })
    }

    /// `None`: it is malformed.
    fn read(kind: u8, mut value: Bytes) -> Option<Self> {
        Some(match kind {
            1 => {
                let (width, height) = (value.try_get_u16().ok()?, value.try_get_u16().ok()?);
                let length = usize::try_from(value.try_get_u32().ok()?).ok()?;
                if value.len() < length {
                    return None;
                }
                let codec = String::from_utf8(value.split_to(length).to_vec()).ok()?;
                Self::Init { width, height, codec, segment: value }
            }
            2 => Self::Segment(value),
            3 => Self::Keyframe { group: value.try_get_u64().ok()?, decode_time: value.try_get_u64().ok()? },
            4 => Self::Audio(value),
            5 => Self::Metadata(value),
            6 => match value.try_get_u8().ok()? {
                ACKNOWLEDGEMENT => Self::Acknowledgement(value.try_get_u64().ok()?),
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        })
    }
}

/// Begins a message whose value, of `length` bytes, is to be written next.
pub fn put_header(out: &mut BytesMut, kind: Kind, length: usize) {
    out.put_u8(kind as u8);
    // No value is made here that is a thousandth of this.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// Writes a KEYFRAME message.
pub fn put_keyframe(out: &mut BytesMut, group: u64, decode_time: u64) {
    put_header(out, Kind::Keyframe, KEYFRAME_LEN - HEADER_LEN);
    out.put_u64(group);
    out.put_u64(decode_time);
}

/// Makes an INIT message.
pub fn init(width: u16, height: u16, codec: &str, segment: &[u8]) -> Bytes {
    let length = 8 + codec.len() + segment.len();
    let mut out = BytesMut::with_capacity(HEADER_LEN + length);
    put_header(&mut out, Kind::Init, length);
    out.put_u16(width);
    out.put_u16(height);
    // A codec string is a dozen bytes.
    out.put_u32(u32::try_from(codec.len()).unwrap_or(u32::MAX));
    out.put_slice(codec.as_bytes());
    out.put_slice(segment);
    out.freeze()
}

/// Makes a METADATA message of a data message's or a command's name and values.
pub fn metadata(name: &str, values: &[Value]) -> Bytes {
    let values: Vec<_> = values.iter().map(to_json).collect();
    let text = json!({ "name": name, "values": values }).to_string();
    let mut out = BytesMut::with_capacity(HEADER_LEN + text.len());
    put_header(&mut out, Kind::Metadata, text.len());
    out.put_slice(text.as_bytes());
    out.freeze()
}

/// Makes a CONTROL message that acknowledges all bytes so far, as clients do.
pub fn acknowledgement(bytes: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_LEN + 9);
    put_header(&mut out, Kind::Control, 9);
    out.put_u8(ACKNOWLEDGEMENT);
    out.put_u64(bytes);
    out.freeze()
}

/// Whose messages a flow carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// INIT, KEYFRAME, SEGMENT.
    Video = 1,
    /// INIT, AUDIO.
    Audio = 2,
}

/// The metadata of a flow of a message stream that is played as `fmp4`.
pub fn flow_metadata(track: Track, stream: StreamId) -> Bytes {
    let mut id = [0; vlu::MAX_LEN];
    let len = vlu::encode(stream.0.into(), &mut id);
    [SIGNATURE, &[track as u8], &id[..len]].concat().into()
}

/// The track and the message stream in a flow's metadata; `None` when it is another kind of flow's.
pub fn read_flow_metadata(metadata: &Bytes) -> Option<(Track, StreamId)> {
    let mut rest = metadata.slice_ref(metadata.strip_prefix(SIGNATURE)?);
    let track = match rest.try_get_u8().ok()? {
        1 => Track::Video,
        2 => Track::Audio,
        _ => return None,
    };
    let id = vlu::decode(&mut rest).ok()?;
    Some((track, StreamId(u32::try_from(id).ok()?)))
}

/// Recursion is bounded by the depth that AMF0 is read to.
fn to_json(value: &Value) -> serde_json::Value {
    let object = |properties: &[(String, Value)]| {
        properties.iter().map(|(key, value)| (key.clone(), to_json(value))).collect::<serde_json::Map<_, _>>().into()
    };
    match value {
        // JSON has no other numbers: `null`.
        Value::Number(number) | Value::Date { millis: number, .. } => (*number).into(),
        Value::Boolean(value) => (*value).into(),
        Value::String(text) | Value::XmlDocument(text) => text.as_str().into(),
        Value::Object(properties) | Value::EcmaArray(properties) | Value::TypedObject { properties, .. } => {
            object(properties)
        }
        Value::StrictArray(values) => values.iter().map(to_json).collect::<Vec<_>>().into(),
        Value::Null | Value::Undefined | Value::Unsupported => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u32 = 1 << 20;

    fn one_of_each() -> Vec<(Bytes, Message)> {
        let made = |write: &dyn Fn(&mut BytesMut)| {
            let mut out = BytesMut::new();
            write(&mut out);
            out.freeze()
        };
        let with = |kind, value: &'static [u8]| {
            made(&|out| {
                put_header(out, kind, value.len());
                out.put_slice(value);
            })
        };
        let codec = "avc1.64001f".to_owned();
        let segment = Bytes::from_static(b"ftypmoov");
        vec![
            (init(640, 360, &codec, &segment), Message::Init { width: 640, height: 360, codec, segment }),
            (with(Kind::Segment, b"moofmdat"), Message::Segment(Bytes::from_static(b"moofmdat"))),
            (made(&|out| put_keyframe(out, 7, 1 << 40)), Message::Keyframe { group: 7, decode_time: 1 << 40 }),
            (with(Kind::Audio, b""), Message::Audio(Bytes::new())),
            (metadata("x", &[]), Message::Metadata(Bytes::from_static(br#"{"name":"x","values":[]}"#))),
            (acknowledgement(2_500_000), Message::Acknowledgement(2_500_000)),
        ]
    }

    #[test]
    fn messages_are_the_bytes_that_are_specified() {
        let init = init(640, 360, "avc1", b"moov");
        assert_eq!(&init[..], b"\x01\0\0\0\x10\x02\x80\x01\x68\0\0\0\x04avc1moov");
        assert_eq!(&acknowledgement(258)[..], b"\x06\0\0\0\x09\x01\0\0\0\0\0\0\x01\x02");
        let mut keyframe = BytesMut::new();
        put_keyframe(&mut keyframe, 2, 5000);
        assert_eq!(&keyframe[..], b"\x03\0\0\0\x10\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x13\x88");
        assert_eq!(keyframe.len(), KEYFRAME_LEN);
        assert_eq!(&flow_metadata(Track::Audio, StreamId(300))[..], b"TLV\x02\x82\x2c");
    }

    #[test]
    fn every_message_survives() {
        let mut stream: Bytes = one_of_each().into_iter().flat_map(|(bytes, _)| bytes).collect();
        for (_, message) in one_of_each() {
            assert_eq!(Message::decode(&mut stream, LIMIT), Ok(Some(message)));
        }
        assert!(stream.is_empty());
    }

    #[test]
    fn every_prefix_is_not_enough_yet_and_stays_as_it_was() {
        for (bytes, _) in one_of_each() {
            for end in 0..bytes.len() {
                let mut prefix = bytes.slice(..end);
                assert_eq!(Message::decode(&mut prefix, LIMIT), Ok(None));
                assert_eq!(prefix.len(), end);
            }
        }
    }

    #[test]
    fn a_value_that_is_cut_is_malformed() {
        for (bytes, message) in one_of_each() {
            let kind = bytes[0];
            if matches!(message, Message::Segment(_) | Message::Audio(_) | Message::Metadata(_)) {
                continue;
            }
            // What an INIT holds behind its codec string is the segment, of any length.
            let whole = if kind == 1 { HEADER_LEN + 19 } else { bytes.len() };
            for end in HEADER_LEN..whole {
                let mut cut = BytesMut::from(&bytes[..end]);
                cut[1..HEADER_LEN].copy_from_slice(&((end - HEADER_LEN) as u32).to_be_bytes());
                let read = Message::decode(&mut cut.freeze(), LIMIT);
                assert_eq!(read, Err(TlvError::Malformed { kind }), "{end}");
            }
        }
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused_before_it_has_come() {
        let mut claim = Bytes::from_static(b"\x06\0\0\x01\x01");
        assert_eq!(Message::decode(&mut claim.clone(), 257), Ok(None));
        assert_eq!(Message::decode(&mut claim, 256), Err(TlvError::TooLong { length: 257 }));
    }

    #[test]
    fn what_is_not_known_is_left_to_be_ignored() {
        for bytes in [&b"\x07\0\0\0\x01?"[..], b"\x00\0\0\0\0", b"\x06\0\0\0\x02\x02?"] {
            let mut input = Bytes::from_static(bytes);
            assert_eq!(Message::decode(&mut input, LIMIT), Ok(Some(Message::Unknown)));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn metadata_is_json_of_every_value() {
        let values = [
            Value::object([("width", Value::Number(640.0)), ("nan", Value::Number(f64::NAN))]),
            Value::StrictArray(vec![Value::Null, true.into(), "\u{1}\"".into()]),
        ];
        let message = metadata("on\"", &values);
        let expected = r#"{"name":"on\"","values":[{"nan":null,"width":640.0},[null,true,"\u0001\""]]}"#;
        assert_eq!(str::from_utf8(&message[HEADER_LEN..]), Ok(expected));
    }

    #[test]
    fn flows_say_whose_they_are() {
        for (track, stream) in [(Track::Video, StreamId(1)), (Track::Audio, StreamId(300))] {
            assert_eq!(read_flow_metadata(&flow_metadata(track, stream)), Some((track, stream)));
        }
        for other in [&b"TC\x04\x01"[..], b"TLV", b"TLV\x01", b"TLV\x03\x01", b"TLV\x01\xff\xff\xff\xff\xff\x7f"] {
            assert_eq!(read_flow_metadata(&Bytes::from_static(other)), None, "{other:02x?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut input = Bytes::from(input);
            while let Ok(Some(_)) = Message::decode(&mut input, LIMIT) {}
            read_flow_metadata(&input);
        }
    }
}
