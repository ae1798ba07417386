//! The fan-out benchmark's parts: the viewers' process and the servers that do nothing but send.
//!
//! ```text
//! this process: publisher ── RTMP ──▶ gateway   ── RTWebSocket ────────────▶ viewers' process
//!               publisher ── TCP ───▶ baseline  ── length and message ─────▶ viewers' process
//! ```

pub mod baseline;
pub mod viewers;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the viewers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// RTWebSocket.
    Ws,
    /// RTWebSocket over TLS.
    Wss,
    /// Baseline: a write a frame, and no more.
    Tcp,
    /// Baseline: the frames of [`baseline::GATHER`] in one write.
    TcpGathered,
    /// Baseline: a TLS write a frame.
    Tls,
}

impl Transport {
    const NAMES: [(Transport, &str); 5] = [
        (Transport::Ws, "ws"),
        (Transport::Wss, "wss"),
        (Transport::Tcp, "tcp"),
        (Transport::TcpGathered, "tcp-gathered"),
        (Transport::Tls, "tls"),
    ];

    /// No gateway takes part.
    pub fn is_baseline(self) -> bool {
        !matches!(self, Transport::Ws | Transport::Wss)
    }

    /// With TLS.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Transport::Wss | Transport::Tls)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(transport, _)| transport == self).map_or("", |(_, name)| *name);
        f.pad(name)
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(_, name)| *name == text);
        known
            .map(|(transport, _)| *transport)
            .ok_or_else(|| format!("{text} is none of ws, wss, tcp, tcp-gathered, tls"))
    }
}

/// What the viewers' process has measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Watched {
    /// Frames that were sent inside the window and came, of all viewers together.
    pub frames_received: u64,
    /// From the publisher's write to the viewer's read, ms.
    pub delay_ms_p50: f64,
    /// As above.
    pub delay_ms_p99: f64,
    /// From the viewer's connect to its first key frame, ms.
    pub join_ms_p50: f64,
    /// If some of them stalled. All the above is of the others then.
    pub stalled: Option<Stalled>,
}

/// When some viewers stop reading, on the stamps' clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// They stop.
    pub from: Duration,
    /// They go on.
    pub to: Duration,
}

/// What the viewers' process has seen of a [`Stall`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stalled {
    /// The others' delay before the stall, ms.
    pub delay_ms_p50_before: f64,
    /// As above.
    pub delay_ms_p99_before: f64,
    /// The others' delay during the stall, ms.
    pub delay_ms_p50_during: f64,
    /// As above.
    pub delay_ms_p99_during: f64,
    /// Frames that had been sent before a stalled viewer read again, and came after it did; of the viewer that got most.
    pub stale_bytes: u64,
    /// For each viewer that stalled: the first key frame that was sent after it read again. `None`: none came.
    pub first_keys: Vec<Option<FirstKey>>,
}

/// The first key frame of a viewer that reads again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct FirstKey {
    /// The frame's number on its track.
    pub sequence: u32,
    /// From reading again to this frame, ms.
    pub after_ms: f64,
    /// From the publisher's write to the viewer's read, ms.
    pub delay_ms: f64,
}
