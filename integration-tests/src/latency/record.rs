//! What was sent and what was seen, as the publisher's and the viewers' processes report it.

use std::time::Duration;

use headwater::media::Track;
use serde::{Deserialize, Serialize};

use crate::viewer::{Kind, kind_of};

/// What a frame is, as far as its loss matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Sound.
    Audio,
    /// Video that starts a group.
    Key,
    /// The rest of video.
    Other,
}

/// A frame that was sent, or that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// What it is.
    pub class: Class,
    /// When the publisher wrote it, on the machine's monotonic clock.
    pub sent: Duration,
    /// When it came. Of one that was sent: the same as `sent`.
    pub received: Duration,
    /// Its length.
    pub bytes: usize,
}

/// What one viewer has seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seen {
    /// When it began to connect.
    pub started: Duration,
    /// Every frame, in the order of coming.
    pub frames: Vec<Frame>,
    /// Why it came to an end before it was told to.
    pub ended: Option<String>,
}

impl Class {
    /// Of an FLV tag body. `None`: no frame.
    pub fn of(track: Track, body: &[u8]) -> Option<Self> {
        match kind_of(track, body) {
            Kind::Audio => Some(Self::Audio),
            Kind::Key => Some(Self::Key),
            Kind::Delta => Some(Self::Other),
            Kind::Configuration | Kind::EndOfSequence => None,
        }
    }
}

impl Frame {
    /// From the publisher's write to the viewer's message.
    pub fn delay(&self) -> Duration {
        self.received.saturating_sub(self.sent)
    }
}
