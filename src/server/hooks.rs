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
use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::broadcast::{Change, Event};

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
#[serde(untagged)]
pub enum Hook {
    /// A POST to this address, `http://host:port/path`.
    Post(Address),
    /// This program with these arguments.
    Run(Program),
}

/// An address that can be asked in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Program(Vec<String>);

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
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("the request can't be made: {0}")]
    Request(#[from] axum::http::Error),
    #[error("answered with {0}")]
    Answered(StatusCode),
    #[error("ended with {0}")]
    Ended(std::process::ExitStatus),
    #[error("not done in time")]
    TimedOut,
}

impl TryFrom<String> for Address {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let uri: Option<Uri> = text.parse().ok();
        let is_http = uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        is_http.then_some(Self(text)).ok_or("write http://host:port/path, or a program and its arguments as a list")
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl TryFrom<Vec<String>> for Program {
    type Error = &'static str;

    fn try_from(words: Vec<String>) -> Result<Self, &'static str> {
        (!words.is_empty()).then_some(Self(words)).ok_or("a command needs a program")
    }
}

impl From<Program> for Vec<String> {
    fn from(program: Program) -> Self {
        program.0
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
pub async fn run(mut events: Receiver<Event>, config: watch::Receiver<Config>) {
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
        let done = timeout(config.timeout, tell(hook, &event)).await.unwrap_or(Err(Failed::TimedOut));
        let (name, stream) = (event.change.name(), &event.path);
        match done {
            Ok(()) => debug!(hook = name, %stream, "told"),
            Err(error) => warn!(hook = name, %stream, %error, "hook failed"),
        }
    }
}

async fn tell(hook: &Hook, event: &Event) -> Result<(), Failed> {
    let (name, stream) = (event.change.name(), event.path.as_str());
    match hook {
        Hook::Run(Program(words)) => {
            let mut command = Command::new(words.first().map_or("", String::as_str));
            command.args(words.iter().skip(1)).env("HEADWATER_EVENT", name).env("HEADWATER_STREAM", stream);
            command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
            let status = command.status().await?;
            if status.success() { Ok(()) } else { Err(Failed::Ended(status)) }
        }
        Hook::Post(Address(address)) => post(address, &Told { event: name, stream }).await,
    }
}

async fn post(address: &str, told: &Told<'_>) -> Result<(), Failed> {
    let uri: Uri = address.parse().map_err(axum::http::Error::from)?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let socket = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let request = Request::post(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, uri.authority().map_or(host, |authority| authority.as_str()))
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(serde_json::to_vec(told).map_err(io::Error::from)?))?;
    tokio::select! {
        response = sender.send_request(request) => match response?.status() {
            status if status.is_success() => Ok(()),
            status => Err(Failed::Answered(status)),
        },
        Err(error) = connection => Err(error.into()),
    }
}
