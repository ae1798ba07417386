//! The whole quality policy: priority, dependence and deadline of each access unit. Pure functions.
//!
//! | unit | priority | needs the unit before it | expires |
//! |---|---|---|---|
//! | commands, control, data, metadata | immediate (5) | no | never |
//! | configuration, end of sequence | its track's | no | never |
//! | audio frame | immediate (5) | no | [`Lifetimes::audio`] after it came |
//! | key frame | priority (4) | no | [`Lifetimes::video`] after it came |
//! | delta frame | priority (4) | yes | [`Lifetimes::video`] after it came |
//!
//! Invariant: when late, video is abandoned before audio. Audio goes first wherever both wait, and lives longer.
//!
//! A lifetime counts from when the frame came from the publisher, not from when it was queued: so it bounds the delay
//! that a viewer sees, wherever the frame has waited. What came before the viewer counts from the viewer's start, or
//! nobody could be given the group that is already running.

use std::time::{Duration, Instant};

use super::Config;
use super::formats::Format;
use super::query::Query;
use crate::media::{Track, UnitKind};
use crate::session::tally::Origin;
use crate::session::{Deadline, Priority};

/// How long the frames of one played stream are worth sending: the configuration, overridden by the viewer's query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetimes {
    /// From an audio frame's arrival until its first byte must have gone out.
    pub(super) audio: Duration,
    /// The same for video.
    pub(super) video: Duration,
    /// From then until its last byte must have gone out.
    pub(super) finish_by_margin: Duration,
    /// From a key frame until the first byte of each older frame must have gone out.
    pub(super) previous_group_start_by_margin: Duration,
    /// Whether a key frame expires the older group at all.
    pub(super) expire_previous_group: bool,
}

impl Lifetimes {
    /// The configured lifetimes with what the viewer's query says instead.
    pub(super) fn new(config: &Config, query: &Query) -> Self {
        Self {
            audio: query.audio_lifetime.unwrap_or(config.audio_lifetime),
            video: query.video_lifetime.unwrap_or(config.video_lifetime),
            finish_by_margin: query.finish_by_margin.unwrap_or(config.finish_by_margin),
            previous_group_start_by_margin: query
                .previous_group_start_by_margin
                .unwrap_or(config.previous_group_start_by_margin),
            expire_previous_group: query.expire_previous_group.unwrap_or(true),
        }
    }

    /// Until when a unit that came at `received` is worth sending to a viewer that started at `started`.
    pub(super) fn deadline(&self, kind: UnitKind, received: Instant, started: Instant) -> Deadline {
        let lifetime = match kind {
            UnitKind::Audio => self.audio,
            UnitKind::Key | UnitKind::Delta => self.video,
            UnitKind::Configuration | UnitKind::EndOfSequence | UnitKind::Metadata | UnitKind::Data => {
                return Deadline::default();
            }
        };
        let start_by = received.max(started) + lifetime;
        Deadline { start_by: Some(start_by), finish_by: Some(start_by + self.finish_by_margin) }
    }

    /// How old a key frame may be for a viewer that was stuck to go on with it. `None`: of any age.
    pub(super) fn resume_margin(&self) -> Option<Duration> {
        self.expire_previous_group.then_some(self.previous_group_start_by_margin)
    }

    /// Until when the older group is worth sending once a key frame is queued at `now`. `None`: as long as it was.
    pub(super) fn previous_group(&self, now: Instant) -> Option<Deadline> {
        self.expire_previous_group.then(|| Deadline {
            start_by: Some(now + self.previous_group_start_by_margin),
            finish_by: Some(now + self.finish_by_margin),
        })
    }
}

/// As what a unit that came at `received` is counted for a viewer that started at `started`.
pub(super) fn origin(kind: UnitKind, received: Instant, started: Instant) -> Option<Origin> {
    let kind = match kind {
        UnitKind::Audio => 0,
        UnitKind::Key | UnitKind::Delta => 1,
        UnitKind::Configuration | UnitKind::EndOfSequence | UnitKind::Metadata | UnitKind::Data => return None,
    };
    Some(Origin { at: received.max(started), kind })
}

/// The priority of a track's flow.
pub(super) fn priority(track: Track) -> Priority {
    match track {
        Track::Audio | Track::Data => Priority::Immediate,
        Track::Video => Priority::Priority,
    }
}

/// Whether a unit is of no use without the one before it in its group.
pub(super) fn needs_previous(kind: UnitKind) -> bool {
    match kind {
        UnitKind::Delta => true,
        UnitKind::Configuration
        | UnitKind::Key
        | UnitKind::Audio
        | UnitKind::EndOfSequence
        | UnitKind::Metadata
        | UnitKind::Data => false,
    }
}

/// Whether a deadline has passed before the first byte went out.
pub(super) fn is_late(deadline: Deadline, now: Instant) -> bool {
    deadline.start_by.is_some_and(|start_by| start_by < now)
}

