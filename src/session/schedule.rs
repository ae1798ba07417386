//! Which flow next: strict priority, round-robin inside a level.

use super::{Priority, SendFlow};

/// The flows that may have something to send, each once, in the order in which they came. A session has few of them: looking
/// through all costs less than a queue for each level.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    flows: Vec<(Priority, SendFlow)>,
}

impl Schedule {
    /// Adds a flow behind its equals.
    pub(super) fn push(&mut self, flow: SendFlow, priority: Priority) {
        self.flows.push((priority, flow));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Takes the flow whose turn it is.
    pub(super) fn pop(&mut self) -> Option<SendFlow> {
        // Of equals the last one looked at counts, so the first.
        let (next, _) = self.flows.iter().enumerate().rev().max_by_key(|(_, (priority, _))| *priority)?;
        Some(self.flows.remove(next).1)
    }

    /// Takes a flow out of its level.
    pub(super) fn remove(&mut self, flow: SendFlow) {
        self.flows.retain(|(_, other)| *other != flow);
    }
}
