//! H.264: AVCDecoderConfigurationRecord.
//!
//! | specification | section |
//! |---|---|
//! | ISO/IEC 14496-15 | §5.3.3.1 (the record) |
//! | ITU-T H.264 | §7.3.2.1 (sequence parameter set) |
//! | RFC 6381 | §3.3 (`avc1.…`) |

use bytes::Buf;
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::{BitReader, decode_nal};

use super::{CodecError, VideoInfo};

/// Longest sequence parameter set that is looked into, in bytes. Stops a stranger from having kilobytes parsed bit by bit;
/// genuine ones take 20 to 60.
pub(super) const MAX_SPS_LEN: usize = 1024;

/// What an AVCDecoderConfigurationRecord says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration<'a> {
    /// `AVCProfileIndication`.
    pub profile: u8,
    /// `profile_compatibility`.
    pub compatibility: u8,
    /// `AVCLevelIndication`.
    pub level: u8,
    /// Length of the length before each NAL unit, in bytes: 1, 2 or 4.
    pub nal_length_size: u8,
    /// The first sequence parameter set, as a NAL unit.
    pub sps: &'a [u8],
    /// Length of the record with its parameter sets, without the extension that may follow, in bytes.
    pub len: usize,
}

impl<'a> Configuration<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// [`CodecError::Truncated`]; [`CodecError::Reserved`] for another version, a length size of 3 or no parameter set.
    pub fn read(record: &'a [u8]) -> Result<Self, CodecError> {
        let [version, profile, compatibility, level, length_size, sps_count, rest @ ..] = record else {
            return Err(CodecError::Truncated { what: "AVCDecoderConfigurationRecord" });
        };
        let mut rest = rest;
        if *version != 1 {
            return Err(CodecError::Reserved { what: "AVC configuration version", value: u32::from(*version) });
        }
        let nal_length_size = (length_size & 0x03) + 1;
        if nal_length_size == 3 {
            return Err(CodecError::Reserved { what: "NAL unit length size", value: 3 });
        }
        let mut sps: &[u8] = &[];
        let sps_count = sps_count & 0x1f;
        for index in 0..sps_count {
            let set = parameter_set(&mut rest)?;
            if index == 0 {
                sps = set;
            }
        }
        if sps.is_empty() {
            return Err(CodecError::Reserved { what: "sequence parameter set count", value: u32::from(sps_count) });
        }
        let pps_count = rest.try_get_u8().map_err(|_| CodecError::Truncated { what: "parameter set count" })?;
        for _ in 0..pps_count {
            parameter_set(&mut rest)?;
        }
        let len = record.len() - rest.len();
        Ok(Self { profile: *profile, compatibility: *compatibility, level: *level, nal_length_size, sps, len })
    }

    /// Width and height of the picture in pixels, cropping applied.
    ///
    /// # Errors
    /// [`CodecError::ParameterSet`] when the sequence parameter set can't be read.
    pub fn dimensions(&self) -> Result<(u32, u32), CodecError> {
        let unreadable = |reason: &str| CodecError::ParameterSet(reason.to_owned());
        if !(2..=MAX_SPS_LEN).contains(&self.sps.len()) {
            return Err(unreadable("too short or too long"));
        }
        let payload = decode_nal(self.sps).map_err(|error| unreadable(&error.to_string()))?;
        SeqParameterSet::from_bits(BitReader::new(&*payload))
            .and_then(|sps| sps.pixel_dimensions())
            .map_err(|error| unreadable(&format!("{error:?}")))
    }

    /// Describes the track.
    pub fn info(&self) -> VideoInfo {
        let (width, height) = self.dimensions().ok().unzip();
        VideoInfo {
            codec: format!("avc1.{:02x}{:02x}{:02x}", self.profile, self.compatibility, self.level),
            width,
            height,
        }
    }
}

/// Whether a frame of NAL units, each behind a length of `nal_length_size` bytes, can be decoded without any before it: it
/// holds a slice of an IDR picture. What some encoders call a key frame is only a place to recover at.
pub fn is_random_access(mut frame: &[u8], nal_length_size: u8) -> bool {
    const IDR: u8 = 5;
    while let Some((length, rest)) = frame.split_at_checked(nal_length_size.into()) {
        let length = length.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
        if rest.first().is_some_and(|header| header & 0x1f == IDR) && length > 0 {
            return true;
        }
        frame = rest.get(length..).unwrap_or_default();
        if frame.is_empty() {
            break;
        }
    }
    false
}

