//! What genuine peers have sent, read and written again.

use bytes::Bytes;
use serde::Deserialize;

use super::frame::Frame;
use super::tc::{Content, FlowMetadata, HEADER_LEN, Message, StreamId, message_type};
use super::vlu;

#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) direction: String,
    hex: String,
    /// Of a frame that holds a whole message.
    tc: Option<Header>,
    /// Of a frame that opens a flow.
    stream: Option<u32>,
}

#[derive(Deserialize)]
pub(crate) struct Header {
    r#type: u8,
    timestamp: u32,
}

/// All of them, in the order in which they were recorded.
pub(crate) fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../integration-tests/vectors/rtwebsocket.json")).unwrap()
}

impl Vector {
    pub(crate) fn bytes(&self) -> Bytes {
        let digits = self.hex.as_bytes().chunks(2);
        digits.map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap()).collect()
    }

    fn frame(&self) -> Option<Frame> {
        Frame::decode(self.bytes()).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

const MALFORMED: &str = "MALFORMED";

fn frames() -> impl Iterator<Item = Vector> {
    vectors().into_iter().filter(|vector| vector.direction != "vlu" && !vector.name.contains(MALFORMED))
}

#[test]
fn every_frame_survives() {
    for vector in frames() {
        if let Some(frame) = vector.frame() {
            assert_eq!(frame.encode().to_bytes(), vector.bytes(), "{}", vector.name);
        }
    }
}

#[test]
fn every_malformed_frame_is_refused() {
    for vector in vectors().into_iter().filter(|vector| vector.name.contains(MALFORMED)) {
        Frame::decode(vector.bytes()).expect_err(&vector.name);
    }
}

#[test]
fn every_integer_survives() {
    for vector in vectors().into_iter().filter(|vector| vector.direction == "vlu") {
        let value = vlu::decode(&mut vector.bytes()).unwrap();
        let mut out = [0; vlu::MAX_LEN];
        let len = vlu::encode(value, &mut out);
        let is_minimal = value < u64::MAX && !vector.name.contains("redundant");
        assert_eq!(out[..len] == vector.bytes(), is_minimal, "{}", vector.name);
    }
}

#[test]
fn every_flow_of_the_conversation_is_recognized() {
    let mut seen = 0;
    for vector in frames() {
        let Some(stream) = vector.stream else { continue };
        let Some(Frame::Open { metadata, .. }) = vector.frame() else { panic!("{}: no open", vector.name) };
        let expected = FlowMetadata::new(StreamId(stream));
        assert_eq!(FlowMetadata::decode(metadata.clone()), Ok(expected), "{}", vector.name);
        assert_eq!(expected.encode(), metadata, "{}", vector.name);
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn every_message_of_the_conversation_survives() {
    let mut seen = 0;
    for vector in frames() {
        let Some(Header { r#type, timestamp }) = vector.tc else { continue };
        let Some(Frame::Data { payload, last: true, .. }) = vector.frame() else { panic!("{}: no data", vector.name) };
        let message = Message::decode(payload.clone()).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!((payload[0], message.timestamp), (r#type, timestamp), "{}", vector.name);
        let expected = match r#type {
            message_type::COMMAND_AMF3 => {
                [&[message_type::COMMAND_AMF0], &payload[1..HEADER_LEN], &payload[HEADER_LEN + 1..]].concat()
            }
            _ => payload.to_vec(),
        };
        assert_eq!(message.encode(), expected, "{}", vector.name);
        assert!(!matches!(message.content, Content::Other { .. }), "{}", vector.name);
        seen += 1;
    }
    assert!(seen > 90, "{seen}");
}
