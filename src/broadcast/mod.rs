//! Live streams in memory.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;

use crate::media::time::Timestamp;
use crate::media::{Track, Unit, UnitKind};

/// The name of a live stream: `app/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamPath(Arc<str>);

impl StreamPath {
    /// Joins an application and a stream name.
    ///
    /// # Errors
    /// [`InvalidPath`] when a part is empty, too long or holds control characters.
    pub fn new(app: &str, name: &str) -> Result<Self, InvalidPath> {
        let _ = (app, name);
        todo!("broadcast helper: bounds, no leading/trailing '/', no control characters")
    }
}

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that no stream can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a stream path: {0}")]
pub struct InvalidPath(pub &'static str);

/// One shared message of a live stream. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The track.
    pub track: Track,
    /// What it means.
    pub kind: UnitKind,
    /// Decode time on the stream's one time line, which goes on across publishers.
    pub timestamp: Timestamp,
    /// Number of the group it belongs to; grows by one at each key frame (audio only: at each interval).
    pub group: u64,
    /// When it came from the publisher.
    pub received: Instant,
    /// The message: type u8, timestamp u32, FLV tag body.
    pub message: Bytes,
}

/// What a [`Subscriber`] reads.
#[derive(Debug, Clone)]
pub enum Item {
    /// A publisher is there: before the first frame, and again when one returns.
    Online,
    /// The publisher has gone. Frames may follow after the next `Online`; timestamps go on.
    Offline,
    /// A frame. After joining, after `Online` and after a skip: metadata and configurations that changed come first,
    /// and the first video frame is a key frame.
    Frame(Frame),
    /// The cursor lagged and was moved to the newest group.
    Skipped {
        /// Frames left out.
        frames: u64,
    },
}

/// Every live stream of this gateway. Cloning gives another handle to the same streams.
#[derive(Debug, Clone)]
pub struct Registry {}

/// Bounds of the streams held in memory.
#[derive(Debug, Clone)]
pub struct Config {
    /// Most bytes a stream keeps for viewers that join or lag.
    pub cache_bytes: usize,
    /// Most time a stream keeps, from its oldest to its newest frame.
    pub cache_duration: Duration,
}

/// Why a path can't be published to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// Somebody publishes there already.
    #[error("{0} is already being published")]
    Busy(StreamPath),
}

impl Registry {
    /// An empty registry.
    pub fn new(_config: Config) -> Self {
        todo!("broadcast helper")
    }

    /// Takes the path for a publisher. Dropping the [`Publisher`] gives it back: viewers stay attached and wait.
    ///
    /// # Errors
    /// [`PublishError::Busy`].
    pub fn publish(&self, _path: &StreamPath) -> Result<Publisher, PublishError> {
        todo!("broadcast helper")
    }

    /// Attaches a viewer, published yet or not. The first item is `Online` only once a publisher is there.
    pub fn subscribe(&self, _path: &StreamPath) -> Subscriber {
        todo!("broadcast helper")
    }
}

/// The right to append to one live stream.
#[derive(Debug)]
pub struct Publisher {}

impl Publisher {
    /// Appends a unit that came at `now`.
    pub fn append(&mut self, _unit: Unit, _now: Instant) {
        todo!("broadcast helper: rebase the timestamp onto the stream's time line, share")
    }
}

/// A cursor into one live stream.
#[derive(Debug)]
pub struct Subscriber {}

impl Subscriber {
    /// The next item, waiting until there is one. Cancel safe.
    pub async fn next(&mut self) -> Item {
        todo!("broadcast helper")
    }

    /// The next item if there is one now.
    pub fn try_next(&mut self) -> Option<Item> {
        todo!("broadcast helper")
    }
}
