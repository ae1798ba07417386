use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What every publisher is held to, whichever way it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublisherRules {
    /// Who has a path that two publish.
    pub takeover: Takeover,
    /// How long a publisher may send nothing of its stream before it has stalled: it is ended then, and keeps nobody out.
    /// Default 15 s.
    pub idle_timeout: Duration,
    /// Whether decoders are told that pictures are shown in the order in which they come, where the encoder of an H.264
    /// stream left that out and none is seen out of order. Default true.
    pub declare_picture_order: bool,
}

/// Who has a path that two publish: the setting `rtmp.takeover`, for every way in.
///
/// Default [`Takeover::Newest`]: an encoder whose connection died without a word is back long before that is noticed, and
/// must not be kept out by its own ghost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Takeover {
    /// The newest publisher replaces the one before.
    #[default]
    Newest,
    /// The first keeps it, until it ends or has stalled; others are refused.
    Refuse,
}

impl Default for PublisherRules {
    fn default() -> Self {
        Self { takeover: Takeover::default(), idle_timeout: Duration::from_secs(15), declare_picture_order: true }
    }
}
