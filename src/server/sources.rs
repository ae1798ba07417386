//! Paths that are another server's: pulled from there while somebody watches them.
//!
//! ```text
//! first viewer ─▶ pull ──fails──▶ back off, and again        a publisher of our own ─▶ let go
//!                  └── nobody watches for `grace` ─▶ let go
//! ```

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::broadcast::{Change, Registry, StreamPath};
use crate::clock::Clock;
use crate::ingest::{self, IngestError, Origin, PullError};

/// The pause after the first failure to pull; doubles up to [`MAX_BACK_OFF`].
const MIN_BACK_OFF: Duration = Duration::from_millis(250);

/// The longest pause between two attempts.
const MAX_BACK_OFF: Duration = Duration::from_secs(10);

/// A pull that lasted for so long was a success: the next pause is the shortest again.
const SUCCESS: Duration = Duration::from_secs(10);

/// How often it is looked whether anybody still watches.
const LOOK: Duration = Duration::from_millis(100);

/// What is pulled from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Paths and their origins, the first that fits counts. Default none.
    pub paths: Vec<Source>,
    /// How long a path is pulled on when nobody watches it any more. Default 10 s: whoever reloads a page finds it still there.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// Most paths pulled at a time. Default 100: with `*`, a stranger may ask for any number of names.
    pub max: usize,
}

/// A path, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Written", into = "Written")]
pub struct Source {
    path: String,
    url: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: String,
    url: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { paths: Vec::new(), grace: Duration::from_secs(10), max: 100 }
    }
}

impl TryFrom<Written> for Source {
    type Error = String;

    fn try_from(Written { path, url }: Written) -> Result<Self, String> {
        let stars = |text: &str| text.matches('*').count();
        let is_matched = stars(&path) == stars(&url) && stars(&path) == usize::from(path.ends_with("/*"));
        if !is_matched {
            return Err("write app/name, or app/* with one * in the url".into());
        }
        url.replace('*', "x").parse::<Origin>().map_err(|error| error.to_string())?;
        Ok(Self { path, url })
    }
}

impl From<Source> for Written {
    fn from(Source { path, url }: Source) -> Self {
        Self { path, url }
    }
}

impl Source {
    /// Where `path` is, if this is its source.
    fn origin(&self, path: &StreamPath) -> Option<Origin> {
        let name = match self.path.strip_suffix('*') {
            Some(app) => path.as_str().strip_prefix(app).filter(|name| !name.is_empty())?,
            None if self.path == path.as_str() => "",
            None => return None,
        };
        self.url.replace('*', name).parse().ok()
    }
}

/// Pulls what is watched, for ever. Cancel safe; dropping it lets go of everything.
pub async fn run(registry: Registry, config: Config, limits: watch::Receiver<ingest::Config>, clock: Clock) {
    if config.paths.is_empty() {
        return;
    }
    let mut events = registry.events();
    let mut pulling = JoinSet::new();
    let mut pulled = HashMap::new();
    loop {
        let awaited = tokio::select! {
            Some(done) = pulling.join_next_with_id() => match done {
                Ok((id, ())) => {
                    pulled.retain(|_, pull: &mut Id| *pull != id);
                    // It may be pulled anew, or another one that found no room.
                    registry.watched()
                }
                Err(died) => {
                    // A mistake of the gateway's own, which the log tells, and which may come again at once: its place is kept for a while.
                    let pause = pulling.spawn(sleep(MIN_BACK_OFF)).id();
                    pulled.values_mut().filter(|pull| **pull == died.id()).for_each(|pull| *pull = pause);
                    continue;
                }
            },
            event = events.recv() => match event {
                Ok(event) if matches!(event.change, Change::FirstViewer | Change::Unpublished) => vec![event.path],
                Ok(_) => continue,
                Err(RecvError::Lagged(_)) => registry.watched(),
                Err(RecvError::Closed) => return,
            },
        };
        for path in awaited {
            let Some(origin) = config.paths.iter().find_map(|source| source.origin(&path)) else { continue };
            if pulled.contains_key(&path) || !registry.is_watched(&path) || registry.is_published(&path) {
                continue;
            }
            if pulled.len() >= config.max {
                warn!(stream = %path, max = config.max, "not pulled: too many are");
                break;
            }
            let (registry, limits, grace) = (registry.clone(), limits.clone(), config.grace);
            let pulls = path.clone();
            let pull = pulling.spawn(async move {
                tokio::select! {
                    () = keep(&origin, &pulls, &registry, &limits, clock) => {}
                    () = unwatched(&registry, &pulls, grace) => info!(stream = %pulls, "let go: nobody watches"),
                }
            });
            pulled.insert(path, pull.id());
        }
    }
}

/// Pulls, again and again, until a publisher of our own has the path.
async fn keep(
    origin: &Origin,
    path: &StreamPath,
    registry: &Registry,
    limits: &watch::Receiver<ingest::Config>,
    clock: Clock,
) {
    let mut back_off = MIN_BACK_OFF;
    while !registry.is_published(path) {
        let (began, limits) = (clock.now(), limits.borrow().clone());
        match ingest::pull(origin, path, registry, &limits, clock).await {
            Err(PullError::Taken(_) | PullError::Ingest(IngestError::Replaced(_))) => {
                return debug!(stream = %path, "let go: it is published here");
            }
            Err(error) => warn!(stream = %path, %origin, %error, "not pulled"),
            Ok(()) => {}
        }
        if clock.now().saturating_duration_since(began) >= SUCCESS {
            back_off = MIN_BACK_OFF;
        }
        sleep(back_off).await;
        back_off = (back_off * 2).min(MAX_BACK_OFF);
    }
}

/// Waits until nobody has watched for `grace`.
async fn unwatched(registry: &Registry, path: &StreamPath, grace: Duration) {
    let mut unwatched = Duration::ZERO;
    while unwatched < grace {
        sleep(LOOK).await;
        unwatched = if registry.is_watched(path) { Duration::ZERO } else { unwatched + LOOK };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, url: &str) -> Result<Source, String> {
        Written { path: path.into(), url: url.into() }.try_into()
    }

    #[test]
    fn a_path_has_the_origin_that_its_pattern_gives_it() {
        let path = StreamPath::new("live", "film").unwrap();
        let origin = |pattern, url| source(pattern, url).unwrap().origin(&path).map(|origin| origin.to_string());
        assert_eq!(origin("live/film", "rtmp://h/a/b").as_deref(), Some("rtmp://h:1935/a/b"));
        assert_eq!(origin("live/*", "rtmp://h/a/*").as_deref(), Some("rtmp://h:1935/a/film"));
        assert_eq!(origin("live/other", "rtmp://h/a/b"), None);
        assert_eq!(origin("lives/*", "rtmp://h/a/*"), None);
    }

    #[test]
    fn what_can_be_no_source_is_refused() {
        for (path, url) in
            [("live/*", "rtmp://h/a/b"), ("live/x", "rtmp://h/a/*"), ("*/x", "rtmp://h/*/x"), ("live/x", "h")]
        {
            assert!(source(path, url).is_err(), "{path} {url}");
        }
    }
}