/// Whether a key frame is worth giving to a viewer that was stuck until `resumed`. Its group is live only at its start: all
/// of a running one would have to come first, behind what still lies in the sockets, and pictures would go on late. `margin`:
/// the age at which older frames give way to a key frame, or `None` when they never do.
pub(super) fn is_live(received: Instant, resumed: Instant, margin: Option<Duration>) -> bool {
    margin.is_none_or(|margin| received + margin >= resumed)
}

/// Whether an audio frame is worth giving to a viewer that started at `started` and buffers `target_delay`.
///
/// The running group is given for its pictures, which need each other. Sound does not: all of it would only make a
/// viewer that follows the audio clock start a group's length behind. Media Source Extensions begin where all tracks have
/// something, and jump from there: they get the group's sound too.
pub(super) fn is_audible(format: Format, received: Instant, started: Instant, target_delay: Duration) -> bool {
    format == Format::Fmp4 || received + target_delay >= started
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [UnitKind; 7] = [
        UnitKind::Configuration,
        UnitKind::Key,
        UnitKind::Delta,
        UnitKind::Audio,
        UnitKind::EndOfSequence,
        UnitKind::Metadata,
        UnitKind::Data,
    ];

    fn lifetimes(query: &str) -> Lifetimes {
        Lifetimes::new(&Config::default(), &Query::parse(query))
    }

    #[test]
    fn sound_and_commands_go_before_pictures() {
        assert_eq!(priority(Track::Audio), Priority::Immediate);
        assert_eq!(priority(Track::Data), Priority::Immediate);
        assert_eq!(priority(Track::Video), Priority::Priority);
    }

    #[test]
    fn only_frames_expire() {
        let now = Instant::now();
        for kind in KINDS {
            let expires = lifetimes("").deadline(kind, now, now) != Deadline::default();
            assert_eq!(expires, matches!(kind, UnitKind::Key | UnitKind::Delta | UnitKind::Audio), "{kind:?}");
        }
    }

    #[test]
    fn only_delta_frames_need_what_is_before_them() {
        for kind in KINDS {
            assert_eq!(needs_previous(kind), kind == UnitKind::Delta, "{kind:?}");
        }
    }

    #[test]
    fn video_is_given_up_before_audio_and_both_within_a_second() {
        let now = Instant::now();
        let audio = lifetimes("").deadline(UnitKind::Audio, now, now);
        let video = lifetimes("").deadline(UnitKind::Key, now, now);
        assert!(video.finish_by < audio.start_by);
        assert!(audio.finish_by <= Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_lifetime_counts_from_arrival() {
        let received = Instant::now();
        let deadline = lifetimes("videoLifetime=0.5&finishByMargin=0.1").deadline(UnitKind::Delta, received, received);
        assert_eq!(deadline.start_by, Some(received + Duration::from_millis(500)));
        assert_eq!(deadline.finish_by, Some(received + Duration::from_millis(600)));
        assert!(!is_late(deadline, received + Duration::from_millis(500)));
        assert!(is_late(deadline, received + Duration::from_millis(501)));
    }

    #[test]
    fn what_came_before_the_viewer_counts_from_its_start() {
        let received = Instant::now();
        let started = received + Duration::from_secs(2);
        let deadline = lifetimes("videoLifetime=0.5").deadline(UnitKind::Key, received, started);
        assert_eq!(deadline.start_by, Some(started + Duration::from_millis(500)));
    }

    #[test]
    fn a_key_frame_expires_the_older_group_unless_told_not_to() {
        let now = Instant::now();
        let deadline = lifetimes("previousGopStartByMargin=0.2&finishByMargin=0.3").previous_group(now);
        assert_eq!(
            deadline,
            Some(Deadline {
                start_by: Some(now + Duration::from_millis(200)),
                finish_by: Some(now + Duration::from_millis(300)),
            })
        );
        assert_eq!(lifetimes("expirePreviousGop=no").previous_group(now), None);
    }

    #[test]
    fn a_viewer_that_was_stuck_goes_on_with_a_young_key_frame_only() {
        let received = Instant::now();
        let margin = lifetimes("previousGopStartByMargin=0.2").resume_margin();
        assert!(is_live(received, received + Duration::from_millis(200), margin));
        assert!(!is_live(received, received + Duration::from_millis(201), margin));
        let margin = lifetimes("expirePreviousGop=no").resume_margin();
        assert!(is_live(received, received + Duration::from_secs(5), margin));
    }

    #[test]
    fn sound_from_before_the_target_delay_is_not_given() {
        let received = Instant::now();
        let delay = Duration::from_millis(150);
        assert!(is_audible(Format::Raw, received, received + delay, delay));
        assert!(!is_audible(Format::Raw, received, received + Duration::from_millis(151), delay));
        assert!(is_audible(Format::Raw, received + Duration::from_secs(1), received, delay));
        assert!(is_audible(Format::Fmp4, received, received + Duration::from_secs(2), delay));
    }
}
