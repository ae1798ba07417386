//! Time in a live stream.
//!
//! ```text
//! publisher's u32 ──Unwrapper──▶ publisher's time ──Timeline──▶ the stream's one time line, past publishers that come and go
//! ```

mod timeline;
mod unwrapper;

use std::time::Duration;

pub use timeline::{Continuity, Timeline};
pub use unwrapper::Unwrapper;

/// A point on a stream's time line, in milliseconds since its start (timescale 1000), past RTMP's 32-bit wrap-around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Ticks a second.
    pub const TIMESCALE: u32 = 1000;

    /// The point `ms` milliseconds after the stream's start.
    pub fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the stream's start.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// The 32 bits that RTMP carries: milliseconds modulo 2^32.
    pub fn rtmp(self) -> u32 {
        // Truncation is the wrap-around that RTMP specifies.
        self.0 as u32
    }

    /// How long this is after `earlier`; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This point moved later by `by`.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}
