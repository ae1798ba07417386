//! The bounded log of one stream, and where its newest group starts.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::rate::Rate;
use super::{Config, DISCONTINUITY, Frame};
use crate::media::codec::{self, AudioInfo, TrackInfo, VideoInfo};
use crate::media::time::{Continuity, Timeline, Timestamp};
use crate::media::{MESSAGE_HEADER_LEN, Track, Unit, UnitKind};
use crate::wire::amf0::Value;
use crate::wire::tc::Data;

/// Interval at which a stream without video starts groups: what a joining listener gets at once.
const AUDIO_GROUP: Duration = Duration::from_secs(1);

/// A stream without a video message for this long counts as one without video: longer than any slide show's picture.
const VIDEO_SILENCE: Duration = Duration::from_secs(10);

/// The least time between two announcements of a jump, so that a publisher whose tracks keep different clocks, each frame of
/// which is one, is no flood.
const ANNOUNCEMENTS: Duration = Duration::from_secs(1);

/// Bytes that an entry costs beside its message, so that a flood of empty messages is bounded too.
const ENTRY_BYTES: usize = mem::size_of::<Entry>() + 64;

/// One place in the log. Markers stand at the time of the newest frame before them.
#[derive(Debug)]
pub(super) enum Entry {
    Online { publisher: u64, timestamp: Timestamp },
    Offline(Timestamp),
    Frame(Frame),
}

/// What a decoder has to have before frames, as it stands at one place of the log.
#[derive(Debug, Clone, Default)]
pub(super) struct Setup {
    /// The publisher's number. `None` while there is none.
    pub(super) publisher: Option<u64>,
    pub(super) metadata: Option<Frame>,
    pub(super) video: Option<Frame>,
    pub(super) audio: Option<Frame>,
}

/// A place in the log where reading may begin.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) position: u64,
    pub(super) setup: Setup,
}

/// One stream's log. Positions are numbers of entries since the stream's start.
#[derive(Debug)]
pub(super) struct Cache {
    config: Config,
    shared_end: Arc<AtomicU64>,
    timeline: Timeline,
    entries: VecDeque<Entry>,
    first: u64,
    bytes: usize,
    /// The setup behind the newest entry.
    setup: Setup,
    /// Start of the newest group, unless its head is dropped or its publisher has gone.
    newest_group: Option<Start>,
    group: u64,
    group_began: Timestamp,
    newest: Option<(Timestamp, Instant)>,
    last_video: Option<Instant>,
    /// Time and distance of the last two video frames: when the next is due.
    video_pace: Option<(Timestamp, Duration)>,
    announced: Option<Instant>,
    /// When the present publisher came, and when its last unit did.
    online: Option<(Instant, Instant)>,
    key_seen: bool,
    publishers: u64,
    frames: u64,
    rate: Rate,
    video: Option<VideoInfo>,
    audio: Option<AudioInfo>,
}

impl Cache {
    /// An empty log. Where it ends is always in `end` as well, for those who only want to know whether there is more.
    pub(super) fn new(config: Config, end: Arc<AtomicU64>) -> Self {
        Self {
            config,
            shared_end: end,
            timeline: Timeline::default(),
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            setup: Setup::default(),
            newest_group: None,
            group: 0,
            group_began: Timestamp::default(),
            newest: None,
            last_video: None,
            video_pace: None,
            announced: None,
            online: None,
            key_seen: false,
            publishers: 0,
            frames: 0,
            rate: Rate::default(),
            video: None,
            audio: None,
        }
    }

    /// Begins a new publisher's part, ending the one before if it has not ended. Gives the publisher's number.
    pub(super) fn go_online(&mut self, now: Instant) -> u64 {
        let publisher = self.begin();
        self.online = Some((now, now));
        self.timeline.restart();
        publisher
    }

    /// The same in a log of frames that have their places in time already.
    pub(super) fn begin(&mut self) -> u64 {
        self.go_offline();
        self.publishers += 1;
        self.setup.publisher = Some(self.publishers);
        self.push(Entry::Online { publisher: self.publishers, timestamp: self.newest_timestamp() });
        self.publishers
    }

    /// Ends the present publisher's part. What it appended stays for those who have not read it.
    pub(super) fn go_offline(&mut self) {
        if self.setup.publisher.is_none() {
            return;
        }
        self.setup = Setup::default();
        self.newest_group = None;
        self.online = None;
        self.last_video = None;
        self.video_pace = None;
        self.key_seen = false;
        self.frames = 0;
        self.rate = Rate::default();
        self.video = None;
        self.audio = None;
        self.push(Entry::Offline(self.newest_timestamp()));
    }

