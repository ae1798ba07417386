use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::chunk::Limits;

/// Limits of the RTMP side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Longest RTMP message. Default 4 MiB: a key frame of a 50 Mbit/s stream is below 2 MiB; a longer claim is an attack.
    pub max_message_size: ByteSize,
    /// Most chunk streams on a connection. Default 32: encoders use up to eight.
    pub max_chunk_streams: usize,
    /// Until when a connection has to have finished the handshake. Default 5 s: three round trips, also over satellite.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// Until when after that it has to publish. Default 10 s: six more round trips and an encoder that is slow to start.
    #[serde(with = "humantime_serde")]
    pub publish_timeout: Duration,
    /// How long a publisher may send nothing of its stream before it counts as dead, whichever way it came in. Default
    /// 15 s: longer than TCP takes to recover from an outage that the encoder survives; a publisher that returns earlier
    /// replaces it at once.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_size: ByteSize::mib(4),
            max_chunk_streams: 32,
            handshake_timeout: Duration::from_secs(5),
            publish_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(15),
        }
    }
}

impl Config {
    pub(super) fn chunk_limits(&self) -> Limits {
        let message_size = usize::try_from(self.max_message_size.as_u64()).unwrap_or(usize::MAX);
        // One video message and what is interleaved with it.
        Limits { message_size, chunk_streams: self.max_chunk_streams, buffered: message_size.saturating_mul(2) }
    }
}
