//! Asks the authority's hook: one POST for each question, the answer being its status.
//!
//! ```text
//! POST /may HTTP/1.1                                   200, 204  yes
//! content-type: application/json                       401, 403  no
//!                                                      else      no answer, which refuses
//! {"action": "view", "path": "live/film",
//!  "address": "192.0.2.7", "token": "…"}               200 {"expires_in": 3600} ends what was granted after an hour
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::client::{Answer, Client, NoAnswer};
use crate::authority::{Action, Authority, Question, Verdict};
use crate::clock::Clock;

/// Questions asked at once: a hook is a small server, and a crowd of viewers must not be its end.
const MAX_AT_ONCE: usize = 32;

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

/// Why there is no verdict.
#[derive(Debug, Error)]
enum Unclear {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("it answers with {0}, which is neither 200, 204, 401 nor 403")]
    Status(StatusCode),
    #[error("its answer is too long, or was broken off")]
    Body,
    #[error("its answer is not {{\"expires_in\": seconds}}")]
    Json,
}

/// Asks for ever. Cancel safe.
pub async fn ask(authority: Authority, mut questions: mpsc::Receiver<Question>, client: Client, clock: Clock) {
    let at_once = Arc::new(Semaphore::new(MAX_AT_ONCE));
    let mut asking = JoinSet::new();
    while let Some(question) = questions.recv().await {
        while asking.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else { return };
        let client = client.clone();
        let mut open = Open { authority: authority.clone(), question, verdict: Verdict::Unanswered, clock };
        asking.spawn(async move {
            open.verdict = verdict(&open.authority, &client, &open.question).await;
            drop((open, permit));
        });
    }
}

/// A question that is answered when this is dropped: nobody waits for ever for one whose task has broken off.
struct Open {
    authority: Authority,
    question: Question,
    verdict: Verdict,
    clock: Clock,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.authority.answer(&self.question, self.verdict, self.clock.wall());
    }
}

async fn verdict(authority: &Authority, client: &Client, question: &Question) -> Verdict {
    let (url, patience) = authority.hook();
    let Some(url) = url else { return Verdict::Unanswered };
    let asked = Asked {
        action: question.action,
        path: &question.path,
        address: question.address.to_string(),
        token: question.credential.as_ref().map(|credential| credential.reveal()),
    };
    let answer = client.post(&url, &asked, patience).await.map_err(Unclear::from);
    answer.and_then(read).unwrap_or_else(|error| {
        warn!(%error, "authority.hook does not answer");
        Verdict::Unanswered
    })
}

fn read(answer: Answer) -> Result<Verdict, Unclear> {
    match answer.status {
        StatusCode::OK | StatusCode::NO_CONTENT => {
            let body = answer.body.ok_or(Unclear::Body)?;
            let answered: Answered = match &*body {
                [] => Answered::default(),
                body => serde_json::from_slice(body).map_err(|_| Unclear::Json)?,
            };
            Ok(Verdict::Allowed { lifetime: answered.expires_in.map(Duration::from_secs) })
        }
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            debug!(%status, "the hook refuses");
            Ok(Verdict::Refused)
        }
        status => Err(Unclear::Status(status)),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::authority::{self, Denial, Entrance, Hook, Limits, Rule, Wish};

    #[tokio::test]
    async fn a_question_whose_task_breaks_off_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = authority::Config {
            view: Rule::Closed,
            hook: Hook { url: format!("http://{address}/").parse().ok(), ..Hook::default() },
            ..authority::Config::default()
        };
        let authority = Authority::new(&config, Limits::default()).unwrap();
        let (visitor, _leash) = authority.visit(address, Entrance::Quic, None, Clock.wall());
        let questions = authority.questions().unwrap();
        let asks = tokio::spawn(ask(authority, questions, Client::default(), Clock));
        let wish = Wish { action: Action::View, path: "live/film", credential: None, rate: 0 };
        let asking = visitor.ask(wish, Clock.wall());
        let _under_way = listener.accept().await.unwrap();
        asks.abort();
        let answer = timeout(Duration::from_secs(30), asking).await.unwrap();
        assert_eq!(answer.unwrap_err(), Denial::Unanswered);
    }

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
            let answer = Answer { status, body: Some(Bytes::from(body)) };
            assert_eq!(read(answer).ok(), expected, "{status} {body}");
        }
        assert!(read(Answer { status: StatusCode::OK, body: None }).is_err());
    }
}
