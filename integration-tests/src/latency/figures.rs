//! From what was sent and what was seen to figures. Pure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::{Class, Frame, Seen};

/// Above this a viewer is not live any more, for the time to recover.
const LIVE: Duration = Duration::from_millis(300);
/// When the delay after joining is taken, and for how long.
const AFTER_JOINING: Range<Duration> = Duration::from_secs(1)..Duration::from_millis(1500);
/// Of the delay's course, one value each.
const COURSE_STEP: Duration = Duration::from_millis(100);
/// Frames of one second share their fate: they are drawn together for the error bars.
const BLOCK: Duration = Duration::from_secs(1);
const DRAWS: usize = 100;

/// A figure, and by how much it may be off (half of the interval that 95 % of redrawn runs fall into).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Bar {
    /// The figure.
    pub value: f64,
    /// What is to be added and taken away.
    pub error: f64,
}

/// From the publisher's write to the viewer's message, ms, of frames sent while it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Delay {
    /// Half of the frames are faster.
    pub p50: Bar,
    /// Of twenty, nineteen are.
    pub p95: Bar,
    /// Of a hundred, all but one.
    pub p99: Bar,
    /// The slowest.
    pub max: f64,
}

/// Frames that did not come, and that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lost {
    /// Of audio.
    pub audio: [usize; 2],
    /// Of key frames.
    pub key: [usize; 2],
    /// Of the other frames of video.
    pub other: [usize; 2],
}

/// What is said of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Of all frames.
    pub delay_ms: Delay,
    /// From connecting to the first key frame, ms; of several viewers the slowest.
    pub join_ms: f64,
    /// The median a second after the first picture, ms; of several viewers the largest.
    pub delay_after_joining_ms: f64,
    /// What did not come.
    pub lost: Lost,
    /// The longest time without sound, ms.
    pub longest_gap_audio_ms: f64,
    /// The longest time without a new picture, ms.
    pub longest_gap_video_ms: f64,
    /// From the line's recovery to the last frame that was late by more than 300 ms, ms.
    pub recovered_after_ms: Option<f64>,
    /// Bytes of frames that came while it was measured.
    pub payload_bytes: u64,
    /// The largest delay of each 100 ms in which frames came.
    pub course_ms: Vec<Option<f64>>,
}

/// The figures of frames that were sent in `window`; `recovered` is when the line had.
pub fn figures(sent: &[Frame], viewers: &[Seen], window: &Range<Duration>, recovered: Option<Duration>) -> Figures {
    let in_window = |frame: &&Frame| window.contains(&frame.sent);
    let seen: Vec<Frame> = viewers.iter().flat_map(|viewer| &viewer.frames).filter(in_window).copied().collect();
    let missing = |class| {
        let of = |frames: &[Frame]| frames.iter().filter(in_window).filter(|frame| frame.class == class).count();
        let sent = of(sent) * viewers.len();
        [sent.saturating_sub(of(&seen)), sent]
    };
    let largest = |of: &dyn Fn(&Seen) -> Option<Duration>| {
        viewers.iter().filter_map(of).max().map(milliseconds).unwrap_or_default()
    };
    let late = |frame: &&Frame| frame.delay() > LIVE && Some(frame.received) > recovered;
    Figures {
        delay_ms: delay(&seen),
        join_ms: largest(&|viewer| first_key(viewer).map(|key| key.saturating_sub(viewer.started))),
        delay_after_joining_ms: largest(&after_joining),
        lost: Lost { audio: missing(Class::Audio), key: missing(Class::Key), other: missing(Class::Other) },
        longest_gap_audio_ms: largest(&|viewer| longest_gap(viewer, window, |class| class == Class::Audio)),
        longest_gap_video_ms: largest(&|viewer| longest_gap(viewer, window, |class| class != Class::Audio)),
        recovered_after_ms: recovered.map(|at| {
            let last = seen.iter().filter(late).map(|frame| frame.received).max();
            milliseconds(last.unwrap_or(at).saturating_sub(at))
        }),
        payload_bytes: seen.iter().map(|frame| frame.bytes as u64).sum(),
        course_ms: course(&seen, window),
    }
}

fn first_key(viewer: &Seen) -> Option<Duration> {
    viewer.frames.iter().find(|frame| frame.class == Class::Key).map(|frame| frame.received)
}

fn after_joining(viewer: &Seen) -> Option<Duration> {
    let joined = first_key(viewer)?;
    let inside = |frame: &&Frame| AFTER_JOINING.contains(&frame.received.saturating_sub(joined));
    let mut delays: Vec<_> = viewer.frames.iter().filter(inside).map(Frame::delay).collect();
    delays.sort();
    delays.get(delays.len() / 2).copied()
}

fn longest_gap(viewer: &Seen, window: &Range<Duration>, is_of: impl Fn(Class) -> bool) -> Option<Duration> {
    let came = viewer.frames.iter().filter(|frame| is_of(frame.class)).map(|frame| frame.received);
    let came: Vec<_> = came.filter(|received| window.contains(received)).collect();
    // One that never comes again is a gap as well.
    let times: Vec<_> = std::iter::once(window.start).chain(came).chain([window.end]).collect();
    times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max()
}

