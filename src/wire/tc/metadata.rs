//! What a flow's metadata says about it.

use bytes::{Buf, Bytes};

use super::TcError;
use crate::wire::vlu;

const SIGNATURE: [u8; 2] = *b"TC";
/// Flag: a stream id follows. Always set.
const HAS_STREAM_ID: u8 = 0x04;
/// Flag: the sender wishes the messages to be handed up in network order.
const NETWORK_ORDER: u8 = 0x01;

/// Number of a message stream: 0 is the connection itself, the rest are made by `createStream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The connection itself: `connect`, `createStream` and their answers.
    pub const CONTROL: Self = Self(0);
}

/// The metadata of a flow of the TC conversation: which message stream its messages belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowMetadata {
    /// The message stream.
    pub stream: StreamId,
    /// The receiver need not wait for what is missing. Of no meaning over an ordered pipe.
    pub network_order: bool,
}

impl FlowMetadata {
    /// The metadata of an ordinary flow of `stream`.
    pub fn new(stream: StreamId) -> Self {
        Self { stream, network_order: false }
    }

    /// Writes `54 43 flags VLU`.
    pub fn encode(self) -> Bytes {
        let flags = HAS_STREAM_ID | if self.network_order { NETWORK_ORDER } else { 0 };
        let mut id = [0; vlu::MAX_LEN];
        let len = vlu::encode(self.stream.0.into(), &mut id);
        [&SIGNATURE[..], &[flags], &id[..len]].concat().into()
    }

    /// Reads metadata. Unknown flags and bytes after the stream id are ignored, as genuine peers ignore them.
    ///
    /// # Errors
    /// [`TcError::NotTc`] when it isn't TC or has no stream id: reject the flow. [`TcError::Truncated`] and
    /// [`TcError::StreamId`] when the id is no usable number.
    pub fn decode(mut input: Bytes) -> Result<Self, TcError> {
        let mut signature = [0; SIGNATURE.len()];
        input.try_copy_to_slice(&mut signature).map_err(|_| TcError::NotTc)?;
        let flags = input.try_get_u8().map_err(|_| TcError::NotTc)?;
        if signature != SIGNATURE || flags & HAS_STREAM_ID == 0 {
            return Err(TcError::NotTc);
        }
        let id = vlu::decode(&mut input).map_err(|vlu::Truncated| TcError::Truncated { what: "stream id" })?;
        let id = u32::try_from(id).map_err(|_| TcError::StreamId(id))?;
        Ok(Self { stream: StreamId(id), network_order: flags & NETWORK_ORDER != 0 })
    }
}
