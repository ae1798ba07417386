//! A stream's other form: fragmented MP4, made once for all who want it that way.
//!
//! ```text
//! Publisher ─▶ log ──Cursor──▶ Packager ─▶ log of segments ◀── cursors of the viewers
//! ```
//!
//! It is a viewer of the stream like any other and a log like any other, so that what holds for both holds here: it is
//! bounded, begins at a group, and who lags skips. It has no task of its own: the first of its viewers that looks takes in
//! what has come, and while nobody looks, because all of them wait for their networks, nothing is made.
//!
//! A segment is what viewers are sent, byte for byte, with what comes before it. Its frames are copied into it, once.
//!
//! Once a second, each track's segment says when its first frame came from the publisher (`prft`), for whoever measures delay.
//! That costs each viewer 28 bytes a track, so that nobody has to ask for it.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tracing::debug;

use super::registry::{Log, Stream};
use super::subscriber::Cursor;
use super::{Config, Frame, Item};
use crate::clock::Epoch;
use crate::media::codec::{CodecError, aac, avc};
use crate::media::flv::{self, Coded, Configuration};
use crate::media::fmp4::{self, Fragment, Init, init};
use crate::media::time::Timestamp;
use crate::media::{MESSAGE_HEADER_LEN, Track, UnitKind};
use crate::wire::tlv::{self, Kind};

/// At least so long between two segments of a track that say when they came.
const REFER_EVERY: Duration = Duration::from_secs(1);

/// The log of segments, and what makes them.
#[derive(Debug)]
pub(super) struct Packaged {
    log: Log,
    /// Up to where the stream's log has been taken in: nobody need wait for a lock to see that there is nothing more.
    taken: AtomicU64,
    work: Mutex<Work>,
}

#[derive(Debug)]
struct Work {
    source: Cursor,
    packager: Packager,
    epoch: Epoch,
}

/// Where segments go.
struct Output<'a> {
    log: &'a Log,
    /// What is said to be the time of day.
    epoch: Epoch,
}

/// Frames → segments, in order of their completion.
#[derive(Debug)]
struct Packager {
    /// Frames of a segment.
    frames: usize,
    video: Lane,
    audio: Lane,
}

/// One track.
#[derive(Debug, Default)]
struct Lane {
    /// `None` until there is a configuration that a header can be made of.
    track: Option<fmp4::Track>,
    /// The first frame of the segment that is not complete, without its bytes.
    first: Option<Frame>,
    /// When a segment is to say again when it came.
    refer_at: Option<Instant>,
}

impl Packaged {
    /// The other form of `stream`, from its newest group on.
    pub(super) fn new(stream: &Stream, config: &Config, frames: usize, epoch: Epoch) -> Self {
        let source = Cursor::join(&stream.read());
        let packager = Packager { frames, video: Lane::default(), audio: Lane::default() };
        let work = Mutex::new(Work { source, packager, epoch });
        // Nowhere yet: what comes before the first frame has no place in the log.
        Self { log: Log::new(config.clone()), taken: AtomicU64::new(u64::MAX), work }
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// From now on, tells the time of day as the viewer that comes is told it.
    pub(super) fn set_epoch(&self, epoch: Epoch) {
        self.work().epoch = epoch;
    }

    /// Takes in what `stream` has more.
    pub(super) fn follow(&self, stream: &Stream) {
        if stream.ends_at(self.taken.load(Ordering::Acquire)) {
            return;
        }
        let Work { source, packager, epoch } = &mut *self.work();
        let out = Output { log: &self.log, epoch: *epoch };
        while let Some(item) = source.next(stream.log()) {
            match item {
                Item::Online => {
                    packager.reset();
                    self.log.write().begin();
                }
                Item::Offline => {
                    packager.finish(&out);
                    self.log.write().go_offline();
                }
                Item::Skipped { .. } => packager.skip(),
                Item::Frame(frame) => packager.push(frame, &out),
            }
        }
        self.taken.store(source.position(), Ordering::Release);
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        // Right after a panic: what was half made is then missing, as if it had been lost.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output<'_> {
    fn append(&self, frame: Frame) {
        self.log.write().append_placed(frame);
    }
}

impl Packager {
    fn push(&mut self, frame: Frame, out: &Output<'_>) {
        let lane = match frame.track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
            Track::Data => return out.append(frame),
        };
        match frame.kind {
            UnitKind::Configuration => {
                lane.finish(out);
                lane.configure(&frame, self.frames, out);
            }
            UnitKind::Key => {
                lane.finish(out);
                lane.push(&frame, out);
            }
            UnitKind::Delta | UnitKind::Audio => lane.push(&frame, out),
            // The next segment tells a decoder all that it needs.
            UnitKind::EndOfSequence => lane.finish(out),
            UnitKind::Metadata | UnitKind::Data => out.append(frame),
        }
    }

    fn finish(&mut self, out: &Output<'_>) {
        self.video.finish(out);
        self.audio.finish(out);
    }

    fn skip(&mut self) {
        self.video.skip();
        self.audio.skip();
    }

    fn reset(&mut self) {
        (self.video, self.audio) = Default::default();
    }
}

impl Lane {
    fn configure(&mut self, frame: &Frame, frames: usize, out: &Output<'_>) {
        match track(frame.track, body(&frame.message), frames) {
            Ok((Init { codec, width, height, segment }, track)) => {
                self.track = Some(track);
                out.append(Frame { message: tlv::init(width, height, &codec, &segment), ..frame.clone() });
            }
            Err(error) => {
                self.track = None;
                debug!(track = ?frame.track, %error, "track left out of fmp4");
            }
        }
    }

