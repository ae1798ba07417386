//! Access units → fragmented MP4, a track at a time: what Media Source Extensions take.
//!
//! | specification | what of it |
//! |---|---|
//! | ISO/IEC 14496-12 (ISO base media file format) | boxes, movie fragments (§8.8), reference times (§8.16.5) |
//! | ISO/IEC 14496-14, 14496-15 | sample entries of AAC and H.264 |
//! | ISO/IEC 23000-19 (CMAF) | §7.3: header and fragments of one track, brand `cmf2` |
//! | Media Source Extensions, ISO BMFF byte stream format | initialization and media segments |
//!
//! ```text
//! [`init`]      ftyp moov                        once, and again when the decoder's configuration changes
//! [`Track`]     moof mdat │ moof mdat │ …        each of N frames; tfdt is exact; prft before it, now and then
//! ```
//!
//! A track has a file of its own, since a muxed one stalls when video is left out.
//!
//! A segment is complete when its last frame is there, and that frame's duration is only known when the next one comes.
//! Waiting for it would cost a frame of delay, so video is taken to last as long as the frame before did: a decoder keeps
//! to `tfdt`, where an error does not add up.

mod fragment;
pub mod init;
#[cfg(test)]
mod tests;
mod track;

pub use self::fragment::{Fragment, Sample};
pub use self::init::Init;
pub use self::track::Track;

/// Which of a stream's tracks a file holds: its track number. They differ, so that two files may be made one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackId {
    /// 1.
    Video = 1,
    /// 2.
    Audio = 2,
}
