//! How viewers are served, as configured.

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::broadcast;

/// Numbers of the delivery policy. Times are written as `500ms` or `5s`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long after it came from the publisher an audio frame may still start to be sent. Default 800 ms: with the
    /// margin under the second that live delay may take, and long enough to outlast the video that is given up first.
    #[serde(with = "humantime_serde")]
    pub audio_lifetime: Duration,
    /// The same for a video frame. Default 500 ms: a slow viewer loses pictures while its sound is still on time.
    #[serde(with = "humantime_serde")]
    pub video_lifetime: Duration,
    /// How much later a frame that has been started must be finished. Default 100 ms: what is half sent is worth more
    /// than what is not, but not much.
    #[serde(with = "humantime_serde")]
    pub finish_by_margin: Duration,
    /// How long after a key frame an older frame may still start to be sent. Default 100 ms: enough to drain what
    /// jitter holds up, while a viewer that is behind goes on at the key frame.
    #[serde(with = "humantime_serde")]
    pub previous_group_start_by_margin: Duration,
    /// How long a viewer that came first waits for the publisher until it is told that there is none; it may go on
    /// waiting. Default 5 s: a publisher that reconnects is back by then.
    #[serde(with = "humantime_serde")]
    pub wait_for_publisher: Duration,
    /// From how many queued bytes on a viewer is given no more frames. Default 512 KiB: 0.6 s, the life of a video
    /// frame, at 7 Mbit/s; less would keep audio waiting behind video. The bytes are shared with other viewers.
    pub queue_bytes: ByteSize,
    /// Frames of a segment in the format `fmp4`. Default 1: each more is a frame's duration of delay, for a hundred bytes
    /// saved. From 1 to 60.
    pub segment_frames: usize,
    /// The delay that players are asked to keep.
    pub target_delay: TargetDelay,
    /// What a stream keeps for viewers that join or lag.
    pub cache: broadcast::Config,
}

/// The hint given to players, by delivery format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetDelay {
    /// For players that decode by themselves. Default 150 ms: covers the jitter of usual networks.
    #[serde(with = "humantime_serde")]
    pub raw: Duration,
    /// For Media Source Extensions. Default 1 s: browsers stall below that.
    #[serde(with = "humantime_serde")]
    pub fmp4: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            audio_lifetime: Duration::from_millis(800),
            video_lifetime: Duration::from_millis(500),
            finish_by_margin: Duration::from_millis(100),
            previous_group_start_by_margin: Duration::from_millis(100),
            wait_for_publisher: Duration::from_secs(5),
            queue_bytes: ByteSize::kib(512),
            segment_frames: 1,
            target_delay: TargetDelay::default(),
            cache: broadcast::Config::default(),
        }
    }
}

impl Default for TargetDelay {
    fn default() -> Self {
        Self { raw: Duration::from_millis(150), fmp4: Duration::from_secs(1) }
    }
}
