//! Windows, fragment size and bounds of a session.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Numbers of one session. The defaults suit a gateway that sends live video.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Most payload bytes of a message that go out in one piece. Larger pieces cost less a byte; smaller ones let
    /// audio overtake a large video frame sooner, and leave less that can't be taken back. Default 16 KiB: 50 ms of a
    /// 2.5 Mbit/s line. Genuine clients send 1400 and take any size.
    pub fragment_size: usize,
    /// Bytes that may always be in flight, and the least that the measured limit falls to. It must exceed what the peer
    /// may leave unacknowledged (11200 bytes and a fragment's header), or the session would stop. Default 16 KiB.
    pub min_in_flight: u64,
    /// Bytes that may be in flight before anything was measured. Default 64 KiB, as genuine peers.
    pub initial_in_flight: u64,
    /// Delay in queues along the way that is accepted for the sake of throughput. Default 50 ms, as genuine peers.
    #[serde(with = "humantime_serde")]
    pub max_additional_delay: Duration,
    /// Most bytes that wait to be sent; writes beyond are refused. Default 8 MiB, above any bound that delivery sets:
    /// this one only stops a mistake of ours.
    pub max_queued: usize,
    /// Longest message that is put together from a peer's fragments, on a flow whose window is no larger. Default 256 KiB:
    /// commands are far shorter, and a stranger can't make the gateway hold more than this for each flow.
    pub max_message: usize,
    /// Most flows open at a time, each way: genuine clients use 2 and 3 a stream. Default 64, against floods of opens.
    pub max_flows: usize,
    /// How long a group that comes over QUIC or WebTransport waits for the end of those before it, which are given up then.
    /// Default 100 ms: outlasts the loss of a packet on most paths, and is little of what live delay may take.
    #[serde(with = "humantime_serde")]
    pub max_lane_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fragment_size: 16 << 10,
            min_in_flight: 16 << 10,
            initial_in_flight: 64 << 10,
            max_additional_delay: Duration::from_millis(50),
            max_queued: 8 << 20,
            max_message: 256 << 10,
            max_flows: 64,
            max_lane_wait: Duration::from_millis(100),
        }
    }
}