fn course(seen: &[Frame], window: &Range<Duration>) -> Vec<Option<f64>> {
    let steps = (window.end - window.start).as_millis().div_ceil(COURSE_STEP.as_millis());
    let mut course = vec![None; usize::try_from(steps).unwrap_or_default()];
    for frame in seen {
        let step = frame.received.saturating_sub(window.start).as_millis() / COURSE_STEP.as_millis();
        if let Some(value) = usize::try_from(step).ok().and_then(|step| course.get_mut(step)) {
            let delay = (milliseconds(frame.delay()) * 10.0).round() / 10.0;
            *value = Some(value.map_or(delay, |other: f64| other.max(delay)));
        }
    }
    course
}

fn delay(seen: &[Frame]) -> Delay {
    let mut blocks = BTreeMap::<u128, Vec<Duration>>::new();
    for frame in seen {
        blocks.entry(frame.sent.as_millis() / BLOCK.as_millis()).or_default().push(frame.delay());
    }
    let blocks: Vec<_> = blocks.into_values().collect();
    let all = percentiles(blocks.iter());
    // Runs of as many blocks, drawn with a generator that begins the same each time (xorshift64).
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        &blocks[(random % blocks.len().max(1) as u64) as usize]
    };
    let count = if blocks.is_empty() { 0 } else { DRAWS };
    let drawn: Vec<_> = (0..count).map(|_| percentiles((0..blocks.len()).map(|_| draw()))).collect();
    let bar = |n: usize| {
        let mut values: Vec<f64> = drawn.iter().map(|percentiles| percentiles[n]).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.get(DRAWS / 40), values.get(DRAWS - 1 - DRAWS / 40));
        let error = low.zip(high).map(|(low, high)| (all[n] - low).max(high - all[n])).unwrap_or_default();
        Bar { value: all[n], error }
    };
    Delay { p50: bar(0), p95: bar(1), p99: bar(2), max: all[3] }
}

/// p50, p95, p99 and the largest, ms.
fn percentiles<'a>(blocks: impl Iterator<Item = &'a Vec<Duration>>) -> [f64; 4] {
    let mut all: Vec<_> = blocks.flatten().copied().collect();
    all.sort_unstable();
    [0.5, 0.95, 0.99, 1.0].map(|share| {
        let rank = (all.len() as f64 * share).ceil() as usize;
        all.get(rank.saturating_sub(1)).copied().map(milliseconds).unwrap_or_default()
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const WINDOW: Range<Duration> = Duration::from_secs(10)..Duration::from_secs(20);

    fn frame(class: Class, sent_ms: u32, delay_ms: u32) -> Frame {
        Frame { class, sent: sent_ms * MS, received: (sent_ms + delay_ms) * MS, bytes: 100 }
    }

    /// One each 10 ms, from one second before the window until its end.
    fn sent() -> Vec<Frame> {
        (900..2000).map(|n| frame(if n % 100 == 0 { Class::Key } else { Class::Other }, n * 10, 0)).collect()
    }

    fn seen(delay_ms: impl Fn(u32) -> Option<u32>) -> Seen {
        let frames = sent().into_iter().filter_map(|frame| {
            let delay = delay_ms(frame.sent.as_millis() as u32)?;
            Some(Frame { received: frame.sent + delay * MS, ..frame })
        });
        Seen { started: 8990 * MS, frames: frames.collect(), ended: None }
    }

    #[test]
    fn a_constant_delay_is_every_percentile_without_an_error() {
        let figures = figures(&sent(), &[seen(|_| Some(40))], &WINDOW, None);
        let exact = Bar { value: 40.0, error: 0.0 };
        assert_eq!(figures.delay_ms, Delay { p50: exact, p95: exact, p99: exact, max: 40.0 });
        assert_eq!(figures.join_ms, 50.0);
        assert_eq!(figures.delay_after_joining_ms, 40.0);
        assert_eq!(figures.lost, Lost { audio: [0, 0], key: [0, 10], other: [0, 990] });
        assert_eq!(figures.payload_bytes, 100_000);
        assert!(figures.course_ms[1..].iter().all(|delay| *delay == Some(40.0)));
    }

    #[test]
    fn one_bad_second_of_ten_is_inside_the_error_bars() {
        let figures = figures(&sent(), &[seen(|at| Some(if at / 1000 == 15 { 200 } else { 20 }))], &WINDOW, None);
        let Delay { p50, p95, p99, max } = figures.delay_ms;
        assert_eq!([p50.value, p95.value, p99.value, max], [20.0, 200.0, 200.0, 200.0]);
        assert_eq!((p50.error, p99.error), (0.0, 180.0));
    }

    #[test]
    fn what_does_not_come_is_lost_and_a_gap() {
        let figures = figures(&sent(), &[seen(|at| (!(12_000..12_500).contains(&at)).then_some(5))], &WINDOW, None);
        assert_eq!((figures.lost.key, figures.lost.other), ([1, 10], [49, 990]));
        assert_eq!(figures.longest_gap_video_ms, 510.0);
        assert_eq!(figures.longest_gap_audio_ms, 10_000.0);
        assert_eq!(figures.course_ms[22], None);
    }

    #[test]
    fn recovery_ends_with_the_last_late_frame() {
        let late = |at| Some(if (14_000..=16_000).contains(&at) { 500 } else { 20 });
        let recovered = |at| figures(&sent(), &[seen(late)], &WINDOW, Some(at)).recovered_after_ms;
        assert_eq!(recovered(16_000 * MS), Some(500.0));
        assert_eq!(recovered(18_000 * MS), Some(0.0));
    }

    #[test]
    fn nothing_seen_is_no_panic() {
        let figures = figures(&sent(), &[Seen::default()], &WINDOW, None);
        assert_eq!(figures.lost.other, [990, 990]);
    }
}
