//! How much may be in flight, from the measured round trip.
//!
//! A probe runs from the sending of some bytes until something behind them is acknowledged. Bytes sent in that time
//! over the time it took are the path's rate; the rate times (the least round trip seen lately + the delay that is
//! accepted in queues) is what may be in flight.
//!
//! ```text
//!   sent   ──●━━━━━━━━━━━━━━●───▶   probe begins at the first ●, its position p = bytes sent before it
//!             \            ╱
//!   acked  ────\──────────●─────▶   ends at the first acknowledgement of more than p
//! ```
//!
//! Unlike genuine senders, a probe begins with data and not when the last one ended: time in which nothing was sent
//! is no round trip.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::config::Config;
use super::super::link::PathStats;

/// The least that a sample counts for: loopback is faster than clocks tell.
const MIN_RTT: Duration = Duration::from_micros(100);

/// The least round trip is remembered for this many periods of this length: routes change.
const HISTORY: usize = 5;
const HISTORY_PERIOD: Duration = Duration::from_secs(60);

/// The acknowledgement window that the peer is asked for, in bytes: the largest that genuine senders ask for, since each
/// acknowledgement costs both sides.
pub(super) const ACK_WINDOW: u64 = 11200;

/// A probe in which fewer bytes were sent than the least limit less this says nothing about the path's rate.
const RATE_SLACK: u64 = 2800;

#[derive(Debug)]
pub(super) struct InFlight {
    min_limit: u64,
    max_additional_delay: Duration,
    limit: u64,
    /// Cumulative bytes of data messages, over all flows.
    sent: u64,
    acked: u64,
    probe: Option<Probe>,
    /// `sent` when the last probe ended.
    sent_at_last_end: u64,
    smoothed_rtt: Option<Duration>,
    /// The least round trip of each period, newest first.
    base_rtt: VecDeque<(Instant, Duration)>,
}

#[derive(Debug)]
struct Probe {
    since: Instant,
    position: u64,
}

impl InFlight {
    pub(super) fn new(config: &Config) -> Self {
        // What the peer may leave unacknowledged must leave room to send, or the session would stop for ever.
        let min_limit = config.min_in_flight.max(ACK_WINDOW + RATE_SLACK);
        Self {
            min_limit,
            max_additional_delay: config.max_additional_delay,
            limit: config.initial_in_flight.max(min_limit),
            sent: 0,
            acked: 0,
            probe: None,
            sent_at_last_end: 0,
            smoothed_rtt: None,
            base_rtt: VecDeque::new(),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.sent - self.acked < self.limit
    }

    pub(super) fn sent(&mut self, len: u64, now: Instant) {
        let position = self.sent;
        self.probe.get_or_insert(Probe { since: now, position });
        self.sent += len;
    }

    pub(super) fn acked(&mut self, len: u64, now: Instant) {
        self.acked += len;
        if let Some(probe) = self.probe.take_if(|probe| self.acked > probe.position) {
            self.sample((now - probe.since).max(MIN_RTT), now);
        }
    }

    /// Bytes of a flow that has ended and whose receiver did not acknowledge them all.
    pub(super) fn forgotten(&mut self, len: u64) {
        self.acked += len;
    }

    pub(super) fn path(&self) -> PathStats {
        PathStats { rtt: self.smoothed_rtt, in_flight: self.sent - self.acked, limit: self.limit }
    }

    fn sample(&mut self, rtt: Duration, now: Instant) {
        self.smoothed_rtt = Some(self.smoothed_rtt.map_or(rtt, |smoothed| (smoothed * 7 + rtt) / 8));
        self.remember(rtt, now);

        let bytes = self.sent - self.sent_at_last_end;
        self.sent_at_last_end = self.sent;
        if bytes + RATE_SLACK < self.min_limit {
            return;
        }
        let base = self.base_rtt.iter().map(|(_, rtt)| *rtt).min().unwrap_or(rtt);
        let allowed = base + self.max_additional_delay;
        // Both factors are far below 2^53: bytes of one round trip, and a ratio of durations.
        let limit = (bytes as f64 * allowed.as_secs_f64() / rtt.as_secs_f64()) as u64;
        self.limit = limit.max(self.min_limit);
        if self.limit == self.min_limit {
            // A limit at its floor can't tell a slow path from a long one: measure the round trip afresh.
            self.base_rtt.clear();
            self.remember(rtt, now);
        }
    }

    fn remember(&mut self, rtt: Duration, now: Instant) {
        match self.base_rtt.front_mut() {
            Some((since, least)) if now - *since < HISTORY_PERIOD => *least = rtt.min(*least),
            _ => self.base_rtt.push_front((now, rtt)),
        }
        self.base_rtt.truncate(HISTORY);
    }
}
