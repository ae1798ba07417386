//! A session's next deadline, as a timer that wakes its task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// Armed when there is a deadline: most of the time a session has none.
#[derive(Debug, Default)]
pub(super) struct Timer {
    armed: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Timer {
    /// Ready when `deadline` has come; never without one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        self.armed = self.armed.take().filter(|(at, _)| Some(*at) == deadline);
        let Some(deadline) = deadline else { return Poll::Pending };
        let (_, sleep) = self.armed.get_or_insert_with(|| (deadline, Box::pin(sleep_until(deadline.into()))));
        ready!(sleep.as_mut().poll(cx));
        self.armed = None;
        Poll::Ready(())
    }
}
