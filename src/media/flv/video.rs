//! Video tag bodies.
//!
//! ```text
//! legacy:    frame type (4 bits) codec (4) | AVC packet type u8 | composition time s24 | record or NAL units
//! enhanced:  1 frame type (3) packet type (4) | FourCC | composition time s24, in coded frames of H.264/5 | …
//! ```

use bytes::{Buf, BytesMut};

use super::{Coded, Configuration, FlvError, body, byte, four_cc, unsupported, unsupported_four_cc};
use crate::media::time::Timestamp;
use crate::media::{Track, Unit, UnitKind};

const ENHANCED: u8 = 0x80;
const AVC: u8 = 7;

const KEY: u8 = 1;
const INTER: u8 = 2;
const DISPOSABLE_INTER: u8 = 3;
const GENERATED_KEY: u8 = 4;
/// Not a frame: a command to the decoder's buffer, of meaning when seeking.
const COMMAND: u8 = 5;

/// Bytes before the record: in both forms of the header.
const CONFIGURATION_AT: usize = 5;

pub(super) fn read(timestamp: Timestamp, message: BytesMut) -> Result<Option<Unit>, FlvError> {
    let mut input = body(&message);
    let first = byte(&mut input, "video header")?;
    let read = if first & ENHANCED == 0 { read_legacy(first, input)? } else { read_enhanced(first, input)? };
    Ok(read.map(|(kind, composition_ms)| Unit::new(Track::Video, kind, timestamp, composition_ms, message)))
}

pub(super) fn configuration(body: &[u8]) -> Option<Configuration<'_>> {
    let (header, record) = body.split_at_checked(CONFIGURATION_AT)?;
    match header {
        [first, ..] if first & ENHANCED == 0 => Some(Configuration::Avc(record)),
        [_, b'a', b'v', b'c', b'1'] => Some(Configuration::Avc(record)),
        [_, b'h', b'v', b'c', b'1'] => Some(Configuration::Hevc(record)),
        [_, b'a', b'v', b'0', b'1'] => Some(Configuration::Av1(record)),
        [_, b'v', b'p', b'0', b'9'] => Some(Configuration::Vp9(record)),
        _ => None,
    }
}

pub(super) fn coded_in(body: &[u8]) -> Option<Coded<'_>> {
    let (header, rest) = body.split_at_checked(CONFIGURATION_AT)?;
    let with_composition_time = |mut input: &'_ [u8]| composition_ms(&mut input).ok();
    match header {
        [first, 1, time @ ..] if first & ENHANCED == 0 => {
            Some(Coded { composition_ms: with_composition_time(time)?, data: rest })
        }
        [first, b'a', b'v', b'c', b'1'] | [first, b'h', b'v', b'c', b'1'] if first & 0x0f == 1 => {
            let (time, data) = rest.split_at_checked(3)?;
            Some(Coded { composition_ms: with_composition_time(time)?, data })
        }
        [first, ..] if first & ENHANCED != 0 && matches!(first & 0x0f, 1 | 3) => {
            Some(Coded { composition_ms: 0, data: rest })
        }
        _ => None,
    }
}

/// What a body is, and its composition time; `None` when it's nothing to a viewer.
type Read = Option<(UnitKind, i32)>;

fn read_legacy(first: u8, mut input: &[u8]) -> Result<Read, FlvError> {
    let frame_type = first >> 4;
    if frame_type == COMMAND {
        return Ok(None);
    }
    match first & 0x0f {
        AVC => {}
        2 => return Err(unsupported("Sorenson H.263 video")),
        3 => return Err(unsupported("Screen video")),
        4 => return Err(unsupported("VP6 video")),
        5 => return Err(unsupported("VP6 video with alpha")),
        6 => return Err(unsupported("Screen video 2")),
        // Not in the specification, but some encoders' habit.
        12 => return Err(unsupported("H.265 video without the enhanced header")),
        other => return Err(unsupported(&format!("video codec {other}"))),
    }
    match byte(&mut input, "AVC packet type")? {
        0 => {
            composition_ms(&mut input)?;
            configuration_kind(input)
        }
        1 => {
            let composition_ms = composition_ms(&mut input)?;
            coded(frame_type, composition_ms, input)
        }
        2 => Ok(Some((UnitKind::EndOfSequence, 0))),
        value => Err(FlvError::Reserved { what: "AVC packet type", value }),
    }
}

fn read_enhanced(first: u8, mut input: &[u8]) -> Result<Read, FlvError> {
    const METADATA: u8 = 4;
    let (frame_type, packet_type) = (first >> 4 & 0x07, first & 0x0f);
    match packet_type {
        0..=METADATA => {}
        5 => return Err(unsupported("video with an MPEG-2 TS descriptor")),
        6 => return Err(unsupported("multitrack video")),
        7 => return Err(unsupported("video with modifiers (ModEx)")),
        value => return Err(FlvError::Reserved { what: "video packet type", value }),
    }
    if frame_type == COMMAND && packet_type != METADATA {
        return Ok(None);
    }
    let four_cc = four_cc(&mut input)?;
    let has_composition_time = match &four_cc {
        b"avc1" | b"hvc1" => true,
        b"av01" | b"vp09" => false,
        _ => return Err(unsupported_four_cc(four_cc)),
    };
    match packet_type {
        0 => configuration_kind(input),
        1 if has_composition_time => {
            let composition_ms = composition_ms(&mut input)?;
            coded(frame_type, composition_ms, input)
        }
        1 | 3 => coded(frame_type, 0, input),
        2 => Ok(Some((UnitKind::EndOfSequence, 0))),
        // Colour information: no configuration of a decoder, which it would push out of what joining viewers get.
        _ => Ok(Some((UnitKind::Data, 0))),
    }
}

fn configuration_kind(record: &[u8]) -> Result<Read, FlvError> {
    if record.is_empty() {
        return Err(FlvError::Truncated { what: "video configuration" });
    }
    Ok(Some((UnitKind::Configuration, 0)))
}

fn coded(frame_type: u8, composition_ms: i32, frame: &[u8]) -> Result<Read, FlvError> {
    if frame.is_empty() {
        // Decoders take an empty frame for an error.
        return Ok(None);
    }
    match frame_type {
        KEY | GENERATED_KEY => Ok(Some((UnitKind::Key, composition_ms))),
        INTER | DISPOSABLE_INTER => Ok(Some((UnitKind::Delta, composition_ms))),
        value => Err(FlvError::Reserved { what: "video frame type", value }),
    }
}

fn composition_ms(input: &mut &[u8]) -> Result<i32, FlvError> {
    // Sign-extends 24 bits.
    let value = input.try_get_int(3).map_err(|_| FlvError::Truncated { what: "composition time" })?;
    Ok(value as i32)
}
