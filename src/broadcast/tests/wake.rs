//! When viewers are woken for what was appended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether a viewer that has read everything is woken by what `append` does.
fn wakes(stream: &mut Stream, append: impl FnOnce(&mut Stream)) -> bool {
    let mut viewer = stream.subscribe();
    words(&mut viewer);
    let count = Arc::<Count>::default();
    assert!(viewer.poll_next(&mut Context::from_waker(&Waker::from(Arc::clone(&count)))).is_pending());
    append(stream);
    count.0.load(Ordering::Relaxed) > 0
}

/// A stream with video each 40 ms, the last at 80.
fn paced() -> Stream {
    let mut stream = Stream::new(Config::default());
    stream.units(&[('V', 0), ('K', 0), ('d', 40), ('d', 80)]);
    stream
}

#[test]
fn video_wakes_at_once() {
    assert!(wakes(&mut paced(), |stream| stream.append(unit('d', 120))));
}

#[test]
fn audio_far_from_the_next_video_wakes_at_once() {
    assert!(wakes(&mut paced(), |stream| stream.append(unit('a', 100))));
}

#[test]
fn audio_waits_for_video_that_is_due_and_leaves_with_it() {
    let mut stream = paced();
    assert!(!wakes(&mut stream, |stream| stream.append(unit('a', 118))));
    let waits_until = stream.publisher.as_ref().unwrap().wake_at();
    assert_eq!(waits_until, Some(stream.start + Duration::from_millis(121)));
    assert!(wakes(&mut stream, |stream| stream.append(unit('d', 120))));
    assert_eq!(stream.publisher.as_ref().unwrap().wake_at(), None);
}

#[test]
fn audio_waits_no_longer_than_it_may() {
    let mut stream = paced();
    assert!(!wakes(&mut stream, |stream| stream.append(unit('a', 118))));
    let at = stream.start + Duration::from_millis(121);
    assert!(wakes(&mut stream, |stream| stream.publisher.as_mut().unwrap().wake(at)));
}

#[test]
fn audio_of_a_stream_whose_video_has_stopped_wakes_at_once() {
    assert!(wakes(&mut paced(), |stream| stream.append(unit('a', 124))));
}

#[test]
fn audio_may_be_told_not_to_wait() {
    let mut stream = Stream::new(Config { max_audio_wait: Duration::ZERO, ..Config::default() });
    stream.units(&[('V', 0), ('K', 0), ('d', 40), ('d', 80)]);
    assert!(wakes(&mut stream, |stream| stream.append(unit('a', 119))));
}

#[test]
fn what_was_appended_quietly_wakes_once_and_together() {
    let mut stream = paced();
    let now = stream.start + Duration::from_millis(120);
    assert!(!wakes(&mut stream, |stream| {
        for unit in [unit('a', 118), unit('d', 120)] {
            stream.publisher.as_mut().unwrap().append_quietly(unit, now).unwrap();
        }
    }));
    assert!(wakes(&mut stream, |stream| {
        stream.publisher.as_mut().unwrap().append_quietly(unit('d', 160), now).unwrap();
        stream.publisher.as_mut().unwrap().wake(now);
    }));
}

/// Turns are counted in what the crowd was woken by then; who is woken reads on and waits again.
#[test]
fn a_crowd_is_woken_in_turns_once_and_all_of_it() {
    let mut stream = paced();
    let now = stream.start + Duration::from_millis(120);
    let count = Arc::<Count>::default();
    let waker = Waker::from(Arc::clone(&count));
    let mut crowd: Vec<_> = (0..200).map(|_| stream.subscribe()).collect();
    let mut wait = || {
        for viewer in &mut crowd {
            words(viewer);
            assert!(viewer.poll_next(&mut Context::from_waker(&waker)).is_pending());
        }
    };
    wait();
    let publisher = stream.publisher.as_mut().unwrap();
    publisher.append_quietly(unit('d', 120), now).unwrap();
    publisher.wake(now);
    let mut woken = vec![count.0.load(Ordering::Relaxed)];
    wait();
    while publisher.wake_at().is_some_and(|at| at <= now) {
        publisher.wake(now);
        woken.push(count.0.load(Ordering::Relaxed));
    }
    assert!(woken[0] > 0 && woken.windows(2).all(|pair| pair[1] - pair[0] <= woken[0]), "{woken:?}");
    assert!(woken.len() > 2 && woken.last() == Some(&200), "{woken:?}");
}
