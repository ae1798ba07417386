//! What a line does to packets: pure arithmetic on times that the caller gives, so that a seed decides everything.
//!
//! ```text
//! packet ─▶ [ queue, bounded ] ─▶ rate ─▶ loss ─▶ delay and jitter, in order ─▶ when it comes out
//! ```

use std::collections::VecDeque;
use std::time::Duration;

/// What the line is like for a time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conditions {
    /// Bits a second; `None`: as fast as it goes; 0: nothing passes.
    pub rate: Option<f64>,
    /// Time under way.
    pub delay: Duration,
    /// At most so much more, by chance. Packets keep their order.
    pub jitter: Duration,
    /// Share of the packets that are lost, from 0 to 1.
    pub loss: f64,
    /// Most bytes that wait for their turn; what comes on top is lost.
    pub queue: usize,
}

/// One direction of a line.
#[derive(Debug)]
pub struct Line {
    /// From when on each holds, in order; the first from the beginning.
    phases: Vec<(Duration, Conditions)>,
    random: u64,
    /// The sending end is busy until then.
    busy_until: Duration,
    /// When the last packet comes out.
    latest: Duration,
    /// When each that waits has left the queue, and its length.
    waiting: VecDeque<(Duration, usize)>,
    waiting_bytes: usize,
}

impl Line {
    /// A line that is so until [`Line::schedule`] says otherwise.
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            phases: vec![(Duration::ZERO, conditions)],
            // The generator stands still at zero.
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            busy_until: Duration::ZERO,
            latest: Duration::ZERO,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    /// Says what the line will be like from when on. Holds for packets that enter from now on.
    pub fn schedule(&mut self, from: Duration, conditions: Conditions) {
        self.phases.push((from, conditions));
    }

    /// When a packet that enters at `now` comes out. `None`: it is lost. `now` never goes back.
    pub fn enter(&mut self, now: Duration, len: usize) -> Option<Duration> {
        let [by_chance, late] = [self.chance(), self.chance()];
        while let Some(&(left, len)) = self.waiting.front()
            && left <= now
        {
            self.waiting.pop_front();
            self.waiting_bytes -= len;
        }
        let conditions = self.at(now);
        if self.waiting_bytes + len > conditions.queue {
            return None;
        }
        let sent = self.sent(now.max(self.busy_until), len)?;
        self.busy_until = sent;
        self.waiting.push_back((sent, len));
        self.waiting_bytes += len;
        let conditions = self.at(sent);
        if by_chance < conditions.loss {
            return None;
        }
        self.latest = self.latest.max(sent + conditions.delay + conditions.jitter.mul_f64(late));
        Some(self.latest)
    }

    fn at(&self, time: Duration) -> Conditions {
        let phase = self.phases.iter().rev().find(|(from, _)| *from <= time);
        phase.map(|(_, conditions)| *conditions).unwrap_or_default()
    }

    /// When the last bit of what begins at `start` is on its way, at the rates of all the time that it takes. `None`: never.
    fn sent(&self, start: Duration, len: usize) -> Option<Duration> {
        let (mut time, mut bits) = (start, len as f64 * 8.0);
        loop {
            let next = self.phases.iter().map(|(from, _)| *from).find(|from| *from > time);
            let Some(rate) = self.at(time).rate else { return Some(time) };
            let takes = (rate > 0.0).then(|| Duration::from_secs_f64(bits / rate));
            match (takes, next) {
                (Some(takes), next) if next.is_none_or(|next| time + takes <= next) => return Some(time + takes),
                (_, Some(next)) => {
                    bits -= rate * (next - time).as_secs_f64();
                    time = next;
                }
                (_, None) => return None,
            }
        }
    }

    /// From 0 until below 1 (xorshift64).
    fn chance(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn megabit(rate: f64, queue: usize) -> Conditions {
        Conditions { rate: Some(rate * 1e6), queue, ..Conditions::default() }
    }

    #[test]
    fn the_rate_and_the_delay_are_kept_to_the_bit() {
        let mut line = Line::new(Conditions { delay: 20 * MS, ..megabit(1.0, 10_000) }, 1);
        // 1250 bytes take 10 ms.
        for n in 1..=8 {
            assert_eq!(line.enter(Duration::ZERO, 1250), Some((20 + 10 * n) * MS));
        }
        assert_eq!(line.enter(Duration::ZERO, 1250), None, "the queue is full");
        assert_eq!(line.enter(10 * MS, 1250), Some(110 * MS), "one has left it");
    }

    #[test]
    fn a_step_holds_for_what_waits_already() {
        let mut line = Line::new(megabit(1.0, 100_000), 1);
        line.schedule(5 * MS, megabit(0.1, 100_000));
        line.schedule(55 * MS, megabit(1.0, 100_000));
        // 5000 bits at 1 Mbit/s, and the other 5000 at a tenth of it.
        assert_eq!(line.enter(Duration::ZERO, 1250), Some(55 * MS));
        assert_eq!(line.enter(Duration::ZERO, 1250), Some(65 * MS));
    }

    #[test]
    fn what_comes_in_a_stall_waits_as_far_as_it_fits() {
        let mut line = Line::new(megabit(10.0, 3000), 1);
        line.schedule(Duration::ZERO, megabit(0.0, 3000));
        line.schedule(3000 * MS, megabit(10.0, 3000));
        assert_eq!(line.enter(MS, 1250), Some(3001 * MS));
        assert_eq!(line.enter(MS, 1250), Some(3002 * MS));
        assert_eq!(line.enter(MS, 1250), None);
    }

    #[test]
    fn the_share_that_is_lost_is_as_said_and_the_same_for_a_seed() {
        let lost = |seed| {
            let conditions = Conditions { loss: 0.02, queue: usize::MAX, ..Conditions::default() };
            let mut line = Line::new(conditions, seed);
            (0..10_000).filter(|n| line.enter(*n * MS, 1000).is_none()).collect::<Vec<_>>()
        };
        assert!((150..250).contains(&lost(1).len()), "{}", lost(1).len());
        assert_eq!(lost(7), lost(7));
        assert_ne!(lost(7), lost(8));
    }

    #[test]
    fn jitter_is_bounded_and_packets_keep_their_order() {
        let conditions = Conditions { delay: 5 * MS, jitter: 10 * MS, queue: 1 << 20, ..Conditions::default() };
        let mut line = Line::new(conditions, 3);
        let mut last = Duration::ZERO;
        for n in 0..1000 {
            let out = line.enter(n * MS, 100).unwrap();
            assert!(out >= last && (5 * MS..15 * MS).contains(&(out - n * MS)), "{n} at {out:?}");
            last = out;
        }
    }

    #[test]
    fn a_line_that_never_opens_again_loses_everything() {
        assert_eq!(Line::new(megabit(0.0, 10_000), 1).enter(MS, 100), None);
    }
}
