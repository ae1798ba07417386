//! Which flow next: strict priority, round-robin inside a level.

use std::collections::VecDeque;

use super::{Priority, SendFlow};

/// The flows that may have something to send, each once.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    levels: [VecDeque<SendFlow>; Priority::LEVELS],
}

impl Schedule {
    /// Adds a flow behind its equals.
    pub(super) fn push(&mut self, flow: SendFlow, priority: Priority) {
        self.levels[priority as usize].push_back(flow);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.levels.iter().all(VecDeque::is_empty)
    }

    /// Takes the flow whose turn it is.
    pub(super) fn pop(&mut self) -> Option<SendFlow> {
        self.levels.iter_mut().rev().find_map(VecDeque::pop_front)
    }

    /// Takes a flow out of its level.
    pub(super) fn remove(&mut self, flow: SendFlow, priority: Priority) {
        self.levels[priority as usize].retain(|other| *other != flow);
    }
}
