//! `Bell`: wakes everybody who waits for a stream's next item.
//!
//! Each cursor has a seat for as long as it lives, so waiting again costs no allocation and one short lock, and a ring
//! wakes hundreds outside of it.
//!
//! A runtime serves whom a ring wakes before nearly everyone woken after them, on whatever stream. So a crowd can be woken in turns,
//! between which others have theirs.

use std::array;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// How many are woken in a turn: a millisecond's work or two.
const TURN: usize = 64;

/// Seats, and who sits there waiting.
#[derive(Debug, Default)]
pub(super) struct Bell {
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    waiting: Vec<Option<Waker>>,
    free: Vec<usize>,
    /// Seats that have been rung for and not been woken yet, each once.
    rung: VecDeque<usize>,
    /// Whether each seat is among them.
    is_rung: Vec<bool>,
}

impl Bell {
    /// Takes a seat, to be given back with [`Bell::leave`].
    pub(super) fn sit(&self) -> usize {
        let mut seats = self.lock();
        seats.free.pop().unwrap_or_else(|| {
            seats.waiting.push(None);
            seats.is_rung.push(false);
            seats.waiting.len() - 1
        })
    }

    /// Gives a seat back.
    pub(super) fn leave(&self, seat: usize) {
        let mut seats = self.lock();
        if let Some(waiting) = seats.waiting.get_mut(seat) {
            *waiting = None;
            seats.free.push(seat);
        }
    }

    /// Wakes `waker` at the next ring. Look again after this: the last ring may have been just before.
    pub(super) fn wait(&self, seat: usize, waker: &Waker) {
        if let Some(waiting) = self.lock().waiting.get_mut(seat) {
            match waiting {
                Some(present) => present.clone_from(waker),
                None => *waiting = Some(waker.clone()),
            }
        }
    }

    /// Wakes everybody who waits, and who is left from before.
    pub(super) fn ring(&self) {
        let mut more = self.ring_some();
        while more {
            more = self.wake_some();
        }
    }

    /// Wakes the first of everybody who is left from before or waits; whether the others are left to [`Bell::wake_some`].
    pub(super) fn ring_some(&self) -> bool {
        let mut seats = self.lock();
        let Seats { waiting, rung, is_rung, .. } = &mut *seats;
        for (seat, (waiting, is_rung)) in waiting.iter().zip(is_rung).enumerate() {
            if waiting.is_some() && !*is_rung {
                rung.push_back(seat);
                *is_rung = true;
            }
        }
        drop(seats);
        self.wake_some()
    }

    /// Wakes the next ones; whether there are more.
    pub(super) fn wake_some(&self) -> bool {
        let mut seats = self.lock();
        let Seats { waiting, rung, is_rung, .. } = &mut *seats;
        let turn: [_; TURN] = array::from_fn(|_| {
            let seat = rung.pop_front()?;
            is_rung[seat] = false;
            waiting[seat].take()
        });
        let more = !rung.is_empty();
        drop(seats);
        turn.into_iter().flatten().for_each(Waker::wake);
        more
    }

    /// What is behind the lock is right after any panic: only cloning a waker may panic, and it comes before the
    /// seat changes.
    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_ring_wakes_each_who_waits_once() {
        let (bell, count) = (Bell::default(), Arc::<Count>::default());
        let waker = Waker::from(Arc::clone(&count));
        let seats = [bell.sit(), bell.sit(), bell.sit()];
        for seat in [seats[0], seats[0], seats[2]] {
            bell.wait(seat, &waker);
        }
        bell.ring();
        bell.ring();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_crowd_is_woken_in_turns() {
        let (bell, count) = (Bell::default(), Arc::<Count>::default());
        let waker = Waker::from(Arc::clone(&count));
        for _ in 0..TURN + 2 {
            bell.wait(bell.sit(), &waker);
        }
        assert!(bell.ring_some());
        assert_eq!(count.0.load(Ordering::Relaxed), TURN);
        // One who was woken waits again, and one who was not.
        bell.wait(0, &waker);
        bell.wait(TURN, &waker);
        assert!(!bell.ring_some());
        assert_eq!(count.0.load(Ordering::Relaxed), TURN + 3);
        assert!(!bell.wake_some());
    }

    #[test]
    fn who_is_left_is_rung_for_once() {
        let (bell, waker) = (Bell::default(), Waker::noop());
        let seats: Vec<_> = (0..3 * TURN).map(|_| bell.sit()).collect();
        for _ in 0..10 {
            seats.iter().for_each(|seat| bell.wait(*seat, waker));
            bell.ring_some();
            assert!(bell.lock().rung.len() < seats.len());
        }
    }

    #[test]
    fn a_seat_that_was_left_is_silent_and_taken_again() {
        let (bell, count) = (Bell::default(), Arc::<Count>::default());
        let seat = bell.sit();
        bell.wait(seat, &Waker::from(Arc::clone(&count)));
        bell.leave(seat);
        bell.ring();
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        assert_eq!(bell.sit(), seat);
    }
}
