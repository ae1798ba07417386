use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::broadcast;

use super::bell::Bell;
use super::cache::Cache;
use super::events::{Change, Event, WAITING};
use super::metrics::Metrics;
use super::packaged::{self, Packaged};
use super::{Config, Publisher, PublisherRules, StreamPath, Subscriber, Taken};
use crate::clock::Epoch;
use crate::media::codec::{AudioInfo, VideoInfo};

/// Every live stream of this gateway. Cloning gives another handle to the same streams.
///
/// A path is in it while it has a publisher or a viewer, and is forgotten with the last of them.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

/// What can be told of a stream that is being published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// Its path.
    pub path: StreamPath,
    /// How long the present publisher has been there.
    pub online_for: Duration,
    /// Viewers attached.
    pub viewers: usize,
    /// Bits a second over the last five seconds.
    pub bits_per_second: u64,
    /// Messages of the present publisher so far.
    pub frames: u64,
    /// What its video configuration says, once there is one that can be read.
    pub video: Option<VideoInfo>,
    /// What its audio configuration says, once there is one that can be read.
    pub audio: Option<AudioInfo>,
}

/// One stream: its log, the bell that rings when something is appended, and what is made of it while somebody wants that.
#[derive(Debug)]
pub(super) struct Stream {
    log: Log,
    pub(super) appended: Bell,
    packaged: Mutex<Weak<Packaged>>,
}

/// A log that several tasks share.
#[derive(Debug)]
pub(super) struct Log {
    cache: RwLock<Cache>,
    /// Where the log ends.
    end: Arc<AtomicU64>,
}

/// Somebody's part in a stream; the stream lives as long as the last of them.
#[derive(Debug)]
pub(super) struct Lease {
    shared: Arc<Shared>,
    path: StreamPath,
    role: Role,
    pub(super) stream: Arc<Stream>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Publisher,
    Viewer,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    rules: PublisherRules,
    streams: Mutex<HashMap<StreamPath, Slot>>,
    metrics: Metrics,
    events: broadcast::Sender<Event>,
}

impl Role {
    fn begins(self) -> Change {
        match self {
            Self::Publisher => Change::Published,
            Self::Viewer => Change::FirstViewer,
        }
    }

    fn ends(self) -> Change {
        match self {
            Self::Publisher => Change::Unpublished,
            Self::Viewer => Change::LastViewer,
        }
    }
}

/// A stream and how many take part in it.
#[derive(Debug)]
struct Slot {
    stream: Arc<Stream>,
    publishers: usize,
    viewers: usize,
}

impl Registry {
    /// An empty registry with the default rules for publishers.
    pub fn new(config: Config) -> Self {
        Self::with_rules(config, PublisherRules::default())
    }

