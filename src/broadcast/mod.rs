//! Live streams in memory: one publisher appends, any number of viewers read.
//!
//! A stream is one bounded log of shared [`Frame`]s in groups; a viewer is a cursor into it. A frame's bytes exist once,
//! whatever the number of viewers, and its timestamp is put onto the stream's time line once.
//!
//! ```text
//!              trimmed │ kept: at most `max_bytes` and `max_duration`
//!            ┄ ┄ ┄ ┄ ┄ │ d d d d │ K d d d d d │ K d d d ◀─ Publisher::append
//!                      │    ▲    │             │ ▲     ▲
//!                           │                    │     └── a cursor that keeps up
//!                           │                    └── where a joining cursor starts
//!                           └── a cursor that is more than `max_lag` late: its next item is `Skipped`, then the newest K
//! ```
//!
//! Viewers that want the stream as fragmented MP4 read a second log, which is made of the first while there are any.
//!
//! Invariant: no lock is held across an await, and none of the publisher's while frames are decoded, copied or sent.
//! Invariant: no runtime. Whoever waits leaves a waker; time is an argument.

mod bell;
mod cache;
mod config;
mod events;
mod intake;
mod metrics;
mod order;
mod packaged;
mod path;
mod publisher;
mod rate;
mod registry;
mod rules;
mod subscriber;
#[cfg(test)]
mod tests;

use std::time::Instant;

use bytes::Bytes;

use crate::media::time::Timestamp;
use crate::media::{Track, UnitKind};

pub use self::config::Config;
pub use self::events::{Change, Event};
pub use self::intake::{Intake, UnsupportedCodec};
pub use self::path::{InvalidPath, StreamPath};
pub use self::publisher::{Publisher, Replaced, Taken};
pub use self::registry::{Registry, StreamSummary};
pub use self::rules::{PublisherRules, Takeover};
pub use self::subscriber::Subscriber;

/// Name of the data message that tells viewers of a jump of the publisher's clock: `onDiscontinuity {timestamp, description}`,
/// its time being that of the first frame behind the jump. That publishers change is told by [`Item::Offline`] and
/// [`Item::Online`]. In both cases the stream's own time goes on.
pub const DISCONTINUITY: &str = "onDiscontinuity";

/// One shared message of a live stream. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The track.
    pub track: Track,
    /// What it means.
    pub kind: UnitKind,
    /// Decode time on the stream's one time line, which goes on across publishers.
    pub timestamp: Timestamp,
    /// Number of the group it belongs to; grows by one at each key frame (audio only: each second).
    pub group: u64,
    /// When it came from the publisher.
    pub received: Instant,
    /// The message: type u8, timestamp u32, FLV tag body. To a viewer of fragmented MP4, one or two messages of
    /// [`tlv`](crate::wire::tlv), of one or more frames, instead; data messages are the same.
    pub message: Bytes,
}

/// What a [`Subscriber`] reads.
#[derive(Debug, Clone)]
pub enum Item {
    /// A publisher is there: before the first frame, and again when one returns.
    Online,
    /// The publisher has gone. Frames may follow after the next `Online`; timestamps go on.
    Offline,
    /// A frame. Metadata and configurations come before the frames that need them and again only when they changed,
    /// but always after an `Online`. After joining, after `Online` and after a skip the first video frame is a key frame.
    Frame(Frame),
    /// The cursor lagged and was moved to the newest group.
    Skipped {
        /// Frames left out.
        frames: u64,
    },
}
