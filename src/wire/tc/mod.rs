//! Flow metadata, message header and commands of the TC conversation: RTMP messages over flows.
//!
//! | specification | section |
//! |---|---|
//! | RFC 7425 (Adobe's RTMFP profile for Flash communication) | §5 |
//! | RTMP 1.0 | §5.4 (types), §7 (commands) |
//!
//! ```text
//! a flow's metadata:  'T' 'C' | flags u8 | stream id VLU
//! each message:       type u8 | timestamp u32 (ms) | RTMP message body
//! ```
//!
//! RTMP over TCP carries the same bodies behind another header, so bodies can be read and written by themselves too.

mod command;
mod metadata;
mod status;
mod user_control;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::amf0::Amf0Error;

pub use command::{Command, Data};
pub use metadata::{FlowMetadata, StreamId};
pub use status::{Info, Level, Status};
pub use user_control::UserControl;

/// Length of the header that starts every message: type u8, timestamp u32.
pub const HEADER_LEN: usize = 5;

/// RTMP message types. Defined by: RTMP 1.0, §5.4 and §7.1.
pub mod message_type {
    /// User control, [`UserControl`](super::UserControl).
    pub const USER_CONTROL: u8 = 4;
    /// An FLV audio tag body.
    pub const AUDIO: u8 = 8;
    /// An FLV video tag body.
    pub const VIDEO: u8 = 9;
    /// A zero byte, then as [`DATA_AMF0`].
    pub const DATA_AMF3: u8 = 15;
    /// A zero byte, then as [`COMMAND_AMF0`].
    pub const COMMAND_AMF3: u8 = 17;
    /// [`Data`](super::Data).
    pub const DATA_AMF0: u8 = 18;
    /// [`Command`](super::Command).
    pub const COMMAND_AMF0: u8 = 20;
}

/// What a peer did wrong. The connection it came over can't be trusted any further.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TcError {
    /// The input ends too early.
    #[error("truncated {what}")]
    Truncated {
        /// The part that is cut.
        what: &'static str,
    },
    /// The flow doesn't carry a TC conversation, or names no stream.
    #[error("flow metadata isn't TC with a stream id")]
    NotTc,
    /// A stream id beyond 32 bits.
    #[error("stream id {0} is out of range")]
    StreamId(u64),
    /// A command doesn't start with a string and a number, or data doesn't start with a string.
    #[error("a {what} doesn't start as it must")]
    Malformed {
        /// Command or data message.
        what: &'static str,
    },
    /// The values aren't readable.
    #[error(transparent)]
    Amf0(#[from] Amf0Error),
}

/// One message of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Milliseconds modulo 2^32; 0 in most commands.
    pub timestamp: u32,
    /// What it carries.
    pub content: Content,
}

/// What a message carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Types 20 and 17.
    Command(Command),
    /// Types 18 and 15.
    Data(Data),
    /// Type 4.
    UserControl(UserControl),
    /// Type 8: an FLV audio tag body.
    Audio(Bytes),
    /// Type 9: an FLV video tag body.
    Video(Bytes),
    /// Any other type. To be ignored.
    Other {
        /// The type.
        message_type: u8,
        /// The body.
        body: Bytes,
    },
}

impl Message {
    /// Reads a message, header first. Media bodies share `input`'s memory.
    ///
    /// # Errors
    /// [`TcError`].
    pub fn decode(mut input: Bytes) -> Result<Self, TcError> {
        let truncated = |_| TcError::Truncated { what: "message header" };
        let message_type = input.try_get_u8().map_err(truncated)?;
        let timestamp = input.try_get_u32().map_err(truncated)?;
        Ok(Self { timestamp, content: Content::decode(message_type, input)? })
    }

    /// Writes the message, header first, in the AMF0 types. User control is always at time 0.
    pub fn encode(&self) -> Bytes {
        let (message_type, body) = match &self.content {
            Content::Command(command) => return command.encode_at(self.timestamp),
            Content::Data(data) => return data.encode(self.timestamp),
            Content::UserControl(control) => return control.encode(),
            Content::Audio(body) => (message_type::AUDIO, body),
            Content::Video(body) => (message_type::VIDEO, body),
            Content::Other { message_type, body } => (*message_type, body),
        };
        let mut message = start(message_type, self.timestamp);
        message.put_slice(body);
        message.freeze()
    }
}

impl Content {
    /// Reads a message's body, given its type.
    ///
    /// # Errors
    /// [`TcError`].
    pub fn decode(message_type: u8, body: Bytes) -> Result<Self, TcError> {
        Ok(match message_type {
            message_type::COMMAND_AMF0 => Content::Command(Command::decode(&body)?),
            message_type::COMMAND_AMF3 => Content::Command(Command::decode(amf0_of_amf3(&body)?)?),
            message_type::DATA_AMF0 => Content::Data(Data::decode(&body)?),
            message_type::DATA_AMF3 => Content::Data(Data::decode(amf0_of_amf3(&body)?)?),
            message_type::USER_CONTROL => Content::UserControl(UserControl::decode(body)?),
            message_type::AUDIO => Content::Audio(body),
            message_type::VIDEO => Content::Video(body),
            _ => Content::Other { message_type, body },
        })
    }
}

/// Starts a message: its header, then room for the body.
fn start(message_type: u8, timestamp: u32) -> BytesMut {
    let mut message = BytesMut::with_capacity(128);
    message.put_u8(message_type);
    message.put_u32(timestamp);
    message
}

/// The AMF0 part of an "AMF3" message: every known sender writes a zero byte, then AMF0.
fn amf0_of_amf3(body: &[u8]) -> Result<&[u8], TcError> {
    match body.split_first() {
        Some((0, amf0)) => Ok(amf0),
        Some(_) => Err(TcError::Malformed { what: "AMF3 message" }),
        None => Err(TcError::Truncated { what: "AMF3 message" }),
    }
}

#[cfg(test)]
mod tests;
