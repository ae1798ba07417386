//! Messages to the publisher.

use bytes::{BufMut, Bytes, BytesMut};
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::messages::MessagePayload;
use rml_rtmp::time::RtmpTimestamp;

use super::message_type;
use crate::wire::tc::Command;

/// Size of our chunks. No answer of ours is longer, so that each is one chunk.
const CHUNK_SIZE: u32 = 4096;

/// What is to be sent, as chunks.
pub(super) struct Output {
    serializer: ChunkSerializer,
    bytes: BytesMut,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { serializer: ChunkSerializer::new(), bytes: BytesMut::new() }
    }

    /// Takes all that is to be sent.
    pub(super) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// Announces our chunk size and uses it.
    pub(super) fn chunk_size(&mut self) {
        // It fails for sizes beyond 31 bits only.
        if let Ok(packet) = self.serializer.set_max_chunk_size(CHUNK_SIZE, RtmpTimestamp::new(0)) {
            self.bytes.extend_from_slice(&packet.bytes);
        }
    }

    /// A command on message stream `stream`.
    pub(super) fn command(&mut self, stream: u32, command: &Command) {
        self.message(message_type::COMMAND_AMF0, stream, command.encode_body());
    }

    /// The running total of bytes received. Defined by: RTMP 1.0, §5.4.3.
    pub(super) fn acknowledgement(&mut self, total: u32) {
        self.message(message_type::ACKNOWLEDGEMENT, 0, Bytes::copy_from_slice(&total.to_be_bytes()));
    }

    /// How often the peer has to acknowledge. Defined by: RTMP 1.0, §5.4.4.
    pub(super) fn window_acknowledgement_size(&mut self, size: u32) {
        self.message(message_type::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, Bytes::copy_from_slice(&size.to_be_bytes()));
    }

    /// How much the peer may have unacknowledged, dynamic. Defined by: RTMP 1.0, §5.4.5.
    pub(super) fn set_peer_bandwidth(&mut self, size: u32) {
        const DYNAMIC: u8 = 2;
        let mut body = BytesMut::with_capacity(5);
        body.put_u32(size);
        body.put_u8(DYNAMIC);
        self.message(message_type::SET_PEER_BANDWIDTH, 0, body.freeze());
    }

    /// A user control event. Defined by: RTMP 1.0, §7.1.7.
    pub(super) fn user_control(&mut self, event: u16, value: u32) {
        let mut body = BytesMut::with_capacity(6);
        body.put_u16(event);
        body.put_u32(value);
        self.message(message_type::USER_CONTROL, 0, body.freeze());
    }

    /// A message of any type.
    pub(super) fn message(&mut self, kind: u8, stream: u32, body: Bytes) {
        let one_chunk = body.len() <= CHUNK_SIZE as usize;
        let payload =
            MessagePayload { timestamp: RtmpTimestamp::new(0), type_id: kind, message_stream_id: stream, data: body };
        // Some encoders can't read compressed headers before the first full one, so each message gets a full one. It fails
        // for messages beyond 24 bits only.
        if let Ok(packet) = self.serializer.serialize(&payload, one_chunk, false) {
            self.bytes.extend_from_slice(&packet.bytes);
        }
    }
}
