//! User control messages.

use bytes::{Buf, BufMut, Bytes};

use super::{StreamId, TcError, message_type, start};

const STREAM_BEGIN: u16 = 0;
const FLOW_SYNC: u16 = 34;

/// A user control message. Defined by: RTMP 1.0, §7.1.7; RFC 7425, §5 (flow synchronization).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserControl {
    /// Event 0: messages of the stream follow.
    StreamBegin(StreamId),
    /// Event 34: hand up nothing that follows on this flow until the same has come on `count` flows.
    ///
    /// A genuine browser client that gets it on fewer than `count` flows stalls those flows for good.
    FlowSync {
        /// Number of this synchronization.
        id: u32,
        /// How many flows take part.
        count: u32,
    },
    /// Any other event. To be ignored.
    Other {
        /// The event.
        event: u16,
        /// What follows it.
        payload: Bytes,
    },
}

impl UserControl {
    /// Writes a whole message, header first, at time 0.
    pub fn encode(&self) -> Bytes {
        let mut message = start(message_type::USER_CONTROL, 0);
        match self {
            UserControl::StreamBegin(stream) => {
                message.put_u16(STREAM_BEGIN);
                message.put_u32(stream.0);
            }
            UserControl::FlowSync { id, count } => {
                message.put_u16(FLOW_SYNC);
                message.put_u32(*id);
                message.put_u32(*count);
            }
            UserControl::Other { event, payload } => {
                message.put_u16(*event);
                message.put_slice(payload);
            }
        }
        message.freeze()
    }

    /// Reads the body of a message of type [`message_type::USER_CONTROL`]. Bytes after an event's last field are ignored.
    ///
    /// # Errors
    /// [`TcError::Truncated`].
    pub fn decode(mut body: Bytes) -> Result<Self, TcError> {
        let truncated = |_| TcError::Truncated { what: "user control message" };
        Ok(match body.try_get_u16().map_err(truncated)? {
            STREAM_BEGIN => UserControl::StreamBegin(StreamId(body.try_get_u32().map_err(truncated)?)),
            FLOW_SYNC => UserControl::FlowSync {
                id: body.try_get_u32().map_err(truncated)?,
                count: body.try_get_u32().map_err(truncated)?,
            },
            event => UserControl::Other { event, payload: body },
        })
    }
}