    /// An empty registry.
    pub fn with_rules(config: Config, rules: PublisherRules) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                rules,
                streams: Mutex::default(),
                metrics: Metrics::default(),
                events: broadcast::Sender::new(WAITING),
            }),
        }
    }

    /// Takes the path for a publisher that came at `now`. Dropping the [`Publisher`] gives it back: viewers stay attached
    /// and wait.
    ///
    /// Of two publishers, the rule [`Takeover`](super::Takeover) decides. One that is replaced learns of it from its next
    /// [`Publisher::append`].
    ///
    /// # Errors
    /// [`Taken`].
    pub fn publish(&self, path: &StreamPath, now: Instant) -> Result<Publisher, Taken> {
        let publisher = Publisher::new(self.shared.lease(path, Role::Publisher), self.shared.rules, now);
        publisher.inspect_err(|_| {
            self.shared.metrics.refused.inc();
        })
    }

    /// Attaches a viewer, published yet or not. The first item is `Online` only once a publisher is there.
    pub fn subscribe(&self, path: &StreamPath) -> Subscriber {
        Subscriber::new(self.shared.lease(path, Role::Viewer))
    }

    /// The same for a viewer that is given the stream as fragmented MP4, `frames` of it in each segment, each frame's
    /// message being one of [`tlv`](crate::wire::tlv) (data messages stay as they are). Whoever comes first says how many.
    /// Segments tell the time of day (`prft`) by the `epoch` of who came last.
    pub fn subscribe_packaged(&self, path: &StreamPath, frames: usize, epoch: Epoch) -> Subscriber {
        let lease = self.shared.lease(path, Role::Viewer);
        let packaged = lease.stream.packaged(&self.shared.config, frames, epoch);
        Subscriber::packaged(lease, packaged)
    }

    /// Bits a second of a stream over the last five seconds; 0 while nobody publishes it.
    pub fn bits_per_second(&self, path: &StreamPath, now: Instant) -> u64 {
        let stream = self.shared.streams().get(path).map(|slot| Arc::clone(&slot.stream));
        stream.map_or(0, |stream| stream.read().bits_per_second(now))
    }

    /// The newest key frame of a stream that is being published, as an MP4 file of one picture, in which it's the first; nothing
    /// while there is none, or where its codec can't be packaged. It is no viewer's.
    pub fn key_frame(&self, path: &StreamPath) -> Option<Bytes> {
        let stream = self.shared.streams().get(path).map(|slot| Arc::clone(&slot.stream))?;
        let (configuration, key) = stream.read().key_frame()?;
        packaged::still(&configuration, &key)
    }

    /// All streams that are being published, in order of their paths, as they stand at `now`.
    pub fn streams(&self, now: Instant) -> Vec<StreamSummary> {
        let mut summaries: Vec<_> =
            self.shared.streams().iter().filter_map(|(path, slot)| slot.summary(path, now)).collect();
        summaries.sort_by(|a, b| a.path.cmp(&b.path));
        summaries
    }

    /// What happens to paths from now on. Who does not keep up loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Whether anybody views a path.
    pub fn is_watched(&self, path: &StreamPath) -> bool {
        self.shared.streams().get(path).is_some_and(|slot| slot.viewers > 0)
    }

    /// The paths that somebody views, published or not.
    pub fn watched(&self) -> Vec<StreamPath> {
        let streams = self.shared.streams();
        streams.iter().filter(|(_, slot)| slot.viewers > 0).map(|(path, _)| path.clone()).collect()
    }

    /// Whether anybody publishes a path.
    pub fn is_published(&self, path: &StreamPath) -> bool {
        self.shared.streams().get(path).is_some_and(|slot| slot.publishers > 0)
    }

    /// How many streams are being published.
    pub(super) fn published(&self) -> usize {
        self.shared.streams().values().filter(|slot| slot.publishers > 0).count()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

impl Slot {
    fn summary(&self, path: &StreamPath, now: Instant) -> Option<StreamSummary> {
        let cache = self.stream.read();
        cache.publisher()?;
        let (video, audio) = cache.tracks();
        Some(StreamSummary {
            path: path.clone(),
            online_for: now.saturating_duration_since(cache.online_since()?),
            viewers: self.viewers,
            bits_per_second: cache.bits_per_second(now),
            frames: cache.frames(),
            video: video.cloned(),
            audio: audio.cloned(),
        })
    }
}

impl Shared {
    fn lease(self: &Arc<Self>, path: &StreamPath, role: Role) -> Lease {
        let mut streams = self.streams();
        let slot = streams.entry(path.clone()).or_insert_with(|| Slot {
            stream: Arc::new(Stream::new(self.config.clone())),
            publishers: 0,
            viewers: 0,
        });
        *slot.count(role) += 1;
        if *slot.count(role) == 1 {
            self.tell(path, role.begins());
        }
        let slot = &streams[path];
        Lease { shared: Arc::clone(self), path: path.clone(), role, stream: Arc::clone(&slot.stream) }
    }

    fn tell(&self, path: &StreamPath, change: Change) {
        // An error is that nobody listens.
        let _ = self.events.send(Event { path: path.clone(), change });
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<StreamPath, Slot>> {
        // Every critical section leaves the map whole, also when it panics.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn count(&mut self, role: Role) -> &mut usize {
        match role {
            Role::Publisher => &mut self.publishers,
            Role::Viewer => &mut self.viewers,
        }
    }
}

impl Lease {
    pub(super) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut streams = self.shared.streams();
        if let Some(slot) = streams.get_mut(&self.path) {
            let count = slot.count(self.role);
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.shared.tell(&self.path, self.role.ends());
            }
            if slot.publishers + slot.viewers == 0 {
                streams.remove(&self.path);
            }
        }
    }
}

