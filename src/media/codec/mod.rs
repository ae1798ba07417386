//! Decoder configuration records → codec string and picture or sound parameters.

pub mod aac;
pub mod avc;
pub mod picture_order;

use thiserror::Error;

use super::Unit;
use super::flv::{self, Configuration};

/// What a track of a live stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackInfo {
    /// Of the video track.
    Video(VideoInfo),
    /// Of the audio track.
    Audio(AudioInfo),
}

/// What a video track holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoInfo {
    /// Codec string as in RFC 6381: `avc1.64081f`. For codecs whose record isn't read, their FourCC.
    pub codec: String,
    /// Width of the picture in pixels, if it can be told.
    pub width: Option<u32>,
    /// Height of the picture in pixels, if it can be told.
    pub height: Option<u32>,
}

/// What an audio track holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioInfo {
    /// Codec string as in RFC 6381: `mp4a.40.2`.
    pub codec: String,
    /// Samples a second, as they are played.
    pub sample_rate: u32,
    /// Channels; 0 when only the frames tell.
    pub channels: u8,
}

/// Why a configuration record can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The record ends too early.
    #[error("truncated {what}")]
    Truncated {
        /// The part that is cut.
        what: &'static str,
    },
    /// A field holds a value that means nothing.
    #[error("{what} {value} has no meaning")]
    Reserved {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u32,
    },
    /// The sequence parameter set can't be read.
    #[error("unreadable sequence parameter set: {0}")]
    ParameterSet(String),
}

/// Describes the track that a unit of kind [`UnitKind::Configuration`](super::UnitKind::Configuration) configures.
///
/// `None`: it's another kind of unit, or its record can't be read.
pub fn describe(unit: &Unit) -> Option<TrackInfo> {
    let by_name = |name: &str| Some(TrackInfo::Video(VideoInfo { codec: name.to_owned(), width: None, height: None }));
    match flv::configuration(unit)? {
        Configuration::Avc(record) => Some(TrackInfo::Video(avc::Configuration::read(record).ok()?.info())),
        Configuration::Aac(record) => Some(TrackInfo::Audio(aac::Configuration::read(record).ok()?.info())),
        Configuration::Hevc(_) => by_name("hvc1"),
        Configuration::Av1(_) => by_name("av01"),
        Configuration::Vp9(_) => by_name("vp09"),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::media::time::Timestamp;

    fn described(message_type: u8, body: &[u8]) -> Option<TrackInfo> {
        let message = BytesMut::from([&[0; 5], body].concat().as_slice());
        describe(&flv::read(message_type, Timestamp::default(), message).unwrap().unwrap())
    }

    #[test]
    fn configurations_are_described() {
        let video = [b"\x17\x00\x00\x00\x00", avc::tests::RECORD].concat();
        let info = VideoInfo { codec: "avc1.640028".into(), width: Some(1920), height: Some(1080) };
        assert_eq!(described(9, &video), Some(TrackInfo::Video(info)));
        let info = AudioInfo { codec: "mp4a.40.2".into(), sample_rate: 44_100, channels: 2 };
        assert_eq!(described(8, b"\xaf\x00\x12\x10"), Some(TrackInfo::Audio(info)));
    }

    #[test]
    fn what_cannot_be_read_is_not_described() {
        assert_eq!(described(9, b"\x17\x00\x00\x00\x00\x02"), None);
        assert_eq!(described(8, b"\xaf\x01frame"), None);
    }
}