    fn push(&mut self, frame: &Frame, out: &Output<'_>) {
        let (Some(track), Some(coded)) = (&mut self.track, flv::coded_in(frame.track, body(&frame.message))) else {
            return;
        };
        self.first.get_or_insert_with(|| Frame { message: Bytes::new(), ..frame.clone() });
        if let Some(fragment) = track.push(frame.timestamp, coded, &frame.message) {
            self.emit(fragment, out);
        }
    }

    /// Completes a segment with fewer frames than it should have.
    fn finish(&mut self, out: &Output<'_>) {
        if let Some(fragment) = self.track.as_mut().and_then(fmp4::Track::finish) {
            self.emit(fragment, out);
        }
    }

    fn skip(&mut self) {
        self.first = None;
        if let Some(track) = &mut self.track {
            track.skip();
        }
    }

    fn emit(&mut self, mut fragment: Fragment, out: &Output<'_>) {
        let Some(first) = mem::take(&mut self.first) else { return };
        if self.refer_at.is_none_or(|at| at <= first.received) {
            self.refer_at = Some(first.received + REFER_EVERY);
            fragment.refer(out.epoch.wall_at(first.received));
        }
        let mut message = BytesMut::with_capacity(tlv::KEYFRAME_LEN + tlv::HEADER_LEN + fragment.len());
        if first.kind == UnitKind::Key {
            tlv::put_keyframe(&mut message, first.group, first.timestamp.millis());
        }
        let kind = if first.track == Track::Audio { Kind::Audio } else { Kind::Segment };
        tlv::put_header(&mut message, kind, fragment.len());
        fragment.write(&mut message);
        out.append(Frame { message: message.freeze(), ..first });
    }
}

/// A key frame as a file of its own, at time zero.
pub(super) fn still(configuration: &Frame, key: &Frame) -> Option<Bytes> {
    let (Init { segment, .. }, mut track) = track(Track::Video, body(&configuration.message), 1).ok()?;
    let coded = Coded { composition_ms: 0, ..flv::coded_in(Track::Video, body(&key.message))? };
    let fragment = track.push(Timestamp::default(), coded, &key.message)?;
    let mut file = BytesMut::with_capacity(segment.len() + fragment.len());
    file.extend_from_slice(&segment);
    fragment.write(&mut file);
    Some(file.freeze())
}

/// A track's header and what makes its fragments, from a configuration in an FLV tag body.
fn track(of: Track, body: &[u8], frames: usize) -> Result<(Init, fmp4::Track), CodecError> {
    let unreadable = |value: u8| CodecError::Reserved { what: "codec", value: value.into() };
    match flv::configuration_in(of, body) {
        Some(Configuration::Avc(record)) => {
            Ok((init::avc(record)?, fmp4::Track::avc(&avc::Configuration::read(record)?, frames)))
        }
        Some(Configuration::Aac(record)) => {
            Ok((init::aac(record)?, fmp4::Track::aac(&aac::Configuration::read(record)?, frames)))
        }
        Some(Configuration::Hevc(_) | Configuration::Av1(_) | Configuration::Vp9(_)) | None => {
            Err(unreadable(body.first().copied().unwrap_or_default()))
        }
    }
}

fn body(message: &Bytes) -> &[u8] {
    message.get(MESSAGE_HEADER_LEN..).unwrap_or_default()
}
