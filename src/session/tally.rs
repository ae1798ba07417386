//! What became of a session's messages, in plain numbers: counting costs an addition, and whoever watches takes them now and
//! then.

use std::time::{Duration, Instant};

/// How many kinds of messages are told apart.
pub const KINDS: usize = 2;

/// Upper bounds, in microseconds, of the delays that are told apart: from less than a wake takes to more than live delay may.
pub const DELAYS: [u32; 13] =
    [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 125_000, 250_000, 500_000, 1_000_000];

/// Where a message comes from, for it to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// When what it carries came; its delay begins then.
    pub at: Instant,
    /// What it is to the application: a number below [`KINDS`].
    pub kind: usize,
}

/// Counts since they were last taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Bytes of messages that were given to the transport, those of commands included, framing not.
    pub bytes: u64,
    /// Messages with an [`Origin`] that were given to the transport whole.
    pub messages: u64,
    /// Messages with an [`Origin`] that were given up, by their kind.
    pub abandoned: [u64; KINDS],
    /// How many of `messages` were delayed by no more than each of [`DELAYS`], and more than the one before; then the rest.
    pub delays: [u32; DELAYS.len() + 1],
    /// Their delays together.
    pub delay: Duration,
}

impl Tally {
    /// Takes in that the last byte of a message is given to the transport.
    pub(super) fn sent(&mut self, origin: Origin, now: Instant) {
        let delay = now.saturating_duration_since(origin.at);
        let micros = delay.as_micros();
        self.messages += 1;
        self.delay += delay;
        self.delays[DELAYS.partition_point(|bound| u128::from(*bound) < micros)] += 1;
    }

    /// Takes in that a message is given up.
    pub(super) fn gave_up(&mut self, origin: Origin) {
        if let Some(count) = self.abandoned.get_mut(origin.kind) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_counted_below_the_bound_that_it_reaches() {
        let at = Instant::now();
        let mut tally = Tally::default();
        for micros in [0, 250, 251, 1_000_000, 1_000_001] {
            tally.sent(Origin { at, kind: 0 }, at + Duration::from_micros(micros));
        }
        assert_eq!((tally.delays[0], tally.delays[1], tally.delays[12], tally.delays[13]), (2, 1, 1, 1));
        assert_eq!((tally.messages, tally.delay), (5, Duration::from_micros(2_000_502)));
    }
}
