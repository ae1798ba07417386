//! `Rate`: bits a second over the last few seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over how much of its newest past a rate is told: a few groups, since a key frame is as large as a second of others.
const WINDOW: Duration = Duration::from_secs(5);

/// Bytes are counted in steps of this length.
const STEP: Duration = Duration::from_millis(500);

/// Bytes of the last seconds, by when they came.
#[derive(Debug, Default)]
pub(super) struct Rate {
    steps: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Counts bytes that came at `now`.
    pub(super) fn add(&mut self, bytes: usize, now: Instant) {
        match self.steps.back_mut() {
            Some((began, sum)) if now.saturating_duration_since(*began) < STEP => *sum += bytes as u64,
            _ => self.steps.push_back((now, bytes as u64)),
        }
        while self.steps.pop_front_if(|(began, _)| now.saturating_duration_since(*began) > WINDOW).is_some() {}
    }

    /// Bits a second, as it stands at `now`.
    pub(super) fn bits_per_second(&self, now: Instant) -> u64 {
        let kept = self.steps.iter().filter(|(began, _)| now.saturating_duration_since(*began) <= WINDOW);
        let Some((oldest, _)) = kept.clone().next() else { return 0 };
        let bytes: u64 = kept.map(|(_, sum)| sum).sum();
        // The first key frame by itself tells nothing of the rate.
        let span = now.saturating_duration_since(*oldest).max(Duration::from_secs(1));
        let milliseconds = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        bytes.saturating_mul(8 * 1000) / milliseconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_told_and_forgotten_when_it_ends() {
        let start = Instant::now();
        let mut rate = Rate::default();
        let frame = Duration::from_millis(20);
        for i in 0..500 {
            rate.add(1000, start + frame * i);
        }
        let told = rate.bits_per_second(start + frame * 500);
        assert!((380_000..=420_000).contains(&told), "{told}");
        assert_eq!(rate.bits_per_second(start + Duration::from_secs(60)), 0);
    }

    #[test]
    fn a_young_stream_is_told_over_a_second() {
        let mut rate = Rate::default();
        let now = Instant::now();
        rate.add(1000, now);
        assert_eq!(rate.bits_per_second(now), 8000);
    }
}
