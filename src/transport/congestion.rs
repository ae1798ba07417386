//! CUBIC that tells loss by chance from loss by congestion.
//!
//! | specification | section |
//! |---|---|
//! | RFC 9438 (CUBIC) | all |
//! | RFC 9002 | §7.6 (persistent congestion) |
//!
//! A radio link loses packets however little is sent. CUBIC takes each loss for a full queue: at 2 % and 40 ms its window is
//! what a stream of 2.6 Mbit/s needs, and two thirds of the pictures are given up on a link of 20 Mbit/s. Where a queue is
//! full, it is also long: so a loss counts as congestion only when the round trip has grown, or when so much is lost that it
//! must be. What is sent is bounded anyway, by the stream's rate and its frames' lifetimes.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// A round trip that is longer than the least one by this has a queue in it. Above the jitter of usual networks, and half of
/// what the session accepts in queues before it sends less by itself.
const QUEUE: Duration = Duration::from_millis(25);

/// Losing one in so many is congestion, whatever the round trip: a short queue, or a policer. Above what usual radio links
/// lose by chance.
const TOO_MANY: u64 = 10;

/// Over which time losses are counted.
const PERIOD: Duration = Duration::from_secs(1);

/// Losses of fewer bytes say nothing of a share: eight packets.
const TOO_FEW: u64 = 8 * 1200;

/// Makes the controllers of connections.
#[derive(Debug)]
pub(super) struct Tolerant(Arc<CubicConfig>);

impl Tolerant {
    /// Controllers that begin with this window, in bytes.
    pub(super) fn new(initial_window: u64) -> Self {
        let mut cubic = CubicConfig::default();
        cubic.initial_window(initial_window);
        Self(Arc::new(cubic))
    }
}

impl ControllerFactory for Tolerant {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(TolerantCubic { cubic: self.0.clone().build(now, mtu), losses: Losses::new(now) })
    }
}

struct TolerantCubic {
    cubic: Box<dyn Controller>,
    losses: Losses,
}

impl Controller for TolerantCubic {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.losses.acked(now, bytes, rtt.get().saturating_sub(rtt.min()));
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
        if self.losses.are_congestion(now, lost_bytes) || is_persistent {
            self.cubic.on_congestion_event(now, sent, is_persistent, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.cubic.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { cubic: self.cubic.clone_box(), losses: self.losses })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// What was lost lately, and how long the queue is.
#[derive(Debug, Clone, Copy)]
struct Losses {
    since: Instant,
    acked: u64,
    lost: u64,
    queued: Duration,
}

impl Losses {
    fn new(now: Instant) -> Self {
        Self { since: now, acked: 0, lost: 0, queued: Duration::ZERO }
    }

    fn acked(&mut self, now: Instant, bytes: u64, queued: Duration) {
        self.forget(now);
        self.acked += bytes;
        self.queued = queued;
    }

    /// Notes lost bytes. None are a router's word that its queue grows (ECN).
    fn are_congestion(&mut self, now: Instant, bytes: u64) -> bool {
        self.forget(now);
        self.lost += bytes;
        let are_many = self.lost > TOO_FEW && self.lost * TOO_MANY > self.lost + self.acked;
        bytes == 0 || self.queued > QUEUE || are_many
    }

    fn forget(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) > PERIOD {
            (self.since, self.acked, self.lost) = (now, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn losses(share: u64, queued: Duration) -> bool {
        let now = Instant::now();
        let mut losses = Losses::new(now);
        let mut are_congestion = false;
        for n in 1..=1000 {
            let now = now + n * 4 * MS;
            if u64::from(n) % share == 0 {
                are_congestion |= losses.are_congestion(now, 1200);
            } else {
                losses.acked(now, 1200, queued);
            }
        }
        are_congestion
    }

    #[test]
    fn one_in_fifty_without_a_queue_is_chance() {
        assert!(!losses(50, 10 * MS));
    }

    #[test]
    fn a_loss_with_a_queue_is_congestion() {
        assert!(losses(50, 26 * MS));
    }

    #[test]
    fn one_in_eight_is_congestion_even_without_a_queue() {
        assert!(losses(8, Duration::ZERO));
    }

    #[test]
    fn a_routers_word_is_believed() {
        let now = Instant::now();
        assert!(Losses::new(now).are_congestion(now, 0));
    }
}
