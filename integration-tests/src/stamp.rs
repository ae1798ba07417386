//! The time of sending, inside the frame: a viewer on the same machine reads the delay from it.
//!
//! In video the stamp is an SEI message (user data unregistered) before the picture, so the stream stays decodable. In the
//! benchmark's audio, which nobody decodes, it stands where the codec's bytes would.
//!
//! | specification | section |
//! |---|---|
//! | ISO/IEC 14496-10 | D.1.7, user_data_unregistered |

use std::time::Duration;

use bytes::Bytes;

/// Says that the user data is a stamp.
const UUID: [u8; 16] = *b"headwater-stamp!";

/// Seven bits a byte with the top bit set: no zero bytes, so no emulation prevention is needed.
const TIME_LEN: usize = 10;
const SEQUENCE_LEN: usize = 5;
const LEN: usize = UUID.len() + TIME_LEN + SEQUENCE_LEN;

/// Frame type and codec, packet type, composition time.
const VIDEO_HEADER_LEN: usize = 5;
/// NAL unit length, NAL unit type, SEI payload type, SEI payload size.
const SEI_HEADER_LEN: usize = 4 + 3;
/// Sound format, packet type.
const AUDIO_HEADER_LEN: usize = 2;

/// When a frame was sent, and which frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The sender's monotonic clock.
    pub sent: Duration,
    /// The frame's number on its track, from 0.
    pub sequence: u32,
}

/// The monotonic clock, which all processes of a machine share.
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl Stamp {
    /// Puts the stamp into an FLV video body (AVC, NAL units).
    pub fn into_video(self, body: &[u8]) -> Bytes {
        let mut stamped = Vec::with_capacity(body.len() + SEI_HEADER_LEN + LEN + 1);
        stamped.extend_from_slice(&body[..VIDEO_HEADER_LEN]);
        stamped.extend_from_slice(&(3 + LEN as u32 + 1).to_be_bytes());
        stamped.extend_from_slice(&[6, 5, LEN as u8]);
        self.encode(&mut stamped);
        stamped.push(0x80);
        stamped.extend_from_slice(&body[VIDEO_HEADER_LEN..]);
        stamped.into()
    }

    /// Puts the stamp in place of the codec's first bytes of an FLV audio body (AAC).
    pub fn over_audio(self, body: &[u8]) -> Bytes {
        let mut stamped = body[..AUDIO_HEADER_LEN].to_vec();
        self.encode(&mut stamped);
        stamped.extend_from_slice(body.get(AUDIO_HEADER_LEN + LEN..).unwrap_or_default());
        stamped.into()
    }

    /// The stamp of an FLV video body.
    pub fn of_video(body: &[u8]) -> Option<Stamp> {
        Self::of_picture(body.get(VIDEO_HEADER_LEN..)?)
    }

    /// The stamp of an FLV audio body.
    pub fn of_audio(body: &[u8]) -> Option<Stamp> {
        Self::of_sound(body.get(AUDIO_HEADER_LEN..)?)
    }

    /// The stamp of a video frame as the codec has it.
    pub fn of_picture(frame: &[u8]) -> Option<Stamp> {
        Self::decode(frame.get(SEI_HEADER_LEN..)?)
    }

    /// The stamp of an audio frame as the codec has it.
    pub fn of_sound(frame: &[u8]) -> Option<Stamp> {
        Self::decode(frame)
    }

    /// The first stamp in bytes of any form.
    pub fn find(bytes: &[u8]) -> Option<Stamp> {
        let at = bytes.windows(UUID.len()).position(|window| window == UUID)?;
        Self::decode(&bytes[at..])
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&UUID);
        let nanos = self.sent.as_nanos() as u64;
        out.extend((0..TIME_LEN).map(|i| 0x80 | (nanos >> (7 * i)) as u8));
        out.extend((0..SEQUENCE_LEN).map(|i| 0x80 | (self.sequence >> (7 * i)) as u8));
    }

    fn decode(bytes: &[u8]) -> Option<Stamp> {
        let rest = bytes.strip_prefix(&UUID)?;
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
        let sent = Duration::from_nanos(number(rest.get(..TIME_LEN)?));
        let sequence = number(rest.get(TIME_LEN..TIME_LEN + SEQUENCE_LEN)?) as u32;
        Some(Stamp { sent, sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { sent: Duration::from_nanos(u64::MAX - 5), sequence: u32::MAX - 7 };

    #[test]
    fn a_video_stamp_comes_back_and_the_picture_follows_it() {
        let body = [0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 0xaa];
        let stamped = STAMP.into_video(&body);
        assert_eq!(Stamp::of_video(&stamped), Some(STAMP));
        let sei = u32::from_be_bytes(stamped[5..9].try_into().unwrap()) as usize;
        assert_eq!(stamped[9 + sei..], body[5..]);
        assert!(!stamped[9..9 + sei].contains(&0));
    }

    #[test]
    fn an_audio_stamp_comes_back() {
        let stamped = STAMP.over_audio(&[0xaf; 400]);
        assert_eq!(stamped.len(), 400);
        assert_eq!(Stamp::of_audio(&stamped), Some(STAMP));
    }

    #[test]
    fn a_stamp_is_found_wherever_it_lies() {
        let packed = [&[0; 77][..], &STAMP.over_audio(&[0xaf; 400])].concat();
        assert_eq!(Stamp::find(&packed), Some(STAMP));
        assert_eq!(Stamp::find(&packed[100..]), None);
    }

    #[test]
    fn a_frame_without_a_stamp_has_none() {
        assert_eq!(Stamp::of_video(&[0x17; 100]), None);
        assert_eq!(Stamp::of_audio(&[0xaf]), None);
    }
}
