//! RTMP message bodies → access units.
//!
//! | specification | section |
//! |---|---|
//! | Video File Format Specification 10.1 (Adobe) | §E.4 (FLV tags) |
//! | Enhanced RTMP v2 (Veovera) | ExAudioTagHeader, ExVideoTagHeader |
//!
//! Bodies stay as they came, with two exceptions that genuine clients ask for: `@setDataFrame` is taken off, and AAC in an
//! enhanced header is put into the legacy one. Both only move the message's start, nothing is copied.

mod audio;
mod data;
mod video;

use bytes::{Buf, BytesMut};
use thiserror::Error;

use super::time::Timestamp;
use super::{MESSAGE_HEADER_LEN, Track, Unit, UnitKind};

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
    /// A field holds a value that means nothing.
    #[error("{what} {value} has no meaning")]
    Reserved {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u8,
    },
}

/// A decoder configuration: whose it is, and its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configuration<'a> {
    /// H.264: AVCDecoderConfigurationRecord.
    Avc(&'a [u8]),
    /// H.265: HEVCDecoderConfigurationRecord.
    Hevc(&'a [u8]),
    /// AV1CodecConfigurationRecord.
    Av1(&'a [u8]),
    /// VPCodecConfigurationRecord.
    Vp9(&'a [u8]),
    /// AudioSpecificConfig.
    Aac(&'a [u8]),
}

/// Reads an RTMP message of type 8, 9, 18 or 15. `message` is the body behind [`MESSAGE_HEADER_LEN`] spare bytes.
///
/// `None`: nothing that matters to a viewer (an empty body or frame, a video command, `@clearDataFrame`). Of a data message
/// only the name is read: whoever reads its values has to bound that.
///
/// # Errors
/// [`FlvError`] names what is wrong or can't be carried. [`FlvError::UnsupportedCodec`] is for the publisher to be told;
/// after the others the message can be dropped.
pub fn read(message_type: u8, timestamp: Timestamp, message: BytesMut) -> Result<Option<Unit>, FlvError> {
    if message.len() <= MESSAGE_HEADER_LEN {
        return Ok(None);
    }
    match message_type {
        8 => audio::read(timestamp, message),
        9 => video::read(timestamp, message),
        15 => data::read_amf3(timestamp, message),
        18 => data::read(timestamp, message),
        value => Err(FlvError::Reserved { what: "media message type", value }),
    }
}

/// The record in a unit of kind [`UnitKind::Configuration`].
pub fn configuration(unit: &Unit) -> Option<Configuration<'_>> {
    (unit.kind == UnitKind::Configuration).then(|| configuration_in(unit.track, unit.body())).flatten()
}

/// The record in the body of a unit of kind [`UnitKind::Configuration`].
pub fn configuration_in(track: Track, body: &[u8]) -> Option<Configuration<'_>> {
    match track {
        Track::Video => video::configuration(body),
        Track::Audio => audio::configuration(body),
        Track::Data => None,
    }
}

/// What the decoder is given of a coded frame, in the body of a unit that is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coded<'a> {
    /// Presentation time minus decode time, in milliseconds.
    pub composition_ms: i32,
    /// NAL units behind their lengths, an AAC frame, or what else the codec calls a frame.
    pub data: &'a [u8],
}

/// The coded frame in the body of a unit of kind [`UnitKind::Key`], [`UnitKind::Delta`] or [`UnitKind::Audio`].
pub fn coded_in(track: Track, body: &[u8]) -> Option<Coded<'_>> {
    match track {
        Track::Video => video::coded_in(body),
        Track::Audio => audio::coded_in(body),
        Track::Data => None,
    }
}

/// The body of a message.
fn body(message: &BytesMut) -> &[u8] {
    message.get(MESSAGE_HEADER_LEN..).unwrap_or_default()
}

fn byte(input: &mut &[u8], what: &'static str) -> Result<u8, FlvError> {
    input.try_get_u8().map_err(|_| FlvError::Truncated { what })
}

fn four_cc(input: &mut &[u8]) -> Result<[u8; 4], FlvError> {
    let mut four_cc = [0; 4];
    input.try_copy_to_slice(&mut four_cc).map_err(|_| FlvError::Truncated { what: "FourCC" })?;
    Ok(four_cc)
}

fn unsupported(codec: &str) -> FlvError {
    FlvError::UnsupportedCodec { codec: codec.to_owned() }
}

fn unsupported_four_cc(four_cc: [u8; 4]) -> FlvError {
    unsupported(&format!("codec {}", four_cc.escape_ascii()))
}

#[cfg(test)]
mod tests;