fn parameter_set<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], CodecError> {
    const TRUNCATED: CodecError = CodecError::Truncated { what: "parameter set" };
    let len = input.try_get_u16().map_err(|_| TRUNCATED)?;
    let (set, rest) = input.split_at_checked(len.into()).ok_or(TRUNCATED)?;
    *input = rest;
    Ok(set)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As FFmpeg's libx264 makes it: high profile, 1920×1080 cropped from 1088 lines.
    pub(in crate::media::codec) const RECORD: &[u8] = b"\x01\x64\x00\x28\xff\xe1\x00\x1b\x67\x64\x00\x28\xac\xd9\x40\x78\
        \x02\x27\xe5\xc0\x44\x00\x00\x03\x00\x04\x00\x00\x03\x00\xf0\x3c\x60\xc6\x58\x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\
        \xfd\xf8\xf8\x00";
    const SPS_AT: usize = 8;
    const SPS_LEN: usize = 27;

    #[test]
    fn a_record_is_read() {
        let configuration = Configuration::read(RECORD).unwrap();
        assert_eq!(configuration.nal_length_size, 4);
        assert_eq!(configuration.sps, &RECORD[SPS_AT..SPS_AT + SPS_LEN]);
        assert_eq!(configuration.len, RECORD.len() - 4);
        let info = VideoInfo { codec: "avc1.640028".into(), width: Some(1920), height: Some(1080) };
        assert_eq!(configuration.info(), info);
    }

    #[test]
    fn every_prefix_is_truncated() {
        // The four bytes at the end are an extension that isn't read.
        for end in 0..RECORD.len() - 4 {
            let error = Configuration::read(&RECORD[..end]).unwrap_err();
            assert!(matches!(error, CodecError::Truncated { .. }), "{error}");
        }
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        let error = Configuration::read(&[&[2], &RECORD[1..]].concat()).unwrap_err();
        assert_eq!(error, CodecError::Reserved { what: "AVC configuration version", value: 2 });
    }

    #[test]
    fn an_unreadable_parameter_set_leaves_the_codec_string() {
        let mut record = RECORD.to_vec();
        record[SPS_AT + 4..SPS_AT + SPS_LEN].fill(0);
        let info = Configuration::read(&record).unwrap().info();
        assert_eq!(info, VideoInfo { codec: "avc1.640028".into(), width: None, height: None });
    }

    #[test]
    fn only_an_idr_picture_is_a_place_of_random_access() {
        let (sei, idr, slice): (&[u8], &[u8], &[u8]) =
            (b"\0\0\0\x02\x06\x05", b"\0\0\0\x02\x65\x88", b"\0\0\0\x02\x41\x9a");
        assert!(is_random_access(&[sei, idr].concat(), 4));
        assert!(!is_random_access(&[sei, slice].concat(), 4));
        assert!(is_random_access(b"\x01\x65", 1));
        // A length beyond the frame's end, and none.
        assert!(!is_random_access(b"\xff\xff\xff\xff\x06\0\0\0\x01\x65", 4));
        assert!(!is_random_access(b"\0\0\0\0", 4));
    }

    proptest! {
        #[test]
        fn no_frame_panics(frame in prop::collection::vec(any::<u8>(), 0..60), size in 1u8..=4) {
            is_random_access(&frame, size);
        }

        #[test]
        fn no_record_panics(record in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(configuration) = Configuration::read(&record) {
                configuration.info();
            }
        }

        #[test]
        fn no_parameter_set_panics(sps in prop::collection::vec(any::<u8>(), 0..60), profile in prop_oneof![Just(66u8), Just(100), any::<u8>()]) {
            let sps = [&[0x67, profile], &sps[..]].concat();
            let _ = Configuration { profile, compatibility: 0, level: 40, nal_length_size: 4, sps: &sps, len: 0 }.dimensions();
        }

        #[test]
        fn no_damaged_parameter_set_panics(damage in prop::collection::vec((SPS_AT..SPS_AT + SPS_LEN, any::<u8>()), 1..6)) {
            let mut record = RECORD.to_vec();
            for (at, byte) in damage {
                record[at] = byte;
            }
            Configuration::read(&record).unwrap().info();
        }
    }
}
