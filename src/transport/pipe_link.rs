//! `PipeLink`: drives a session over a pipe of messages: a `Session<Pipe>`, or a `Session<Tlv>`. It alone keeps the session's contract on this side.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::MessagePipe;
use super::timer::Timer;
use crate::clock::Clock;
use crate::session::link::{CloseReason, Link, LinkError, PathStats};
use crate::session::wire::Wire;
use crate::session::{Config, Event, Flows, Pipe, Session};
use crate::wire::frame::Fragment;

/// The longest that a goodbye may take: a peer that does not read is left.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A session on a pipe of messages.
#[derive(Debug)]
pub struct PipeLink<P, W = Pipe> {
    session: Session<W>,
    pipe: P,
    clock: Clock,
    timer: Timer,
}

impl<P: MessagePipe> PipeLink<P> {
    /// A link before its first byte.
    pub fn new(pipe: P, config: Config, clock: Clock) -> Self {
        Self::with(Session::new(config), pipe, clock)
    }
}

impl<P: MessagePipe, W: Wire<Input = Bytes, Transmit = Fragment>> PipeLink<P, W> {
    /// A link for a session before its first byte.
    pub fn with(session: Session<W>, pipe: P, clock: Clock) -> Self {
        Self { session, pipe, clock, timer: Timer::default() }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, LinkError>> {
        let now = self.clock.now();
        loop {
            self.transmit(cx, now)?;
            if let Some(event) = self.session.poll_event() {
                return Poll::Ready(Ok(event));
            }
            if self.session.accepts_input()
                && let Poll::Ready(input) = self.pipe.poll_recv(cx)?
            {
                let Some(input) = input else { return Poll::Ready(Err(LinkError::Closed)) };
                if let Err(fault) = self.session.handle_input(now, input) {
                    return Poll::Ready(Err(LinkError::Misbehaved(fault.to_string())));
                }
                continue;
            }
            if self.pipe.poll_liveness(cx, now.into())?.is_ready() {
                continue;
            }
            ready!(self.poll_timer(cx));
        }
    }

    /// Sends all that may go out and that the socket takes.
    fn transmit(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), LinkError> {
        let mut more = true;
        while self.pipe.poll_flush(cx)?.is_ready() && more {
            more = self.gather(now);
        }
        Ok(())
    }

    /// Moves one write's worth from the session to the pipe; whether there may be more.
    fn gather(&mut self, now: Instant) -> bool {
        while self.pipe.has_room() {
            let Some(message) = self.session.poll_transmit(now) else { return false };
            self.pipe.start_send(message);
        }
        true
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.timer.poll(cx, self.session.poll_timeout().map(|(at, _reason)| at)));
        self.session.handle_timeout(self.clock.now());
        Poll::Ready(())
    }

    /// Sends what may go out, says goodbye and waits for the peer's.
    async fn shut(&mut self, reason: CloseReason) -> Result<(), LinkError> {
        poll_fn(|cx| self.pipe.poll_flush(cx)).await?;
        self.gather(self.clock.now());
        self.pipe.start_close(reason);
        poll_fn(|cx| self.pipe.poll_shutdown(cx)).await?;
        // A socket dropped with unread bytes is reset, which can overtake the goodbye.
        while poll_fn(|cx| self.pipe.poll_recv(cx)).await?.is_some() {}
        Ok(())
    }
}

impl<P: MessagePipe, W: Wire<Input = Bytes, Transmit = Fragment> + Send> Link for PipeLink<P, W> {
    fn next(&mut self) -> impl Future<Output = Result<Event, LinkError>> + Send {
        poll_fn(|cx| self.poll_next(cx))
    }

    fn flows(&mut self) -> &mut Flows {
        self.session.flows()
    }

    fn path(&self) -> PathStats {
        self.session.path()
    }

    async fn close(mut self, reason: CloseReason) {
        // A peer that fails or does not read during the goodbye is gone all the same.
        let _ = timeout(CLOSE_TIMEOUT, self.shut(reason)).await;
    }
}
