use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::cache::{Cache, Entry, Start};
use super::packaged::Packaged;
use super::registry::{Lease, Log};
use super::{Frame, Item};
use crate::media::{MESSAGE_HEADER_LEN, Track, UnitKind};

/// A cursor into one live stream.
///
/// A viewer that joins gets `Online`, the metadata and configurations and the newest group from its key frame at once. One
/// whose next frame is dropped, or is more than [`Config::max_lag`](super::Config::max_lag) behind the newest one while a
/// newer group is there, gets [`Item::Skipped`] and goes on with the newest group; its audio is skipped too, since
/// delay must not grow. So a viewer is never behind by more than `max_lag` and the longest group.
#[derive(Debug)]
pub struct Subscriber {
    lease: Lease,
    /// Its place at the stream's bell.
    seat: usize,
    cursor: Cursor,
    /// What it reads instead of the stream's own log.
    packaged: Option<Arc<Packaged>>,
}

/// How far one viewer has read.
#[derive(Debug)]
pub(super) struct Cursor {
    position: u64,
    /// What comes before the entry at `position`: at most a skip, two markers and three frames of setup.
    pending: VecDeque<Item>,
    /// The publisher that this viewer believes in.
    publisher: Option<u64>,
    /// What this viewer's decoders have got.
    got: Got,
    awaits_key: bool,
}

/// The last metadata and configurations read.
#[derive(Debug, Default)]
struct Got {
    metadata: Option<Bytes>,
    video: Option<Bytes>,
    audio: Option<Bytes>,
}

impl Subscriber {
    pub(super) fn new(lease: Lease) -> Self {
        let cursor = Cursor::join(&lease.stream.read());
        let seat = lease.stream.appended.sit();
        Self { lease, seat, cursor, packaged: None }
    }

    pub(super) fn packaged(lease: Lease, packaged: Arc<Packaged>) -> Self {
        packaged.follow(&lease.stream);
        let cursor = Cursor::join(&packaged.log().read());
        let seat = lease.stream.appended.sit();
        Self { lease, seat, cursor, packaged: Some(packaged) }
    }

    /// The next item, waiting until there is one. Cancel safe.
    pub async fn next(&mut self) -> Item {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next item, or the task is woken when there is one.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Item> {
        if let Some(item) = self.try_next() {
            return Poll::Ready(item);
        }
        self.lease.stream.appended.wait(self.seat, context.waker());
        // What was appended in between has rung for others only.
        self.try_next().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next item if there is one now.
    pub fn try_next(&mut self) -> Option<Item> {
        let Self { lease, cursor, packaged, .. } = self;
        let log = match packaged {
            None => lease.stream.log(),
            Some(packaged) => {
                packaged.follow(&lease.stream);
                packaged.log()
            }
        };
        let item = cursor.next(log);
        if let Some(Item::Skipped { frames }) = item {
            lease.metrics().skipped.inc_by(frames);
        }
        item
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.lease.stream.appended.leave(self.seat);
    }
}

impl Cursor {
    /// Where a viewer begins.
    pub(super) fn join(cache: &Cache) -> Self {
        let mut cursor =
            Self { position: 0, pending: VecDeque::new(), publisher: None, got: Got::default(), awaits_key: true };
        cursor.go_to_newest_group(cache);
        cursor
    }

    /// The next item if there is one now.
    pub(super) fn next(&mut self, log: &Log) -> Option<Item> {
        if self.pending.is_empty() && log.ends_at(self.position) {
            return None;
        }
        self.advance(&log.read())
    }

    /// Where in the log it stands.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    fn advance(&mut self, cache: &Cache) -> Option<Item> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Some(item);
            }
            if cache.is_lagging(self.position) {
                let from = self.position;
                self.go_to_newest_group(cache);
                return Some(Item::Skipped { frames: self.position - from });
            }
            let entry = cache.entry(self.position)?;
            self.position += 1;
            match entry {
                Entry::Online { publisher, .. } => {
                    self.meet(*publisher);
                    return Some(Item::Online);
                }
                Entry::Offline(_) => {
                    self.publisher = None;
                    return Some(Item::Offline);
                }
                Entry::Frame(frame) if self.wants(frame) => return Some(Item::Frame(frame.clone())),
                Entry::Frame(_) => {}
            }
        }
    }

    /// Moves to where reading may begin, with all that has to be told before what stands there.
    fn go_to_newest_group(&mut self, cache: &Cache) {
        let Start { position, setup } = cache.start();
        self.position = position;
        self.awaits_key = true;
        if self.publisher != setup.publisher {
            if self.publisher.take().is_some() {
                self.pending.push_back(Item::Offline);
            }
            if let Some(publisher) = setup.publisher {
                self.meet(publisher);
                self.pending.push_back(Item::Online);
            }
        }
        for frame in [setup.metadata, setup.video, setup.audio].into_iter().flatten() {
            if self.got.is_news(&frame) {
                self.pending.push_back(Item::Frame(frame));
            }
        }
    }

    fn meet(&mut self, publisher: u64) {
        self.publisher = Some(publisher);
        self.got = Got::default();
        self.awaits_key = true;
    }

    /// Whether the frame is of any use to this viewer.
    fn wants(&mut self, frame: &Frame) -> bool {
        match frame.kind {
            UnitKind::Configuration | UnitKind::Metadata => self.got.is_news(frame),
            UnitKind::Key => {
                self.awaits_key = false;
                true
            }
            UnitKind::Delta | UnitKind::EndOfSequence => !self.awaits_key,
            UnitKind::Audio | UnitKind::Data => true,
        }
    }
}

impl Got {
    /// Whether a metadata or configuration frame says anything new; notes it.
    fn is_news(&mut self, frame: &Frame) -> bool {
        let last = match frame.track {
            Track::Audio => &mut self.audio,
            Track::Video => &mut self.video,
            Track::Data => &mut self.metadata,
        };
        let is_news = last.as_ref().is_none_or(|last| body(last) != body(&frame.message));
        if is_news {
            *last = Some(frame.message.clone());
        }
        is_news
    }
}

/// The message without its header, which holds the time.
fn body(message: &Bytes) -> Option<&[u8]> {
    message.get(MESSAGE_HEADER_LEN..)
}
