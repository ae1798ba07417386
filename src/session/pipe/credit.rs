//! What may still go out on one flow, and when what went out was acknowledged.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes that a peer takes on a flow before it has advertised a window.
const INITIAL_WINDOW: u64 = 65536;

/// Times of sending that are remembered for each flow: a second of video. Beyond, the newest stands for all that follows it,
/// never the oldest for what was before: after a stall it is the oldest bytes that tell how long it was.
const MAX_MARKS: usize = 32;

/// Cumulative bytes of data messages of one flow: type, flow number and payload.
#[derive(Debug)]
pub(super) struct Credit {
    sent: u64,
    acked: u64,
    advertised: u64,
    /// Where each of the last messages ended, and when it was sent.
    marks: VecDeque<(u64, Instant)>,
}

impl Default for Credit {
    fn default() -> Self {
        Self { sent: 0, acked: 0, advertised: INITIAL_WINDOW, marks: VecDeque::new() }
    }
}

impl Credit {
    pub(super) fn sent(&mut self, len: u64, now: Instant) {
        self.sent += len;
        if self.marks.len() == MAX_MARKS {
            self.marks.pop_back();
        }
        self.marks.push_back((self.sent, now));
    }

    /// Notes an acknowledgement. Gives the time since the last of the bytes that it covers were sent, where that is
    /// known; `None` for an acknowledgement of more than was sent.
    pub(super) fn acked(&mut self, delta: u64, advertised: u64, now: Instant) -> Option<Option<Duration>> {
        if delta > self.in_flight() {
            return None;
        }
        self.acked += delta;
        self.advertised = advertised;
        let mut rtt = None;
        while let Some((_, at)) = self.marks.pop_front_if(|(end, _)| *end <= self.acked) {
            rtt = Some(now.saturating_duration_since(at));
        }
        Some(rtt)
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.sent - self.acked
    }

    /// Payload bytes that the peer still takes. A data message's own few bytes may overshoot, as genuine peers' do.
    pub(super) fn allowance(&self) -> u64 {
        self.acked.saturating_add(self.advertised).saturating_sub(self.sent)
    }
}
