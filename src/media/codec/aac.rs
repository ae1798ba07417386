//! AAC: AudioSpecificConfig.
//!
//! | specification | section |
//! |---|---|
//! | ISO/IEC 14496-3 | §1.6.2.1 (AudioSpecificConfig), §1.6.3 |
//! | RFC 6381 | §3.3 (`mp4a.40.…`) |

use super::{AudioInfo, CodecError};

/// Spectral band replication: the frames hold half the sample rate.
const SBR: u8 = 5;
/// Parametric stereo: SBR, and the frames hold one channel for two.
const PS: u8 = 29;

/// Low complexity, what all encoders make.
const LC: u8 = 2;
/// Object types whose frames are of 1024 or 960 samples, by a bit behind the channels: GASpecificConfig, §4.4.1.
const GENERAL_AUDIO: [u8; 9] = [1, LC, 3, 4, 6, 17, 19, 20, 22];

const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// What an AudioSpecificConfig says. Only its start is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration {
    /// Audio object type: 2 for AAC-LC, 5 with SBR, 29 with parametric stereo.
    pub object_type: u8,
    /// Samples a second, as they are played.
    pub sample_rate: u32,
    /// Channels; 0 when only the frames tell.
    pub channels: u8,
    /// Samples of each channel in a frame, as they are played; `None` for object types whose frames aren't known here.
    pub frame_samples: Option<u32>,
}

impl Configuration {
    /// Reads a record.
    ///
    /// # Errors
    /// [`CodecError::Truncated`], [`CodecError::Reserved`].
    pub fn read(record: &[u8]) -> Result<Self, CodecError> {
        let mut bits = Bits { bytes: record, at: 0 };
        let object_type = bits.object_type()?;
        let core_rate = bits.sample_rate()?;
        let channels = match bits.take(4)? {
            channels @ 0..=6 => channels as u8,
            7 | 12 | 14 => 8,
            11 => 7,
            value => return Err(CodecError::Reserved { what: "channel configuration", value }),
        };
        let extended = matches!(object_type, SBR | PS);
        let sample_rate = if extended { bits.sample_rate()? } else { core_rate };
        let channels = if object_type == PS && channels == 1 { 2 } else { channels };
        // A record that ends here says nothing of its frames, which then are the usual ones.
        let core_type = if extended { bits.object_type().unwrap_or(LC) } else { object_type };
        let frame_samples = GENERAL_AUDIO.contains(&core_type).then(|| {
            let core_samples = if bits.take(1) == Ok(1) { 960 } else { 1024 };
            // A core at the rate it is played at, or half of it: ISO/IEC 14496-3 knows no other.
            if extended && core_rate.checked_mul(2) == Some(sample_rate) { 2 * core_samples } else { core_samples }
        });
        Ok(Self { object_type, sample_rate, channels, frame_samples })
    }

    /// Describes the track.
    pub fn info(&self) -> AudioInfo {
        AudioInfo {
            codec: format!("mp4a.40.{}", self.object_type),
            sample_rate: self.sample_rate,
            channels: self.channels,
        }
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 32.
    fn take(&mut self, count: usize) -> Result<u32, CodecError> {
        let mut value = 0;
        for at in self.at..self.at + count {
            let byte = self.bytes.get(at / 8).ok_or(CodecError::Truncated { what: "AudioSpecificConfig" })?;
            value = value << 1 | u32::from(byte >> (7 - at % 8) & 1);
        }
        self.at += count;
        Ok(value)
    }

    fn object_type(&mut self) -> Result<u8, CodecError> {
        // Five and six bits: the casts lose nothing.
        match self.take(5)? as u8 {
            31 => Ok(32 + self.take(6)? as u8),
            0 => Err(CodecError::Reserved { what: "audio object type", value: 0 }),
            object_type => Ok(object_type),
        }
    }

    fn sample_rate(&mut self) -> Result<u32, CodecError> {
        match self.take(4)? {
            15 => self.take(24),
            index => SAMPLE_RATES
                .get(index as usize)
                .copied()
                .ok_or(CodecError::Reserved { what: "sample rate index", value: index }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_are_read() {
        for (record, object_type, sample_rate, channels, frame_samples) in [
            (&b"\x12\x10"[..], 2, 44_100, 2, 1024),
            (b"\x11\x90\x56\xe5\x00", 2, 48_000, 2, 1024),
            (b"\x14\x08", 2, 16_000, 1, 1024),
            (b"\x12\x14", 2, 44_100, 2, 960),
            // 48 kHz with SBR from 24 kHz.
            (b"\x2b\x11\x88", 5, 48_000, 2, 2048),
            // 44.1 kHz stereo from 22.05 kHz mono.
            (b"\xeb\x8a\x08", 29, 44_100, 2, 2048),
            // A rate spelt out: 0x00bb80.
            (b"\x17\x80\x5d\xc0\x10", 2, 48_000, 2, 1024),
        ] {
            let frame_samples = Some(frame_samples);
            let expected = Configuration { object_type, sample_rate, channels, frame_samples };
            assert_eq!(Configuration::read(record), Ok(expected), "{record:02x?}");
        }
    }

    #[test]
    fn frames_of_other_object_types_are_not_known() {
        // Low delay, 44.1 kHz stereo.
        assert_eq!(Configuration::read(b"\xba\x10").unwrap().frame_samples, None);
    }

    #[test]
    fn every_prefix_is_truncated() {
        let record = b"\x17\x80\x5d\xc0\x10";
        for end in 0..record.len() {
            assert!(matches!(Configuration::read(&record[..end]), Err(CodecError::Truncated { .. })));
        }
    }

    #[test]
    fn reserved_values_are_named() {
        assert_eq!(Configuration::read(b"\x16\x90").unwrap_err().to_string(), "sample rate index 13 has no meaning");
    }

    proptest! {
        #[test]
        fn no_record_panics(record in prop::collection::vec(any::<u8>(), 0..16)) {
            let _ = Configuration::read(&record);
        }
    }
}
