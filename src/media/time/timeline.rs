//! Publishers' time → a stream's one time line.

use std::time::{Duration, Instant};

use super::Timestamp;
use crate::media::{Track, Unit, UnitKind};

/// How far a publisher's time may run away from the time that passes before it's a jump and not a gap. Stops an encoder
/// that resets its clock from leaving viewers with a hole or a repetition. Genuine servers use the same.
const MAX_JUMP_MS: i64 = 4000;

/// How far a track may step back and still be held at its newest time rather than be a jump.
const MAX_STEP_BACK_MS: i64 = 500;

/// Least distance of a publisher's first frame from the newest one of the publisher before: room for a track that begins
/// earlier than the one that came first. Without it that track would be held back, and sound and picture apart.
const ROOM: Duration = Duration::from_millis(100);

/// Whether a unit follows the one before it in the publisher's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Continuity {
    /// It does.
    Continuous,
    /// The publisher's time has jumped, and was stitched to the stream's.
    Jumped,
}

/// The time line of a stream, which starts at 0 and goes on while publishers come and go.
///
/// No track ever goes back on it. All tracks are moved by one offset, so that sound and picture stay together. A new
/// publisher goes on after the last one plus the time that has passed, and so does one whose time jumps. Only coded frames
/// tell time: configurations and data, which encoders like to stamp with 0, follow them.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// The newest frame of any track: its place, and when it came.
    newest: Option<(Timestamp, Instant)>,
    /// The newest frame of each track.
    audio: Timestamp,
    video: Timestamp,
    /// What turns the publisher's time into the stream's; set by a publisher's first frame.
    offset: Option<i64>,
}

impl Timeline {
    /// A new publisher begins.
    pub fn restart(&mut self) {
        self.offset = None;
    }

    /// Moves `unit`, which came at `now`, from its publisher's time to the stream's.
    pub fn place(&mut self, unit: &mut Unit, now: Instant) -> Continuity {
        match unit.kind {
            UnitKind::Key | UnitKind::Delta | UnitKind::Audio => self.place_frame(unit, now),
            UnitKind::Configuration | UnitKind::EndOfSequence | UnitKind::Metadata | UnitKind::Data => {
                unit.timestamp = self.beside_frames(unit.track, unit.timestamp, now);
                Continuity::Continuous
            }
        }
    }

    fn place_frame(&mut self, unit: &mut Unit, now: Instant) -> Continuity {
        let next = self.next(now);
        let of_track = self.of_track(unit.track);
        let newest = self.newest.map_or(next, |(newest, _)| newest);
        let follows = |time: i64| {
            time <= signed(next) + MAX_JUMP_MS
                && time >= signed(newest) - MAX_JUMP_MS
                && time >= signed(of_track) - MAX_STEP_BACK_MS
        };
        let (time, continuity) = match self.shift(unit.timestamp) {
            Some(time) if follows(time) => (unsigned(time).max(of_track), Continuity::Continuous),
            Some(_) => (self.anchor(unit.timestamp, next), Continuity::Jumped),
            None => {
                let to = self.newest.map_or(next, |(newest, _)| next.max(newest.after(ROOM)));
                (self.anchor(unit.timestamp, to), Continuity::Continuous)
            }
        };
        unit.timestamp = time;
        match unit.track {
            Track::Audio => self.audio = time,
            Track::Video => self.video = time,
            Track::Data => {}
        }
        if self.newest.is_none_or(|(newest, _)| newest <= time) {
            self.newest = Some((time, now));
        }
        continuity
    }

    /// Chooses the offset that moves `from` to `to`.
    fn anchor(&mut self, from: Timestamp, to: Timestamp) -> Timestamp {
        self.offset = Some(signed(to).saturating_sub(signed(from)));
        to
    }

