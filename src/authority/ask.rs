//! A wish, the answer to it, and what comes of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::gate::{Asked, Authority, Visitor};
use super::hook::{Dated, Heard};
use super::policy::{Basis, Denial};
use super::session::{Held, Life, SessionId};
use super::{Action, Secret};

/// What a connection asks for.
#[derive(Debug)]
pub struct Wish<'a> {
    /// What.
    pub action: Action,
    /// Of which stream: `app/name`.
    pub path: &'a str,
    /// By what right.
    pub credential: Option<Secret>,
    /// What a viewer will take, in bytes a second, as far as it is known.
    pub rate: u64,
}

/// An answer that is there or comes. Cancel safe.
#[must_use]
#[derive(Debug)]
pub struct Asking {
    authority: Authority,
    session: SessionId,
    asked: Asked,
    action: Action,
    path: Arc<str>,
    rate: u64,
    credential: Option<Secret>,
    state: State,
}

#[derive(Debug)]
enum State {
    Known(Result<Basis, Denial>),
    Waiting(oneshot::Receiver<Dated>),
    Taken,
}

/// The right to one use of one stream, while it lives.
#[derive(Debug)]
pub struct Grant {
    pub(super) authority: Authority,
    pub(super) session: SessionId,
    pub(super) number: u64,
}

impl Asking {
    pub(super) fn new(
        visitor: &Visitor,
        asked: Asked,
        heard: Heard,
        action: Action,
        path: Arc<str>,
        rate: u64,
        credential: Option<Secret>,
    ) -> Self {
        let state = match heard {
            Heard::Known(answer) => State::Known(answer),
            Heard::Waiting(answer) => State::Waiting(answer),
        };
        Self { authority: visitor.authority.clone(), session: visitor.id, asked, action, path, rate, credential, state }
    }

    fn finish(&mut self, answer: Result<Basis, Denial>) -> Result<Grant, Denial> {
        let basis = answer.inspect_err(|denial| {
            tracing::debug!(action = %self.action, path = %self.path, "refused: {denial}");
        })?;
        let (path, credential) = (Arc::clone(&self.path), self.credential.take());
        let held = Held { action: self.action, path, basis, rate: self.rate, credential, life: Life::default() };
        self.authority.hold(self.session, held, self.asked)
    }
}

impl Future for Asking {
    type Output = Result<Grant, Denial>;

    /// Once it was ready, it never is again.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Known(answer) => Poll::Ready(self.finish(answer)),
            State::Waiting(mut answer) => match Pin::new(&mut answer).poll(cx) {
                Poll::Ready(Ok((answer, at))) => {
                    self.asked.at = at;
                    Poll::Ready(self.finish(answer))
                }
                // Nobody is left who could ask the hook.
                Poll::Ready(Err(_)) => Poll::Ready(self.finish(Err(Denial::Unanswered))),
                Poll::Pending => {
                    self.state = State::Waiting(answer);
                    Poll::Pending
                }
            },
            State::Taken => Poll::Pending,
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.authority.let_go(self.session, self.number);
    }
}
