//! The only place that reads a clock.
//!
//! Everything below `server` takes the time as an argument or from a [`Clock`]. It follows tokio's clock, so a test that
//! pauses tokio's time pauses every deadline of the gateway with it.

use std::time::{Duration, Instant, SystemTime};

/// Reads the monotonic time, and waits for it. Free to copy.
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

    /// Waits for a time, for ever if there is none. Cancel safe.
    pub async fn reach(self, time: Option<Instant>) {
        match time {
            // A timer, even for a time that is past, waits for the next whole millisecond.
            Some(time) if time <= self.now() => {}
            Some(time) => tokio::time::sleep_until(time.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Where the Unix epoch lies as of now.
    pub fn epoch(self) -> Epoch {
        let since = self.wall().duration_since(SystemTime::UNIX_EPOCH);
        Epoch { at: self.now(), since: since.unwrap_or_default() }
    }
}

/// Where the Unix epoch lies on the monotonic time line, by the time of day at one moment. It reads no clock, and the times
/// that it gives never jump, whatever is done to the machine's time of day meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    at: Instant,
    since: Duration,
}

impl Epoch {
    /// The time of day at `time`.
    pub fn wall_at(&self, time: Instant) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.since_epoch(time)
    }

    /// Milliseconds from the epoch to `time`. As a double it is exact to a quarter of a microsecond.
    pub fn millis_to(&self, time: Instant) -> f64 {
        self.since_epoch(time).as_secs_f64() * 1e3
    }

    fn since_epoch(&self, time: Instant) -> Duration {
        let (after, before) = (time.saturating_duration_since(self.at), self.at.saturating_duration_since(time));
        (self.since + after).saturating_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_the_reading_are_told_from_it_alone() {
        let at = Instant::now();
        let epoch = Epoch { at, since: Duration::from_secs(100) };
        let second = Duration::from_secs(1);
        assert_eq!(epoch.millis_to(at + second), 101_000.0);
        assert_eq!(epoch.wall_at(at.checked_sub(second).unwrap()), SystemTime::UNIX_EPOCH + 99 * second);
        // A machine whose time of day is before 1970, or was not known.
        assert_eq!(Epoch { at, since: Duration::ZERO }.millis_to(at.checked_sub(second).unwrap()), 0.0);
    }
}
