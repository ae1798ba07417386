use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// Bounds of the streams held in memory: the section `delivery.cache`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Most bytes a stream keeps for viewers that join or lag.
    ///
    /// Default 16 MiB: `max_duration` of an 11 Mbit/s stream. A publisher at any rate costs no more than this.
    pub max_bytes: ByteSize,
    /// Most time a stream keeps, from its oldest to its newest frame.
    ///
    /// Default 12 s: x264's default longest group is 250 frames, 10 s at 25 frames a second, and must fit whole, or
    /// joining viewers wait for the next key frame.
    #[serde(with = "humantime_serde")]
    pub max_duration: Duration,
    /// How far a viewer may be behind the newest frame once a newer group is there; later than this, it skips to that group.
    ///
    /// Default 500 ms: what is also queued and in flight to such a viewer has to fit into one second with it.
    #[serde(with = "humantime_serde")]
    pub max_lag: Duration,
    /// How long audio waits for a video frame that is due within this time, for both to leave in one write. Zero: not at all.
    ///
    /// Default 3 ms: a tenth of all audio frames then cost no write and no wake of their own. Ten would spare a third of
    /// them, and a tenth of the CPU, but would be most of the delay that the gateway adds.
    #[serde(with = "humantime_serde")]
    pub max_audio_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_bytes: ByteSize::mib(16),
            max_duration: Duration::from_secs(12),
            max_lag: Duration::from_millis(500),
            max_audio_wait: Duration::from_millis(3),
        }
    }
}
