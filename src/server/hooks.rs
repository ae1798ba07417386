//! Tells the operator's own programs what happens to streams: one POST or one command for each event, one after the other, in
//! the order in which it happened.
//!
//! Media never waits for them: events wait in a queue that is bounded, and each has so much time. What is beyond is lost, and
//! said to be.
//!
//! ```text
//! POST /hook HTTP/1.1                                  HEADWATER_EVENT=publish HEADWATER_STREAM=live/film command …
//! content-type: application/json
//!
//! {"event": "publish", "stream": "live/film"}
//! ```

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::process::Command;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::client::{Client, NoAnswer};
use crate::broadcast::{Change, Event};
use crate::wire::url::{InvalidUrl, Url};

/// What is told, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// When a path gets its publisher. Default none.
    pub publish: Option<Hook>,
    /// When its publisher is gone, and no other has taken its place. Default none.
    pub unpublish: Option<Hook>,
    /// When a path gets its first viewer, published or not. Default none.
    pub first_viewer: Option<Hook>,
    /// When its last viewer is gone. Default none.
    pub last_viewer: Option<Hook>,
    /// How long one of them may take. Default 5 s: what happens next waits for it.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { publish: None, unpublish: None, first_viewer: None, last_viewer: None, timeout: Duration::from_secs(5) }
    }
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Hook {
    /// A POST to this address.
    Post(Url),
    /// A program and its arguments, at least the program.
    Run(Vec<String>),
}

/// The same in the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "an address, or a program and its arguments as a list")]
enum Written {
    Address(String),
    Words(Vec<String>),
}

/// A hook that can't be.
#[derive(Debug, Error)]
pub enum InvalidHook {
    /// Nothing can be posted there.
    #[error("{0}; or a program and its arguments as a list")]
    Address(#[from] InvalidUrl),
    /// There is nothing to run.
    #[error("an empty list: write a program and its arguments")]
    NoProgram,
}

/// What is posted.
#[derive(Serialize)]
struct Told<'a> {
    event: &'a str,
    stream: &'a str,
}

/// Why a hook came to nothing.
#[derive(Debug, Error)]
enum Failed {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("answered with {0}")]
    Answered(StatusCode),
    #[error("can't be run: {0}")]
    Unrunnable(#[from] io::Error),
    #[error("ended with {0}")]
    Ended(ExitStatus),
    #[error("not done within {0:?}, and killed")]
    Killed(Duration),
}

impl TryFrom<Written> for Hook {
    type Error = InvalidHook;

    fn try_from(written: Written) -> Result<Self, InvalidHook> {
        match written {
            Written::Address(address) => Ok(Self::Post(address.parse()?)),
            Written::Words(words) if words.is_empty() => Err(InvalidHook::NoProgram),
            Written::Words(words) => Ok(Self::Run(words)),
        }
    }
}

impl From<Hook> for Written {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::Post(url) => Self::Address(url.into()),
            Hook::Run(words) => Self::Words(words),
        }
    }
}

impl Config {
    fn of(&self, change: Change) -> Option<&Hook> {
        match change {
            Change::Published => self.publish.as_ref(),
            Change::Unpublished => self.unpublish.as_ref(),
            Change::FirstViewer => self.first_viewer.as_ref(),
            Change::LastViewer => self.last_viewer.as_ref(),
        }
    }
}

/// Tells what happens, as configured at each moment, for ever. Cancel safe.
pub async fn run(mut events: Receiver<Event>, config: watch::Receiver<Config>, client: Client) {
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(lost)) => {
                warn!(lost, "hooks are too slow: events lost");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let config = config.borrow().clone();
        let Some(hook) = config.of(event.change) else { continue };
        let (name, stream) = (event.change.name(), &event.path);
        match tell(hook, &event, &client, config.timeout).await {
            Ok(()) => debug!(hook = name, %stream, "told"),
            Err(error) => warn!(hook = name, %stream, %error, "hook failed"),
        }
    }
}

async fn tell(hook: &Hook, event: &Event, client: &Client, patience: Duration) -> Result<(), Failed> {
    let (name, stream) = (event.change.name(), event.path.as_str());
    match hook {
        Hook::Post(url) => {
            let status = client.post(url, &Told { event: name, stream }, patience).await?.status;
            if status.is_success() { Ok(()) } else { Err(Failed::Answered(status)) }
        }
        Hook::Run(words) => {
            let mut command = Command::new(words.first().map_or("", String::as_str));
            command.args(words.iter().skip(1)).env("HEADWATER_EVENT", name).env("HEADWATER_STREAM", stream);
            command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
            let status = timeout(patience, command.status()).await.map_err(|_| Failed::Killed(patience))??;
            if status.success() { Ok(()) } else { Err(Failed::Ended(status)) }
        }
    }
}
