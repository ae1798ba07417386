//! Whether anything came from the peer since it was last looked for.
//!
//! A link is woken for every frame that it sends. To look at the peer's lanes takes the transport's lock, once a lane, and the
//! transport holds it while it sends: so lanes are looked at only after they have called.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Passes wakes on to a task, and remembers that they came.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    bell: Arc<Bell>,
    /// The task that the bell wakes.
    task: Option<Waker>,
    /// Nothing has been found missing since the bell rang.
    is_seen: bool,
}

#[derive(Debug, Default)]
struct Bell {
    rung: AtomicBool,
    /// Locked when the task changes, which is once, and for each wake.
    task: Mutex<Option<Waker>>,
}

impl Arrivals {
    /// Whether there may be something; true at first.
    pub(super) fn any(&mut self) -> bool {
        if self.bell.rung.swap(false, Ordering::Acquire) {
            self.is_seen = false;
        }
        !self.is_seen
    }

    /// There is nothing, and the waker has been left where something will come.
    pub(super) fn seen(&mut self) {
        self.is_seen = true;
    }

    /// Lets the bell wake the task in `cx`.
    pub(super) fn attend(&mut self, cx: &Context<'_>) {
        if self.task.as_ref().is_none_or(|task| !task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            *self.bell.task.lock().unwrap_or_else(PoisonError::into_inner) = self.task.clone();
        }
    }

    /// What is to be left where something may come.
    pub(super) fn waker(&self) -> Waker {
        Arc::clone(&self.bell).into()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}