    /// Moves a unit of the present publisher onto the stream's time line and appends it.
    pub(super) fn append(&mut self, mut unit: Unit, now: Instant) {
        if let Some((_, heard)) = &mut self.online {
            *heard = now;
        }
        let continuity = self.timeline.place(&mut unit, now);
        if unit.track == Track::Video {
            self.last_video = Some(now);
            let distance = self.video_pace.map_or(Duration::ZERO, |(last, _)| unit.timestamp.since(last));
            self.video_pace = Some((unit.timestamp, distance));
        }
        if unit.kind == UnitKind::Delta && !self.key_seen {
            return; // Nobody could decode it.
        }
        if continuity == Continuity::Jumped {
            self.announce_jump(unit.timestamp, now);
        }
        if self.starts_group(&unit, now) {
            self.group += 1;
            self.group_began = unit.timestamp;
            self.newest_group = Some(Start { position: self.end(), setup: self.setup.clone() });
        }
        match codec::describe(&unit) {
            Some(TrackInfo::Video(video)) => self.video = Some(video),
            Some(TrackInfo::Audio(audio)) => self.audio = Some(audio),
            None => {}
        }
        self.key_seen |= unit.kind == UnitKind::Key;

        let (track, kind, timestamp) = (unit.track, unit.kind, unit.timestamp);
        let frame = Frame { track, kind, timestamp, group: self.group, received: now, message: unit.into_message() };
        self.frames += 1;
        self.rate.add(frame.message.len(), now);
        self.add(frame);
    }

    /// Appends a frame that has its place in time and its group already.
    pub(super) fn append_placed(&mut self, frame: Frame) {
        let is_media = matches!(frame.kind, UnitKind::Key | UnitKind::Delta | UnitKind::Audio);
        if is_media && frame.group != self.group {
            self.group = frame.group;
            self.newest_group = Some(Start { position: self.end(), setup: self.setup.clone() });
        }
        self.add(frame);
    }

    /// Gives who joins from the next group on another body of the video's configuration. Nobody else is told.
    pub(super) fn replace_video_configuration(&mut self, body: &[u8]) {
        if let Some(frame) = &mut self.setup.video {
            let header = frame.message.get(..MESSAGE_HEADER_LEN).unwrap_or_default();
            frame.message = [header, body].concat().into();
        }
    }

    fn add(&mut self, frame: Frame) {
        match (frame.kind, frame.track) {
            (UnitKind::Metadata, _) => self.setup.metadata = Some(frame.clone()),
            (UnitKind::Configuration, Track::Video) => self.setup.video = Some(frame.clone()),
            (UnitKind::Configuration, Track::Audio) => self.setup.audio = Some(frame.clone()),
            _ => {}
        }
        self.newest = Some((self.newest_timestamp().max(frame.timestamp), frame.received));
        self.push(Entry::Frame(frame));
    }

    /// The entry at `position`, if it is still or already there.
    pub(super) fn entry(&self, position: u64) -> Option<&Entry> {
        let index = position.checked_sub(self.first)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Where a cursor begins that joins or has to skip: the newest group, or whatever comes next.
    pub(super) fn start(&self) -> Start {
        self.newest_group.clone().unwrap_or_else(|| Start { position: self.end(), setup: self.setup.clone() })
    }

    /// The key frame that the newest group begins with, and the configuration that it needs.
    pub(super) fn key_frame(&self) -> Option<(Frame, Frame)> {
        let Start { position, setup } = self.newest_group.as_ref()?;
        match self.entry(*position)? {
            Entry::Frame(key) if key.kind == UnitKind::Key => Some((setup.video.clone()?, key.clone())),
            Entry::Frame(_) | Entry::Online { .. } | Entry::Offline(_) => None,
        }
    }

    /// The whole rule of lagging: what stands at `position` is dropped, or it is older than the newest frame by more
    /// than `max_lag` and there is a newer group to go on with.
    pub(super) fn is_lagging(&self, position: u64) -> bool {
        if position < self.first {
            return true;
        }
        let newer_group = self.newest_group.as_ref().is_some_and(|group| position < group.position);
        match (self.entry(position), self.newest) {
            (Some(Entry::Frame(frame)), Some((_, newest))) if newer_group => {
                newest.saturating_duration_since(frame.received) > self.config.max_lag
            }
            _ => false,
        }
    }

    /// Whether a video frame should come within the time that audio may wait, by the pace of the last two.
    pub(super) fn is_video_due(&self, now: Instant) -> bool {
        let (Some(last), Some((_, distance))) = (self.last_video, self.video_pace) else { return false };
        let due = last + distance;
        !distance.is_zero() && now + self.config.max_audio_wait >= due && now < due + self.config.max_audio_wait
    }

    /// How long audio may wait for video that is due.
    pub(super) fn max_audio_wait(&self) -> Duration {
        self.config.max_audio_wait
    }

    /// The number of the present publisher.
    pub(super) fn publisher(&self) -> Option<u64> {
        self.setup.publisher
    }

    /// When the present publisher came.
    pub(super) fn online_since(&self) -> Option<Instant> {
        self.online.map(|(since, _)| since)
    }

    /// When the last unit of the present publisher came, or the publisher itself.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.online.map(|(_, heard)| heard)
    }

