//! Data message bodies: AMF0 values, of which the first is the name.

use bytes::{Buf, BytesMut};

use super::{FlvError, MESSAGE_HEADER_LEN, body, byte};
use crate::media::time::Timestamp;
use crate::media::{Track, Unit, UnitKind};

const STRING_MARKER: u8 = 2;
/// Marker u8 and length u16 before a string's text.
const STRING_HEADER_LEN: usize = 3;

/// Tells a server to keep what follows, which is a data message of its own.
const SET_DATA_FRAME: &[u8] = b"@setDataFrame";
/// Tells a server to forget what it has kept.
const CLEAR_DATA_FRAME: &[u8] = b"@clearDataFrame";
const METADATA: &[u8] = b"onMetaData";

pub(super) fn read(timestamp: Timestamp, mut message: BytesMut) -> Result<Option<Unit>, FlvError> {
    let mut name = name(body(&message))?;
    if name == SET_DATA_FRAME {
        message.advance(STRING_HEADER_LEN + SET_DATA_FRAME.len());
        name = self::name(body(&message))?;
    }
    let kind = match name {
        METADATA => UnitKind::Metadata,
        SET_DATA_FRAME | CLEAR_DATA_FRAME => return Ok(None),
        _ => UnitKind::Data,
    };
    Ok(Some(Unit::new(Track::Data, kind, timestamp, 0, message)))
}

/// Reads the body of a message of type 15: a zero byte, then AMF0.
pub(super) fn read_amf3(timestamp: Timestamp, mut message: BytesMut) -> Result<Option<Unit>, FlvError> {
    match byte(&mut body(&message), "data message")? {
        0 => {
            message.advance(1);
            debug_assert!(message.len() >= MESSAGE_HEADER_LEN, "a byte of body has been read");
            read(timestamp, message)
        }
        value => Err(FlvError::Reserved { what: "first byte of an AMF3 data message", value }),
    }
}

/// The string that a body begins with.
fn name(mut input: &[u8]) -> Result<&[u8], FlvError> {
    const TRUNCATED: FlvError = FlvError::Truncated { what: "data message" };
    match byte(&mut input, "data message")? {
        STRING_MARKER => {}
        value => return Err(FlvError::Reserved { what: "start of a data message", value }),
    }
    let len = input.try_get_u16().map_err(|_| TRUNCATED)?;
    input.get(..len.into()).ok_or(TRUNCATED)
}
