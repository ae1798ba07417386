//! Aggregate messages: several messages in one. Defined by: RTMP 1.0, §7.1.6.

use bytes::{Buf, BytesMut};

use super::chunk::Message;
use super::message_type;
use crate::media::MESSAGE_HEADER_LEN;

/// The messages of an aggregate, taken one by one.
///
/// ```text
/// type u8 | length u24 | time u24, its upper 8 bits | stream u24 | body | length of all that u32 | next …
/// ```
#[derive(Debug)]
pub(super) struct Aggregate {
    rest: BytesMut,
    stream: u32,
    timestamp: u32,
    /// The time in the first message's header: the others' are relative to it.
    first: Option<u32>,
}

const HEADER_LEN: usize = 11;
const BACK_POINTER_LEN: usize = 4;

impl Aggregate {
    pub(super) fn new(message: Message) -> Self {
        let mut rest = message.buffer;
        rest.advance(MESSAGE_HEADER_LEN.min(rest.len()));
        Self { rest, stream: message.stream, timestamp: message.timestamp, first: None }
    }
}

impl Iterator for Aggregate {
    type Item = Message;

    /// The next message; none after one that is cut or that is an aggregate itself.
    fn next(&mut self) -> Option<Message> {
        let mut header = (self.rest.len() >= HEADER_LEN).then(|| self.rest.split_to(HEADER_LEN))?;
        let kind = header.try_get_u8().ok()?;
        let length = usize::try_from(header.try_get_uint(3).ok()?).ok()?;
        let low = u32::try_from(header.try_get_uint(3).ok()?).ok()?;
        let time = u32::from(header.try_get_u8().ok()?) << 24 | low;
        if self.rest.len() < length || kind == message_type::AGGREGATE {
            self.rest.clear();
            return None;
        }
        let mut buffer = BytesMut::with_capacity(MESSAGE_HEADER_LEN + length);
        buffer.resize(MESSAGE_HEADER_LEN, 0);
        buffer.extend_from_slice(&self.rest.split_to(length));
        self.rest.advance(BACK_POINTER_LEN.min(self.rest.len()));
        let first = *self.first.get_or_insert(time);
        let timestamp = self.timestamp.wrapping_add(time.wrapping_sub(first));
        Some(Message { kind, stream: self.stream, timestamp, buffer })
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn aggregate(parts: &[(u8, u32, &[u8])]) -> Message {
        let mut buffer = BytesMut::zeroed(MESSAGE_HEADER_LEN);
        for (kind, time, body) in parts {
            buffer.put_u8(*kind);
            buffer.put_uint(body.len() as u64, 3);
            buffer.put_uint(u64::from(time & 0xff_ffff), 3);
            buffer.put_u8((time >> 24) as u8);
            buffer.put_uint(0, 3);
            buffer.put_slice(body);
            buffer.put_u32(11 + body.len() as u32);
        }
        Message { kind: message_type::AGGREGATE, stream: 1, timestamp: 1000, buffer }
    }

    fn read(message: Message) -> Vec<(u8, u32, Vec<u8>)> {
        Aggregate::new(message).map(|part| (part.kind, part.timestamp, part.body().to_vec())).collect()
    }

    #[test]
    fn the_parts_come_at_their_times() {
        let parts: [(u8, u32, &[u8]); 2] = [(8, 0x0100_0000, b"sound"), (9, 0x0100_0014, b"picture")];
        assert_eq!(read(aggregate(&parts)), [(8, 1000, b"sound".to_vec()), (9, 1020, b"picture".to_vec())]);
    }

    #[test]
    fn every_prefix_gives_whole_parts_only() {
        let whole = aggregate(&[(8, 0, b"sound"), (9, 20, b"picture")]);
        for end in 0..=whole.buffer.len() {
            let buffer = BytesMut::from(&whole.buffer[..end]);
            let parts = read(Message { buffer, ..aggregate(&[]) });
            assert!(parts.iter().all(|(_, _, body)| body == b"sound" || body == b"picture"), "{end}: {parts:?}");
        }
    }

    #[test]
    fn an_aggregate_in_an_aggregate_ends_it() {
        assert_eq!(read(aggregate(&[(22, 0, b"x"), (8, 0, b"sound")])), []);
    }
}
