//! How much may be in flight, from the measured round trip.
//!
//! What is in flight beyond what the path itself holds waits in its queues, and can't be taken back there. So the round
//! trip is compared with the least one seen lately: while it is no longer than that and the delay accepted in queues,
//! the limit doubles whenever it was in the way; as soon as it is longer, the limit is what the path carried in the
//! meantime, times what the round trip may be.
//!
//! ```text
//!   sent   ──●━━━━━━━━━━━━━━●───▶   a probe begins with the first ●, when nothing else is being measured
//!             \            ╱
//!   acked  ────\──────────●─────▶   and ends once an acknowledgement window more than was sent before it is acknowledged
//! ```
//!
//! A limit that is not in use says nothing of the path any more, and would let all of it be sent into a peer that stops
//! reading. So every few seconds it comes down to a little more than what was in flight meanwhile (as RFC 7661 has it for TCP).
//!
//! A path on which nothing is acknowledged carries nothing either: what is sent meanwhile comes when the path does again, late
//! and before what is live then. So nothing is sent either, until something is acknowledged.
//!
//! A receiver acknowledges when a window's worth has come, so the last bytes that an acknowledgement covers are what it
//! was sent for: their round trip has no waiting in it. Genuine senders measure from a probe's first byte and count that
//! waiting, and take a path for slow on which little was sent; this one shrinks its limit only where queues are seen to grow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::config::Config;
use super::super::link::PathStats;
use super::acks::MIN_WINDOW;

/// The least that a sample counts for: loopback is faster than clocks tell.
const MIN_RTT: Duration = Duration::from_micros(100);

/// The least round trip is remembered for this many periods of this length: routes change.
const HISTORY: usize = 5;
const HISTORY_PERIOD: Duration = Duration::from_secs(60);

/// The largest acknowledgement window that is asked for, in bytes: a tenth of a second at 2.6 Mbit/s. Each
/// acknowledgement costs both sides; with fewer, a change of the path is seen later.
const MAX_ACK_WINDOW: u64 = 32 << 10;

/// How often the limit comes down to what is used of it: two groups of the usual length, whose key frames are what needs it.
const USE_PERIOD: Duration = Duration::from_secs(4);

/// Nothing is acknowledged for so long, and two round trips: the path is stuck. Outlasts the jitter of usual networks; if it
/// was only that, what is held meanwhile would have waited behind it anyway.
const STUCK_AFTER: Duration = Duration::from_millis(100);

/// Taken for the round trip before it is measured: one over satellites.
const UNKNOWN_RTT: Duration = Duration::from_millis(600);

/// The limit is never above this: 1 Gbit/s over 130 ms.
const MAX_LIMIT: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct InFlight {
    min_limit: u64,
    max_additional_delay: Duration,
    /// The limit before anything was measured, below which it is not for want of use.
    initial_limit: u64,
    limit: u64,
    /// Cumulative bytes of data messages, over all flows.
    sent: u64,
    acked: u64,
    /// Since when something has been in flight and nothing was acknowledged.
    waiting_since: Option<Instant>,
    /// The most that was in flight, and since when.
    used: u64,
    used_since: Option<Instant>,
    probe: Option<Probe>,
    smoothed_rtt: Option<Duration>,
    /// The least round trip of each period, newest first.
    base_rtt: VecDeque<(Instant, Duration)>,
}

#[derive(Debug)]
struct Probe {
    since: Instant,
    acked: u64,
    /// It ends when more than this is acknowledged.
    position: u64,
    /// The least round trip of the bytes acknowledged meanwhile.
    least: Option<Duration>,
    /// The limit was in the way.
    limited: bool,
}

impl InFlight {
    pub(super) fn new(config: &Config) -> Self {
        // What the peer may leave unacknowledged must leave room to send, or the session would stop for ever.
        let min_limit = config.min_in_flight.max(4 * MIN_WINDOW);
        let initial_limit = config.initial_in_flight.max(min_limit);
        Self {
            min_limit,
            max_additional_delay: config.max_additional_delay,
            initial_limit,
            limit: initial_limit,
            sent: 0,
            acked: 0,
            waiting_since: None,
            used: 0,
            used_since: None,
            probe: None,
            smoothed_rtt: None,
            base_rtt: VecDeque::new(),
        }
    }

