//! When to acknowledge what came.
//!
//! All flows that have something pending are acknowledged together: at once when a flow was opened, abandoned on or
//! closed, when half of a flow's window has come, when the connection's acknowledgement window is full, and otherwise
//! within 250 ms.

use std::time::{Duration, Instant};

use super::super::table::Table;
use super::RecvFlow;

/// The least acknowledgement window, and the one before any was asked for, in bytes.
pub(super) const MIN_WINDOW: u64 = 2800;

/// The longest that data waits to be acknowledged.
const DELAY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Acks {
    flows: Table<RecvFlow, Pending>,
    window: u64,
    /// Bytes on all flows since the window was last full.
    counter: u64,
    /// Whatever is pending is due now.
    due: bool,
    due_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: u64,
    /// Acknowledge even if there are no bytes.
    forced: bool,
    advertised: u64,
}

impl Default for Acks {
    fn default() -> Self {
        Self { flows: Table::default(), window: MIN_WINDOW, counter: 0, due: false, due_at: None }
    }
}

impl Acks {
    /// A flow was opened: the peer waits for its real window.
    pub(super) fn open(&mut self, flow: RecvFlow) {
        self.flows.insert(flow, Pending { forced: true, ..Pending::default() });
        self.due = true;
    }

    /// A flow was closed; what is left to acknowledge of it, if the peer should hear of it.
    pub(super) fn close(&mut self, flow: RecvFlow) -> Option<u64> {
        self.flows.remove(flow).map(|pending| pending.bytes)
    }

    /// Data came, `len` bytes with its header.
    pub(super) fn data(&mut self, flow: RecvFlow, len: u64, now: Instant) {
        let Some(pending) = self.flows.get_mut(flow) else { return };
        pending.bytes += len;
        self.counter += len;
        self.due |= pending.bytes >= pending.advertised / 2;
        self.check_counter();
        self.due_at.get_or_insert(now + DELAY);
    }

    /// The peer asks for an acknowledgement each `bytes`.
    pub(super) fn set_window(&mut self, bytes: u64) {
        self.window = bytes.max(MIN_WINDOW);
        self.check_counter();
    }

    /// Acknowledges a flow now, whatever has come.
    pub(super) fn at_once(&mut self, flow: RecvFlow) {
        if let Some(pending) = self.flows.get_mut(flow) {
            pending.forced = true;
            self.due = true;
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.due |= self.due_at.is_some_and(|at| now >= at);
    }

    /// What is due already needs no timer: it waits for room on the transport, however long that takes.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due_at.filter(|_| !self.due)
    }

    /// A flow to acknowledge now, leaving out those that `waits`.
    pub(super) fn next_due(&mut self, waits: impl Fn(RecvFlow) -> bool) -> Option<RecvFlow> {
        if !self.due {
            return None;
        }
        let pending = |(flow, pending): (RecvFlow, &Pending)| {
            ((pending.bytes > 0 || pending.forced) && !waits(flow)).then_some(flow)
        };
        let next = self.flows.iter().find_map(pending);
        if next.is_none() {
            self.due = false;
            self.due_at = None;
        }
        next
    }

    /// Notes that `flow` is being acknowledged and returns how many bytes.
    pub(super) fn acknowledge(&mut self, flow: RecvFlow, advertised: u64) -> u64 {
        let Some(pending) = self.flows.get_mut(flow) else { return 0 };
        pending.forced = false;
        pending.advertised = advertised;
        std::mem::take(&mut pending.bytes)
    }

    fn check_counter(&mut self) {
        if self.counter >= self.window {
            self.counter %= self.window;
            self.due = true;
        }
    }
}
