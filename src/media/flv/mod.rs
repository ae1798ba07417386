//! RTMP message bodies → access units.

use bytes::BytesMut;
use thiserror::Error;

use super::Unit;
use super::time::Timestamp;

/// Why a message is not an access unit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlvError {
    /// The body ends too early.
    #[error("truncated {what}")]
    Truncated {
        /// The part that is cut.
        what: &'static str,
    },
    /// A codec that this gateway can't carry.
    #[error("{codec} can't be carried")]
    UnsupportedCodec {
        /// Its name.
        codec: String,
    },
}

/// Reads an RTMP message of type 8, 9 or 18. `message` is the body behind `MESSAGE_HEADER_LEN` spare bytes.
///
/// `None`: nothing that matters to a viewer (an empty body, `@clearDataFrame`).
///
/// # Errors
/// [`FlvError`] names what is wrong or can't be carried.
pub fn read(_message_type: u8, _timestamp: Timestamp, _message: BytesMut) -> Result<Option<Unit>, FlvError> {
    todo!("media helper")
}