    /// Whether more may be sent; asked when there is something to send.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        let room = self.sent - self.acked < self.limit;
        if room && self.is_stuck(now) {
            return false;
        }
        if let Some(probe) = &mut self.probe {
            probe.limited |= !room;
        }
        room
    }

    pub(super) fn sent(&mut self, len: u64, now: Instant) {
        let position = self.sent + self.ack_window();
        let acked = self.acked;
        self.probe.get_or_insert(Probe { since: now, acked, position, least: None, limited: false });
        self.sent += len;
        self.waiting_since.get_or_insert(now);
        self.used = self.used.max(self.sent - self.acked);
    }

    /// Notes acknowledged bytes, and the round trip of the last of them where it is known.
    pub(super) fn acked(&mut self, len: u64, rtt: Option<Duration>, now: Instant) {
        self.acked += len;
        self.waiting_since = (self.sent > self.acked).then_some(now);
        let Some(probe) = &mut self.probe else { return };
        probe.least = probe.least.into_iter().chain(rtt).min();
        if let Some(least) = probe.least
            && let Some(probe) = self.probe.take_if(|probe| self.acked > probe.position)
        {
            self.sample(&probe, least.max(MIN_RTT), now);
        }
    }

    /// Bytes of a flow that has ended and whose receiver did not acknowledge them all.
    pub(super) fn forgotten(&mut self, len: u64) {
        self.acked += len;
    }

    /// The acknowledgement window to ask for: a part of the limit, or the peer could leave unacknowledged all that may be
    /// in flight.
    pub(super) fn ack_window(&self) -> u64 {
        (self.limit / 4).clamp(MIN_WINDOW, MAX_ACK_WINDOW)
    }

    pub(super) fn path(&self) -> PathStats {
        PathStats { rtt: self.smoothed_rtt, in_flight: self.sent - self.acked, limit: self.limit }
    }

    /// Whether the peer should have acknowledged something, and long ago.
    fn is_stuck(&self, now: Instant) -> bool {
        // What it was asked to acknowledge at once. Less, some peers never do.
        let due = self.min_limit.max(2 * self.ack_window());
        let patience = STUCK_AFTER + 2 * self.smoothed_rtt.unwrap_or(UNKNOWN_RTT);
        self.sent - self.acked >= due
            && self.waiting_since.is_some_and(|since| now.saturating_duration_since(since) > patience)
    }

    fn sample(&mut self, probe: &Probe, rtt: Duration, now: Instant) {
        self.smoothed_rtt = Some(self.smoothed_rtt.map_or(rtt, |smoothed| (smoothed * 7 + rtt) / 8));
        self.remember(rtt, now);
        let base = self.base_rtt.iter().map(|(_, rtt)| *rtt).min().unwrap_or(rtt);
        let allowed = base + self.max_additional_delay;
        if rtt <= allowed {
            if probe.limited {
                // All of it was carried within a round trip that was short enough: as in TCP's slow start.
                self.limit = (2 * self.limit).min(MAX_LIMIT);
                // What is live begins behind this: a viewer that joins is given a whole group.
                self.used_since = None;
            } else {
                self.fit_to_use(now);
            }
            return;
        }
        let carried = self.acked - probe.acked;
        let took = now.saturating_duration_since(probe.since).max(MIN_RTT);
        // Both factors are far below 2^53: bytes of a few round trips, and a ratio of durations.
        let limit = (carried as f64 * allowed.as_secs_f64() / took.as_secs_f64()) as u64;
        self.limit = limit.clamp(self.min_limit, self.limit);
        if self.limit == self.min_limit {
            // A limit at its floor can't tell a slow path from a long one: measure the round trip afresh.
            self.base_rtt.clear();
            self.remember(rtt, now);
        }
    }

    fn fit_to_use(&mut self, now: Instant) {
        match self.used_since {
            Some(since) if now.saturating_duration_since(since) < USE_PERIOD => return,
            Some(_) => self.limit = (self.used + self.used / 4).max(self.initial_limit).min(self.limit),
            None => {}
        }
        self.used = self.sent - self.acked;
        self.used_since = Some(now);
    }

    fn remember(&mut self, rtt: Duration, now: Instant) {
        match self.base_rtt.front_mut() {
            Some((since, least)) if now - *since < HISTORY_PERIOD => *least = rtt.min(*least),
            _ => self.base_rtt.push_front((now, rtt)),
        }
        self.base_rtt.truncate(HISTORY);
    }
}
