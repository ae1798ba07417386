//! The bundled clip, `clip.flv`, which `make-clip.sh` makes.
//!
//! | what | specification |
//! |---|---|
//! | file header, tags | Adobe Flash Video File Format 10.1, §E.2 to §E.4 |

use bytes::{Buf, Bytes};

use crate::media::Track;

const BUNDLED: &[u8] = include_bytes!("clip.flv");

/// Bytes before the first tag: the header and the size of the tag before it, which isn't there.
const HEADER_LEN: usize = 9 + 4;

/// Type u8, body length u24, timestamp u24 and u8, stream u24.
const TAG_HEADER_LEN: usize = 11;

/// What follows each tag: its size.
const TRAILER_LEN: usize = 4;

/// A clip that can be played over and over.
#[derive(Debug)]
pub(super) struct Clip {
    /// Decoder configurations, sent once.
    pub(super) configurations: Vec<Tag>,
    /// Frames, in order of their timestamps.
    pub(super) frames: Vec<Tag>,
}

/// One message of the clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    /// Audio or video.
    pub(super) track: Track,
    /// Milliseconds from the clip's start.
    pub(super) timestamp: u32,
    /// What RTMP calls the message's body.
    pub(super) body: Bytes,
}

/// The clip is no FLV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an FLV file, or cut off")]
pub(super) struct NotFlv;

impl Clip {
    /// What one turn takes, in milliseconds: the recipe's length, at which whole video frames and whole AAC frames end together.
    pub(super) const TURN: u32 = 8000;

    /// The clip of this program.
    pub(super) fn bundled() -> Result<Self, NotFlv> {
        Self::read(Bytes::from_static(BUNDLED))
    }

    fn read(mut flv: Bytes) -> Result<Self, NotFlv> {
        if flv.len() < HEADER_LEN || !flv.starts_with(b"FLV\x01") {
            return Err(NotFlv);
        }
        flv.advance(HEADER_LEN);
        let mut clip = Self { configurations: Vec::new(), frames: Vec::new() };
        while flv.has_remaining() {
            if flv.remaining() < TAG_HEADER_LEN {
                return Err(NotFlv);
            }
            let kind = flv.get_u8();
            let len = usize::try_from(flv.get_uint(3)).map_err(|_| NotFlv)?;
            // 24 low bits, then the 8 high ones.
            let timestamp = flv.get_u32().rotate_right(8);
            flv.advance(3);
            if flv.remaining() < len + TRAILER_LEN {
                return Err(NotFlv);
            }
            let body = flv.split_to(len);
            flv.advance(TRAILER_LEN);
            let track = match kind {
                8 => Track::Audio,
                9 => Track::Video,
                // Metadata describes the file; the live stream's is made by the publisher.
                _ => continue,
            };
            // Second byte 0: a sequence header, of AVC and of AAC.
            let is_configuration = body.get(1) == Some(&0);
            let tags = if is_configuration { &mut clip.configurations } else { &mut clip.frames };
            tags.push(Tag { track, timestamp, body });
        }
        Ok(clip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_whole_frames_of_both_tracks() {
        let clip = Clip::bundled().unwrap();
        assert_eq!(clip.configurations.len(), 2);
        let count = |track| u32::try_from(clip.frames.iter().filter(|tag| tag.track == track).count()).unwrap();
        assert_eq!(count(Track::Video) * 1000, Clip::TURN * 30);
        assert_eq!(count(Track::Audio) * 1024, Clip::TURN * 48);
        assert!(clip.frames.is_sorted_by_key(|tag| tag.timestamp));
        assert!(clip.frames.iter().all(|tag| tag.timestamp < Clip::TURN));
    }

    #[test]
    fn the_clip_is_small_enough_to_be_bundled() {
        assert!(BUNDLED.len() < 700_000);
    }

    #[test]
    fn every_prefix_is_read_or_refused() {
        // As far as the second frame, and a little into it.
        for len in 0..2000 {
            let _ = Clip::read(Bytes::from_static(&BUNDLED[..len]));
        }
        assert_eq!(Clip::read(Bytes::from_static(&BUNDLED[..100])).unwrap_err(), NotFlv);
    }
}
