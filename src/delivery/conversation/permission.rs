//! What a client wants of a stream, until it is granted or denied. The answer may take a while: others go on meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::Conversation;
use crate::authority::{Action, Asking, Denial, Grant, Secret, Wish};
use crate::broadcast::StreamPath;
use crate::delivery::error::Over;
use crate::delivery::play::Request;
use crate::session::Flows;
use crate::wire::amf0::Value;
use crate::wire::query;
use crate::wire::tc::{Info, Status, StreamId, UserControl};

/// What a credential is called, wherever a client may name it.
pub(super) const TOKEN: &str = "token";

/// How often a client may ask for what it is denied. Stops guesses that cost no connection each.
const MAX_DENIALS: u32 = 3;

/// Somebody who waits for an answer.
#[derive(Debug)]
pub(super) struct Waiting {
    asking: Asking,
    pub(super) wanted: Wanted,
}

/// For what.
#[derive(Debug)]
pub(super) enum Wanted {
    Play(Request),
    Publish {
        path: StreamPath,
        /// Its name in the client's words.
        name: String,
    },
}

impl Conversation<'_> {
    /// What any stream's client is answered, or the task is woken when there is an answer.
    pub(in crate::delivery) fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(StreamId, Result<Grant, Denial>)> {
        for (&id, waiting) in &mut self.waiting {
            if let Poll::Ready(answer) = Pin::new(&mut waiting.asking).poll(context) {
                return Poll::Ready((id, answer));
            }
        }
        Poll::Pending
    }

    /// Takes in what a stream's client is answered.
    ///
    /// # Errors
    /// [`Over`]: close the link.
    pub(in crate::delivery) fn handle_answer(
        &mut self,
        flows: &mut Flows,
        id: StreamId,
        answer: Result<Grant, Denial>,
        now: Instant,
    ) -> Result<(), Over> {
        let Some(waiting) = self.waiting.remove(&id) else { return Ok(()) };
        match (answer, waiting.wanted) {
            (Ok(grant), Wanted::Play(request)) => {
                let (Some(stream), Some(control)) = (self.streams.get_mut(&id), &self.control) else { return Ok(()) };
                control.write(flows, UserControl::StreamBegin(id).encode())?;
                stream.play(flows, self.registry, self.config, request, grant, now)
            }
            (Ok(grant), Wanted::Publish { path, name }) => self.begin_publishing(flows, id, &path, &name, grant, now),
            (Err(denial), wanted) => self.deny(flows, id, &denial, &wanted, now),
        }
    }

    fn deny(
        &mut self,
        flows: &mut Flows,
        id: StreamId,
        denial: &Denial,
        wanted: &Wanted,
        now: Instant,
    ) -> Result<(), Over> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let (status, name) = match wanted {
            Wanted::Play(request) => {
                stream.stop(flows, now);
                (Status::PlayFailed, &request.name)
            }
            Wanted::Publish { name, .. } => (Status::PublishRejected, name),
        };
        let mut info = Info::new(status, &denial.told()).with("detail", name.as_str());
        if let Some(after) = denial.retry_after() {
            info = info.with("retryAfter", after.as_secs_f64());
        }
        stream.notify(flows, info)?;
        self.denials += 1;
        match denial.retry_after() {
            Some(_) => Err(Over::NoRoom),
            None if self.denials >= MAX_DENIALS => Err(Over::NotAllowed),
            None => Ok(()),
        }
    }

    /// Asks whether this may be; the answer comes with [`Conversation::poll_answer`].
    pub(super) fn ask(
        &mut self,
        id: StreamId,
        action: Action,
        path: &StreamPath,
        credential: Option<Secret>,
        wanted: Wanted,
        now: Instant,
    ) {
        let credential = credential.or_else(|| self.control.as_ref()?.credential.clone());
        let rate = match action {
            Action::Publish => 0,
            Action::View => self.registry.bits_per_second(path, now) / 8,
        };
        let wish = Wish { action, path: path.as_str(), credential, rate };
        let asking = self.visitor.ask(wish, self.clock.wall());
        self.waiting.insert(id, Box::new(Waiting { asking, wanted }));
    }
}

/// What a `connect` brings: its `token`, else that of its address.
pub(super) fn credential(connect: &Value) -> Option<Secret> {
    let text = |key| connect.get(key).and_then(Value::as_str);
    let of_address = |key| query::value(query::split(text(key)?).1, TOKEN);
    let token = text(TOKEN).map(Into::into).or_else(|| of_address("app")).or_else(|| of_address("tcUrl"))?;
    Secret::brought(&token)
}
