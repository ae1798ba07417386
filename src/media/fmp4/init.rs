//! Decoder configuration → initialization segment: `ftyp` and `moov` of one track.

use bytes::{Bytes, BytesMut};
use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig};
use mp4_atom::{
    Atom, Audio, Avc1, Avcc, Codec, Dinf, Dref, DrefEntry, Encode, Esds, FixedPoint, FourCC, Ftyp, Hdlr, Mdhd, Mdia,
    Minf, Moov, Mp4a, Mvex, Mvhd, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd,
};

use super::TrackId;
use crate::media::codec::{CodecError, aac, avc};
use crate::media::time::Timestamp;

/// Longest configuration record that is made a header of, in bytes. Stops a publisher from having each viewer sent
/// megabytes; genuine ones take less than 200.
const MAX_RECORD: usize = 16 << 10;

/// MPEG-4 audio. Defined by: ISO/IEC 14496-1, §7.2.6.6.2, and the MP4 registration authority.
const OBJECT_TYPE_AUDIO: u8 = 0x40;
const STREAM_TYPE_AUDIO: u8 = 5;
/// An SL packet header for use in MP4 files. Defined by: ISO/IEC 14496-14, §3.1.2.
const SL_PREDEFINED: SLConfig = SLConfig {};

/// The initialization segment of one track, and what has to be known to give it to a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Codec string as in RFC 6381: `avc1.64081f`.
    pub codec: String,
    /// Width of the picture in pixels; 0 for audio.
    pub width: u16,
    /// Height of the picture in pixels; 0 for audio.
    pub height: u16,
    /// `ftyp` and `moov`.
    pub segment: Bytes,
}

/// The segment for H.264, from an AVCDecoderConfigurationRecord.
///
/// # Errors
/// [`CodecError`], also for a record that is too long and for a picture whose size can't be told.
pub fn avc(record: &[u8]) -> Result<Init, CodecError> {
    let record = bounded(record)?;
    let configuration = avc::Configuration::read(record)?;
    let (width, height) = configuration.dimensions()?;
    let reserved = |value| CodecError::Reserved { what: "picture size", value };
    let (width, height) =
        (u16::try_from(width).map_err(|_| reserved(width))?, u16::try_from(height).map_err(|_| reserved(height))?);
    // Some encoders end the record with bytes that are no extension.
    let avcc = [record, record.get(..configuration.len).unwrap_or_default()];
    let avcc = avcc.iter().find_map(|record| Avcc::decode_body(&mut &record[..]).ok());
    let avcc = avcc.ok_or(CodecError::Truncated { what: "AVCDecoderConfigurationRecord" })?;
    let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
    let entry = Avc1 { visual, avcc, ..Avc1::default() };
    let codec = configuration.info().codec;
    Ok(Init { codec, width, height, segment: video(entry.into(), width, height)? })
}

/// The segment for AAC, from an AudioSpecificConfig.
///
/// # Errors
/// [`CodecError`], also for a record that is too long and for one without a sample rate.
pub fn aac(record: &[u8]) -> Result<Init, CodecError> {
    let record = bounded(record)?;
    let configuration = aac::Configuration::read(record)?;
    let sample_rate = configuration.sample_rate;
    if sample_rate == 0 {
        return Err(CodecError::Reserved { what: "sample rate", value: 0 });
    }
    let entry = Mp4a {
        audio: Audio {
            data_reference_index: 1,
            channel_count: configuration.channels.max(1).into(),
            sample_size: 16,
            // It holds 16 bits; players read the record.
            sample_rate: FixedPoint::from(u16::try_from(sample_rate).unwrap_or(0)),
        },
        esds: Esds {
            es_desc: EsDescriptor {
                es_id: TrackId::Audio as u16,
                dec_config: DecoderConfig {
                    object_type_indication: OBJECT_TYPE_AUDIO,
                    stream_type: STREAM_TYPE_AUDIO,
                    dec_specific: Some(DecoderSpecific { raw: record.to_vec(), ..DecoderSpecific::default() }),
                    ..DecoderConfig::default()
                },
                sl_config: SL_PREDEFINED,
                ..EsDescriptor::default()
            },
        },
        btrt: None,
        taic: None,
    };
    let media = Minf { smhd: Some(Smhd::default()), ..minf(entry.into()) };
    let header = Tkhd { volume: 1.into(), ..tkhd(TrackId::Audio) };
    let segment = encode(TrackId::Audio, header, sample_rate, b"soun", media)?;
    Ok(Init { codec: configuration.info().codec, width: 0, height: 0, segment })
}

fn bounded(record: &[u8]) -> Result<&[u8], CodecError> {
    if record.len() > MAX_RECORD {
        let value = u32::try_from(record.len()).unwrap_or(u32::MAX);
        return Err(CodecError::Reserved { what: "length of a configuration", value });
    }
    Ok(record)
}

fn video(entry: Codec, width: u16, height: u16) -> Result<Bytes, CodecError> {
    let header = Tkhd { width: width.into(), height: height.into(), ..tkhd(TrackId::Video) };
    let media = Minf { vmhd: Some(Vmhd::default()), ..minf(entry) };
    encode(TrackId::Video, header, Timestamp::TIMESCALE, b"vide", media)
}

fn tkhd(track: TrackId) -> Tkhd {
    Tkhd { track_id: track as u32, enabled: true, in_movie: true, ..Tkhd::default() }
}

fn minf(entry: Codec) -> Minf {
    // The file itself, which is what an empty location means.
    let itself = DrefEntry::Url(Url { location: String::new() });
    Minf {
        dinf: Dinf { dref: Dref { entries: vec![itself] } },
        stbl: Stbl { stsd: Stsd { codecs: vec![entry] }, stco: Some(Stco::default()), ..Stbl::default() },
        ..Minf::default()
    }
}

fn encode(track: TrackId, tkhd: Tkhd, timescale: u32, handler: &[u8; 4], minf: Minf) -> Result<Bytes, CodecError> {
    let brand = FourCC::new;
    let ftyp =
        Ftyp { major_brand: brand(b"iso6"), minor_version: 0, compatible_brands: vec![brand(b"iso6"), brand(b"cmf2")] };
    let mdia = Mdia {
        mdhd: Mdhd { timescale, language: "und".into(), ..Mdhd::default() },
        hdlr: Hdlr { handler: brand(handler), name: String::new() },
        minf,
    };
    let trex = Trex { track_id: track as u32, default_sample_description_index: 1, ..Trex::default() };
    let moov = Moov {
        mvhd: Mvhd {
            timescale: Timestamp::TIMESCALE,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: 3,
            ..Mvhd::default()
        },
        mvex: Some(Mvex { mehd: None, trex: vec![trex] }),
        trak: vec![Trak { tkhd, mdia, ..Trak::default() }],
        ..Moov::default()
    };
    let mut segment = BytesMut::new();
    let encoded = ftyp.encode(&mut segment).and_then(|()| moov.encode(&mut segment));
    // What a record may hold and a box may not.
    encoded.map_err(|_| CodecError::Reserved { what: "configuration", value: 0 })?;
    Ok(segment.freeze())
}