    /// Where a unit belongs that tells no time: where it says if that's among its track's frames, else beside the last.
    fn beside_frames(&self, track: Track, time: Timestamp, now: Instant) -> Timestamp {
        let next = self.next(now);
        let of_track = self.of_track(track);
        match self.shift(time) {
            Some(time) if (signed(of_track)..=signed(next) + MAX_JUMP_MS).contains(&time) => unsigned(time),
            Some(_) => of_track,
            None => next,
        }
    }

    /// `time` moved by the offset, below zero perhaps, if there is an offset yet.
    fn shift(&self, time: Timestamp) -> Option<i64> {
        self.offset.map(|offset| signed(time).saturating_add(offset))
    }

    /// Where a frame belongs that comes `now` and whose own time says nothing.
    fn next(&self, now: Instant) -> Timestamp {
        match self.newest {
            None => Timestamp::default(),
            Some((newest, at)) => newest.after(now.saturating_duration_since(at).max(Duration::from_millis(1))),
        }
    }

    fn of_track(&self, track: Track) -> Timestamp {
        match track {
            Track::Audio => self.audio,
            Track::Video => self.video,
            Track::Data => self.newest.map_or_else(Timestamp::default, |(newest, _)| newest),
        }
    }
}

/// Far beyond any time that is ever reached, and far enough from the ends for the sums here.
const LAST_MS: i64 = i64::MAX / 4;

fn signed(time: Timestamp) -> i64 {
    i64::try_from(time.millis()).unwrap_or(LAST_MS).min(LAST_MS)
}

