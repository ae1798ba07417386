use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::cache::Cache;
use super::{Config, Publisher, PublisherRules, StreamPath, Subscriber, Taken};
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

/// One stream: its log, and the bell that rings when something is appended.
#[derive(Debug)]
pub(super) struct Stream {
    cache: RwLock<Cache>,
    /// Where the log ends.
    end: Arc<AtomicU64>,
    pub(super) appended: Bell,
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
        Self { shared: Arc::new(Shared { config, rules, streams: Mutex::default() }) }
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
        Publisher::new(self.shared.lease(path, Role::Publisher), self.shared.rules, now)
    }

    /// Attaches a viewer, published yet or not. The first item is `Online` only once a publisher is there.
    pub fn subscribe(&self, path: &StreamPath) -> Subscriber {
        Subscriber::new(self.shared.lease(path, Role::Viewer))
    }

    /// All streams that are being published, in order of their paths, as they stand at `now`.
    pub fn streams(&self, now: Instant) -> Vec<StreamSummary> {
        let mut summaries: Vec<_> =
            self.shared.streams().iter().filter_map(|(path, slot)| slot.summary(path, now)).collect();
        summaries.sort_by(|a, b| a.path.cmp(&b.path));
        summaries
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
        Lease { shared: Arc::clone(self), path: path.clone(), role, stream: Arc::clone(&slot.stream) }
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

impl Drop for Lease {
    fn drop(&mut self) {
        let mut streams = self.shared.streams();
        if let Some(slot) = streams.get_mut(&self.path) {
            let count = slot.count(self.role);
            *count = count.saturating_sub(1);
            if slot.publishers + slot.viewers == 0 {
                streams.remove(&self.path);
            }
        }
    }
}

impl Stream {
    fn new(config: Config) -> Self {
        let end = Arc::<AtomicU64>::default();
        Self { cache: RwLock::new(Cache::new(config, Arc::clone(&end))), end, appended: Bell::default() }
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
