//! One client, start to finish: the TC conversation and the frames it leads to, out to a viewer or in from a publisher.
//! Knows no transport.
//!
//! One task, one loop: what the viewer does, what happens to the stream it watches, and the one timer. The stream is read
//! only while little is queued for the viewer, so that what can't be sent yet stays shared, and is skipped together.
//!
//! Invariant: no callbacks, channels, locks or tasks.

mod config;
mod conversation;
mod error;
mod formats;
mod measure;
mod meter;
mod outlet;
mod play;
mod policy;
mod publish;
mod query;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::select;
use tokio::task::yield_now;
use tracing::{Span, field};

pub use self::config::{Config, TargetDelay};
use self::conversation::Conversation;
pub use self::formats::Format;
pub use self::meter::{Meter, Metrics, Snapshot};
use crate::authority::{Authority, Denial, Entrance, Grant, Visitor};
use crate::broadcast::{Item, Registry};
use crate::clock::Clock;
use crate::session::Event;
use crate::session::link::{Link, LinkError};
use crate::wire::tc::StreamId;

enum Step {
    Event(Event),
    Item(StreamId, Item),
    Answer(StreamId, Result<Grant, Denial>),
    Timeout,
}

/// Serves one viewer, who may do everything, until it leaves; what it plays as `raw` unless it asks for something else.
///
/// # Errors
/// [`LinkError`] when the connection failed or the peer broke the protocol.
pub async fn serve<L: Link>(link: L, registry: &Registry, config: &Config, clock: Clock) -> Result<(), LinkError> {
    let nowhere = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
    let (visitor, _leash) = Authority::default().visit(nowhere, Entrance::RtWebSocket, None, clock.wall());
    let mut meter = Metrics::default().viewer(visitor.id(), "unknown");
    serve_as(link, Format::Raw, registry, config, clock, &visitor, &mut meter).await
}

/// Serves one viewer until it leaves, what it plays as `format` unless it asks for something else, and only what `visitor` is
/// granted. What the meter has not been told when this ends is still with the link.
///
/// Fills in the field `stream` of the current span.
///
/// # Errors
/// [`LinkError`] when the connection failed or the peer broke the protocol.
pub async fn serve_as<L: Link>(
    mut link: L,
    format: Format,
    registry: &Registry,
    config: &Config,
    clock: Clock,
    visitor: &Visitor,
    meter: &mut Meter,
) -> Result<(), LinkError> {
    // A bound of nothing would be never to send anything.
    let bound = usize::try_from(config.queue_bytes.as_u64()).unwrap_or(usize::MAX).max(1);
    let mut conversation = Conversation::new(registry, config, format, clock, visitor);
    let mut now = clock.now();
    loop {
        let room = link.flows().queued() < bound;
        if !room {
            // The event wakes this loop, which then looks again.
            link.flows().tell_room(bound);
        }
        let timeout = conversation.poll_timeout();
        if timeout.is_some_and(|at| at <= now) {
            // More is to be done at once, and others have their turn before it.
            yield_now().await;
        }
        // Whatever is ready is queued before the link is asked to send, for it to go out in one write.
        let step = select! {
            biased;
            step = poll_fn(|context| poll_own(&mut conversation, context, room)) => step,
            event = link.next() => match event {
                Ok(event) => Step::Event(event),
                Err(LinkError::Closed) => return Ok(()),
                Err(error) => return Err(error),
            },
            () = clock.reach(timeout) => Step::Timeout,
        };
        now = clock.now();
        let may_play_another = matches!(step, Step::Event(Event::Message { .. }) | Step::Answer(..));
        let flows = link.flows();
        let outcome = match step {
            Step::Event(event) => conversation.handle_event(flows, event, now),
            Step::Answer(stream, answer) => conversation.handle_answer(flows, stream, answer, now),
            Step::Timeout => conversation.handle_timeout(flows, now),
            Step::Item(stream, item) => {
                let mut next = Some((stream, item));
                let mut outcome = Ok(());
                while let (Ok(()), Some((stream, item))) = (&outcome, next) {
                    outcome = conversation.handle_item(flows, stream, item, now);
                    next = if flows.queued() < bound { conversation.try_next_item() } else { None };
                }
                outcome
            }
        };
        if may_play_another && meter.plays(conversation.plays()) {
            Span::current().record("stream", conversation.plays().map(field::display));
        }
        if meter.is_due(now) {
            let tally = link.flows().take_tally();
            visitor.spend(tally.bytes);
            meter.report(&tally, link.path(), now);
        }
        if let Err(over) = outcome {
            link.close(over.close_reason()).await;
            return over.into_result();
        }
    }
}

/// What comes from this side: answers, and the stream as long as there is room for it.
fn poll_own(conversation: &mut Conversation<'_>, context: &mut Context<'_>, room: bool) -> Poll<Step> {
    if let Poll::Ready((stream, answer)) = conversation.poll_answer(context) {
        return Poll::Ready(Step::Answer(stream, answer));
    }
    match room {
        true => conversation.poll_item(context).map(|(stream, item)| Step::Item(stream, item)),
        false => Poll::Pending,
    }
}