impl Stream {
    fn new(config: Config) -> Self {
        Self { log: Log::new(config), appended: Bell::default(), packaged: Mutex::default() }
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Whether there is nothing at `position` yet. Costs no lock.
    pub(super) fn ends_at(&self, position: u64) -> bool {
        self.log.ends_at(position)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Cache> {
        self.log.read()
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Cache> {
        self.log.write()
    }

    /// The stream's other form, made while somebody has it.
    fn packaged(&self, config: &Config, frames: usize, epoch: Epoch) -> Arc<Packaged> {
        let mut present = self.packaged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packaged) = present.upgrade() {
            packaged.set_epoch(epoch);
            return packaged;
        }
        let packaged = Arc::new(Packaged::new(self, config, frames, epoch));
        *present = Arc::downgrade(&packaged);
        packaged
    }
}

impl Log {
    pub(super) fn new(config: Config) -> Self {
        let end = Arc::<AtomicU64>::default();
        Self { cache: RwLock::new(Cache::new(config, Arc::clone(&end))), end }
    }

    /// Whether there is nothing at `position` yet. Costs no lock.
    pub(super) fn ends_at(&self, position: u64) -> bool {
        self.end.load(Ordering::Acquire) == position
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Cache> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Cache> {
        self.cache.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_path_is_forgotten_with_its_last_participant() {
        let registry = Registry::new(Config::default());
        let path = StreamPath::new("live", "x").unwrap();
        let viewer = registry.subscribe(&path);
        let publisher = registry.publish(&path, Instant::now()).unwrap();
        drop(publisher);
        assert_eq!(registry.shared.streams().len(), 1);
        drop(viewer);
        assert!(registry.shared.streams().is_empty());
    }

    #[test]
    fn the_other_form_is_there_from_its_first_viewer_to_its_last() {
        let registry = Registry::new(Config::default());
        let path = StreamPath::new("live", "x").unwrap();
        let _raw = registry.subscribe(&path);
        let is_there = || {
            let stream = Arc::clone(&registry.shared.streams()[&path].stream);
            stream.packaged.lock().unwrap().strong_count() > 0
        };
        assert!(!is_there());
        for viewer in [(); 2].map(|()| registry.subscribe_packaged(&path, 1, Clock.epoch())) {
            assert!(is_there());
            drop(viewer);
        }
        assert!(!is_there());
    }

    #[test]
    fn who_listens_is_told_of_the_first_and_the_last() {
        let registry = Registry::new(Config::default());
        let mut events = registry.events();
        let path = StreamPath::new("live", "x").unwrap();
        let viewers = [registry.subscribe(&path), registry.subscribe(&path)];
        let first = registry.publish(&path, Instant::now()).unwrap();
        let second = registry.publish(&path, Instant::now()).unwrap();
        assert!(registry.is_watched(&path));
        drop((first, second, viewers));
        assert!(!registry.is_watched(&path));
        let told = std::iter::from_fn(|| events.try_recv().ok().map(|event| event.change.name()));
        assert_eq!(told.collect::<Vec<_>>(), ["first_viewer", "publish", "unpublish", "last_viewer"]);
    }

    #[test]
    fn only_published_streams_are_told() {
        let registry = Registry::new(Config::default());
        let _viewer = registry.subscribe(&StreamPath::new("live", "awaited").unwrap());
        assert_eq!(registry.streams(Instant::now()), []);
        let start = Instant::now();
        let _publisher = registry.publish(&StreamPath::new("live", "x").unwrap(), start).unwrap();
        let _viewer = registry.subscribe(&StreamPath::new("live", "x").unwrap());
        let told = registry.streams(start + Duration::from_secs(3));
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].path.as_str(), told[0].viewers), ("live/x", 1));
        assert_eq!(told[0].online_for, Duration::from_secs(3));
    }
}
