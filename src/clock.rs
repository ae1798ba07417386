//! The only place that reads a clock.
//!
//! Everything below `server` takes the time as an argument or from a [`Clock`]. It follows tokio's clock, so a test that
//! pauses tokio's time pauses every deadline of the gateway with it.

use std::time::{Instant, SystemTime};

/// Reads the monotonic time. Free to copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// The time now.
    pub fn now(self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// The time of day, for what is dated: certificates.
    pub fn wall(self) -> SystemTime {
        SystemTime::now()
    }
}
