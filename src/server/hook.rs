//! Asks the authority's hook: one POST for each question, the answer being its status.
//!
//! ```text
//! POST /may HTTP/1.1                                   200, 204  yes
//! content-type: application/json                       401, 403  no
//!                                                      else      no answer, which refuses
//! {"action": "view", "path": "live/film",
//!  "address": "192.0.2.7", "token": "…"}               200 {"expires_in": 3600} ends what was granted after an hour
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::authority::{Action, Authority, Question, Verdict};
use crate::clock::Clock;

/// Questions asked at once: a hook is a small server, and a crowd of viewers must not be its end.
const MAX_AT_ONCE: usize = 32;

/// Longest answer that is read.
const MAX_ANSWER: usize = 4096;

/// What the hook is sent.
#[derive(Serialize)]
struct Asked<'a> {
    action: Action,
    path: &'a str,
    address: String,
    token: Option<&'a str>,
}

/// What it may answer with.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered {
    /// Seconds.
    expires_in: Option<u64>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
enum NoAnswer {
    #[error("authority.hook.url is no http://host:port/path")]
    Address,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("an answer that can't be understood: {0}")]
    Answer(String),
}

/// Asks for ever. Cancel safe.
pub async fn ask(authority: Authority, mut questions: mpsc::Receiver<Question>, clock: Clock) {
    let at_once = Arc::new(Semaphore::new(MAX_AT_ONCE));
    let mut asking = JoinSet::new();
    while let Some(question) = questions.recv().await {
        while asking.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else { return };
        let authority = authority.clone();
        asking.spawn(async move {
            let verdict = verdict(&authority, &question).await;
            authority.answer(&question, verdict, clock.wall());
            drop(permit);
        });
    }
}

async fn verdict(authority: &Authority, question: &Question) -> Verdict {
    let (url, patience) = authority.hook();
    let Some(url) = url else { return Verdict::Unanswered };
    match timeout(patience, post(&url, question)).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => {
            warn!(%error, "the hook does not answer");
            Verdict::Unanswered
        }
        Err(_) => {
            warn!(?patience, "the hook does not answer in time");
            Verdict::Unanswered
        }
    }
}

async fn post(url: &str, question: &Question) -> Result<Verdict, NoAnswer> {
    let uri: Uri = url.parse().map_err(|_| NoAnswer::Address)?;
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else { return Err(NoAnswer::Address) };
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let (mut sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    let asked = Asked {
        action: question.action,
        path: &question.path,
        address: question.address.to_string(),
        token: question.credential.as_ref().map(|credential| credential.reveal()),
    };
    let body = serde_json::to_vec(&asked).map_err(|error| NoAnswer::Answer(error.to_string()))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    let request = Request::post(path)
        .header(HOST, authority)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(|_| NoAnswer::Address)?;
    let answering = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = to_bytes(Body::new(response.into_body()), MAX_ANSWER).await;
        read(status, &body.map_err(|error| NoAnswer::Answer(error.to_string()))?)
    };
    tokio::select! {
        answer = answering => answer,
        Err(error) = connection => Err(error.into()),
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Verdict, NoAnswer> {
    match status {
        StatusCode::OK | StatusCode::NO_CONTENT => {
            let answered: Answered = match body {
                [] => Answered::default(),
                body => serde_json::from_slice(body).map_err(|error| NoAnswer::Answer(error.to_string()))?,
            };
            Ok(Verdict::Allowed { lifetime: answered.expires_in.map(Duration::from_secs) })
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            debug!(%status, "the hook refuses");
            Ok(Verdict::Refused)
        }
        other => Err(NoAnswer::Answer(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        let hour = Some(Duration::from_secs(3600));
        for (status, body, expected) in [
            (200, "", Some(Verdict::Allowed { lifetime: None })),
            (204, "", Some(Verdict::Allowed { lifetime: None })),
            (200, r#"{"expires_in": 3600, "more": 1}"#, Some(Verdict::Allowed { lifetime: hour })),
            (200, "<html>", None),
            (200, r#"{"expires_in": -1}"#, None),
            (401, "", Some(Verdict::Refused)),
            (403, "no", Some(Verdict::Refused)),
            (404, "", None),
            (500, "", None),
            (302, "", None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(read(status, body.as_bytes()).ok(), expected, "{status} {body}");
        }
    }
}
