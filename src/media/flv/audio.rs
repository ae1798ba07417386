//! Audio tag bodies.
//!
//! ```text
//! legacy:    format (4 bits) rate (2) size (1) stereo (1) | AAC packet type u8 | record or frame
//! enhanced:  9 (4 bits) packet type (4) | FourCC | …
//! ```

use bytes::{Buf, BytesMut};

use super::{
    Coded, Configuration, FlvError, MESSAGE_HEADER_LEN, body, byte, four_cc, unsupported, unsupported_four_cc,
};
use crate::media::time::Timestamp;
use crate::media::{Track, Unit, UnitKind};

const AAC: u8 = 10;
/// The first byte of every AAC body, whatever its real rate and channels. Defined by: FLV, §E.4.2.1.
const AAC_HEADER: u8 = 0xaf;
const AAC_CONFIGURATION: u8 = 0;
const AAC_FRAME: u8 = 1;

pub(super) fn read(timestamp: Timestamp, message: BytesMut) -> Result<Option<Unit>, FlvError> {
    let mut input = body(&message);
    let first = byte(&mut input, "audio header")?;
    let kind = match first >> 4 {
        AAC => read_aac(input)?,
        2 | 14 => (!input.is_empty()).then_some(UnitKind::Audio),
        9 => return read_enhanced(timestamp, first & 0x0f, message),
        0 | 3 => return Err(unsupported("PCM audio")),
        1 => return Err(unsupported("ADPCM audio")),
        4..=6 => return Err(unsupported("Nellymoser audio")),
        7 | 8 => return Err(unsupported("G.711 audio")),
        11 => return Err(unsupported("Speex audio")),
        other => return Err(unsupported(&format!("audio codec {other}"))),
    };
    Ok(kind.map(|kind| Unit::new(Track::Audio, kind, timestamp, 0, message)))
}

pub(super) fn configuration(body: &[u8]) -> Option<Configuration<'_>> {
    match body {
        [first, AAC_CONFIGURATION, record @ ..] if first >> 4 == AAC => Some(Configuration::Aac(record)),
        _ => None,
    }
}

pub(super) fn coded_in(body: &[u8]) -> Option<Coded<'_>> {
    match body {
        [first, AAC_FRAME, data @ ..] if first >> 4 == AAC => Some(Coded { composition_ms: 0, data }),
        [first, data @ ..] if first >> 4 != AAC => Some(Coded { composition_ms: 0, data }),
        _ => None,
    }
}

fn read_aac(mut input: &[u8]) -> Result<Option<UnitKind>, FlvError> {
    match byte(&mut input, "AAC packet type")? {
        AAC_CONFIGURATION if input.is_empty() => Err(FlvError::Truncated { what: "audio configuration" }),
        AAC_CONFIGURATION => Ok(Some(UnitKind::Configuration)),
        AAC_FRAME => Ok((!input.is_empty()).then_some(UnitKind::Audio)),
        value => Err(FlvError::Reserved { what: "AAC packet type", value }),
    }
}

/// Puts AAC into the legacy header, since genuine browser clients can't read the enhanced one.
fn read_enhanced(timestamp: Timestamp, packet_type: u8, mut message: BytesMut) -> Result<Option<Unit>, FlvError> {
    const HEADER_LEN: usize = 5;
    const LEGACY_LEN: usize = 2;
    match packet_type {
        5 => return Err(unsupported("multitrack audio")),
        7 => return Err(unsupported("audio with modifiers (ModEx)")),
        _ => {}
    }
    let input = body(&message);
    let four_cc = four_cc(&mut input.get(1..).unwrap_or_default())?;
    match &four_cc {
        b"mp4a" => {}
        b"Opus" => return Err(unsupported("Opus audio")),
        b".mp3" => return Err(unsupported("MP3 audio in an enhanced header")),
        b"fLaC" => return Err(unsupported("FLAC audio")),
        b"ac-3" => return Err(unsupported("AC-3 audio")),
        b"ec-3" => return Err(unsupported("E-AC-3 audio")),
        _ => return Err(unsupported_four_cc(four_cc)),
    }
    let aac_packet_type = match packet_type {
        0 => AAC_CONFIGURATION,
        1 => AAC_FRAME,
        // The end of the sequence and the order of channels.
        2 | 4 => return Ok(None),
        value => return Err(FlvError::Reserved { what: "audio packet type", value }),
    };
    message.advance(HEADER_LEN - LEGACY_LEN);
    if let Some([first, second, ..]) = message.get_mut(MESSAGE_HEADER_LEN..) {
        (*first, *second) = (AAC_HEADER, aac_packet_type);
    }
    read(timestamp, message)
}