fn unsigned(time: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(time).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::media::MESSAGE_HEADER_LEN;

    /// A publisher's frames, put on a time line at times counted from one instant.
    struct Stream {
        timeline: Timeline,
        begin: Instant,
    }

    impl Stream {
        fn new() -> Self {
            Self { timeline: Timeline::default(), begin: Instant::now() }
        }

        fn place(&mut self, kind: UnitKind, track: Track, time: u64, at: u64) -> (u64, Continuity) {
            let message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
            let mut unit = Unit::new(track, kind, Timestamp::from_millis(time), 0, message);
            let continuity = self.timeline.place(&mut unit, self.begin + Duration::from_millis(at));
            (unit.timestamp.millis(), continuity)
        }

        fn video(&mut self, time: u64, at: u64) -> (u64, Continuity) {
            self.place(UnitKind::Delta, Track::Video, time, at)
        }

        fn audio(&mut self, time: u64, at: u64) -> (u64, Continuity) {
            self.place(UnitKind::Audio, Track::Audio, time, at)
        }
    }

    use Continuity::{Continuous, Jumped};

    #[test]
    fn a_stream_starts_at_zero_and_keeps_its_publishers_steps() {
        let mut stream = Stream::new();
        assert_eq!(stream.video(7000, 0), (0, Continuous));
        assert_eq!(stream.video(7040, 90), (40, Continuous));
        assert_eq!(stream.audio(7023, 91), (23, Continuous));
    }

    #[test]
    fn a_new_publisher_goes_on_after_the_time_that_has_passed() {
        let mut stream = Stream::new();
        let _ = stream.video(0, 0);
        let _ = stream.audio(10, 10);
        stream.timeline.restart();
        assert_eq!(stream.audio(500_000, 3010), (3010, Continuous));
        assert_eq!(stream.video(500_020, 3015), (3030, Continuous));
    }

    #[test]
    fn a_new_publisher_at_the_same_instant_comes_after_the_old_one() {
        let mut stream = Stream::new();
        let _ = stream.video(0, 0);
        stream.timeline.restart();
        assert_eq!(stream.video(0, 0), (100, Continuous));
    }

    #[test]
    fn a_new_publishers_second_track_may_begin_earlier_than_its_first() {
        let mut stream = Stream::new();
        let _ = stream.video(0, 0);
        let _ = stream.audio(0, 0);
        stream.timeline.restart();
        assert_eq!(stream.audio(7090, 10), (100, Continuous));
        assert_eq!(stream.video(7000, 11), (10, Continuous));
    }

    #[test]
    fn a_jump_is_stitched_for_both_tracks_at_once() {
        for jump in [1_000_000u64, 0] {
            let mut stream = Stream::new();
            let _ = stream.video(100_000, 0);
            let _ = stream.audio(100_010, 10);
            assert_eq!(stream.video(jump, 40), (40, Jumped));
            assert_eq!(stream.audio(jump + 10, 50), (50, Continuous));
            assert_eq!(stream.video(jump + 40, 80), (80, Continuous));
        }
    }

    #[test]
    fn a_short_jump_back_of_every_track_is_stitched() {
        let mut stream = Stream::new();
        let _ = stream.video(3000, 0);
        let _ = stream.audio(3010, 10);
        assert_eq!(stream.video(2000, 40), (40, Jumped));
        assert_eq!(stream.audio(2020, 60), (60, Continuous));
    }

    #[test]
    fn a_gap_that_has_really_passed_is_no_jump() {
        let mut stream = Stream::new();
        let _ = stream.video(0, 0);
        assert_eq!(stream.video(9000, 9000), (9000, Continuous));
        assert_eq!(stream.audio(9000, 9000), (9000, Continuous));
    }

    #[test]
    fn a_burst_after_a_stall_keeps_its_steps() {
        let mut stream = Stream::new();
        let _ = stream.video(0, 0);
        assert_eq!(stream.video(40, 9000), (40, Continuous));
        assert_eq!(stream.video(80, 9000), (80, Continuous));
    }

    #[test]
    fn badly_interleaved_tracks_are_no_jump() {
        let mut stream = Stream::new();
        let _ = stream.video(0, 0);
        for step in 1..10 {
            assert_eq!(stream.video(step * 1000, step * 1000), (step * 1000, Continuous));
            assert_eq!(stream.audio(step * 1000 - 900, step * 1000), (step * 1000 - 900, Continuous));
        }
    }

    #[test]
    fn a_track_that_steps_back_a_little_is_held() {
        let mut stream = Stream::new();
        let _ = stream.video(0, 0);
        let _ = stream.video(100, 100);
        assert_eq!(stream.video(60, 101), (100, Continuous));
        assert_eq!(stream.video(140, 140), (140, Continuous));
    }

    #[test]
    fn configurations_and_data_tell_no_time() {
        let mut stream = Stream::new();
        assert_eq!(stream.place(UnitKind::Metadata, Track::Data, 0, 0), (0, Continuous));
        assert_eq!(stream.place(UnitKind::Configuration, Track::Video, 0, 0), (0, Continuous));
        assert_eq!(stream.video(3_600_000, 0), (0, Continuous));
        assert_eq!(stream.video(3_600_040, 40), (40, Continuous));
        assert_eq!(stream.place(UnitKind::Configuration, Track::Video, 0, 50), (40, Continuous));
        assert_eq!(stream.place(UnitKind::Data, Track::Data, 3_600_060, 60), (60, Continuous));
        assert_eq!(stream.place(UnitKind::Data, Track::Data, 0, 60), (40, Continuous));
        assert_eq!(stream.video(3_600_080, 80), (80, Continuous));
    }

    proptest! {
        #[test]
        fn no_track_ever_goes_back(units in prop::collection::vec((any::<bool>(), any::<u64>(), 0u64..10_000, 0u8..20), 0..200)) {
            let mut stream = Stream::new();
            let (mut at, mut newest) = (0, [0; 2]);
            for (is_video, time, step, restart) in units {
                at += step;
                if restart == 0 {
                    stream.timeline.restart();
                }
                let (time, _) = if is_video { stream.video(time, at) } else { stream.audio(time, at) };
                let newest = &mut newest[usize::from(is_video)];
                prop_assert!(*newest <= time);
                *newest = time;
            }
        }
    }
}