    /// Frames of the present publisher.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// What the present publisher's configurations say.
    pub(super) fn tracks(&self) -> (Option<&VideoInfo>, Option<&AudioInfo>) {
        (self.video.as_ref(), self.audio.as_ref())
    }

    /// Bits a second over the last few seconds, as it stands at `now`.
    pub(super) fn bits_per_second(&self, now: Instant) -> u64 {
        self.rate.bits_per_second(now)
    }

    /// The highest timestamp so far.
    fn newest_timestamp(&self) -> Timestamp {
        self.newest.map(|(timestamp, _)| timestamp).unwrap_or_default()
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Tells viewers that at `timestamp` the publisher's clock has jumped. Their time goes on: what came before and what
    /// follows are not what they seem, neighbours. A data message, which clients that do not know it leave alone.
    fn announce_jump(&mut self, timestamp: Timestamp, now: Instant) {
        if self.announced.is_some_and(|last| now.saturating_duration_since(last) < ANNOUNCEMENTS) {
            return;
        }
        self.announced = Some(now);
        tracing::debug!(at = timestamp.millis(), "publisher's time jumped");
        let info = Value::object([
            ("description", Value::from("The publisher's clock has jumped")),
            ("timestamp", Value::Number(timestamp.millis() as f64)),
        ]);
        let message = Data::new(DISCONTINUITY, vec![info]).encode(timestamp.rtmp());
        let (track, kind, group) = (Track::Data, UnitKind::Data, self.group);
        self.push(Entry::Frame(Frame { track, kind, timestamp, group, received: now, message }));
    }

    fn starts_group(&self, unit: &Unit, now: Instant) -> bool {
        match unit.kind {
            UnitKind::Key => true,
            UnitKind::Audio => {
                let has_video = self.last_video.is_some_and(|last| now.saturating_duration_since(last) < VIDEO_SILENCE);
                !has_video && (self.newest_group.is_none() || unit.timestamp >= self.group_began.after(AUDIO_GROUP))
            }
            UnitKind::Configuration
            | UnitKind::Delta
            | UnitKind::EndOfSequence
            | UnitKind::Metadata
            | UnitKind::Data => false,
        }
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        self.shared_end.store(self.end(), Ordering::Release);
        while self.exceeds_bounds() || self.is_past() {
            let Some(dropped) = self.entries.pop_front() else { break };
            self.bytes -= dropped.bytes();
            if self.newest_group.as_ref().is_some_and(|group| group.position == self.first) {
                self.newest_group = None;
            }
            self.first += 1;
        }
    }

    /// Whether nobody can want the oldest entries any more: each cursor that stands there skips to the newest group.
    fn is_past(&self) -> bool {
        let oldest = self.entries.iter().position(|entry| matches!(entry, Entry::Frame(_)));
        oldest.is_some_and(|index| self.is_lagging(self.first + index as u64))
    }

    fn exceeds_bounds(&self) -> bool {
        let too_long = match (self.entries.front(), self.newest) {
            (Some(oldest), Some((newest, _))) => newest > oldest.timestamp().after(self.config.max_duration),
            _ => false,
        };
        too_long || self.bytes as u64 > self.config.max_bytes.as_u64()
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Entry::Online { .. } | Entry::Offline(_) => ENTRY_BYTES,
            Entry::Frame(frame) => ENTRY_BYTES + frame.message.len(),
        }
    }

    fn timestamp(&self) -> Timestamp {
        match self {
            Entry::Online { timestamp, .. } | Entry::Offline(timestamp) => *timestamp,
            Entry::Frame(frame) => frame.timestamp,
        }
    }
}
