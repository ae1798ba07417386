//! `StreamLink`: drives a `Session<Streams>` over lanes. It alone keeps the session's contract on this side.
//!
//! # How much may wait below
//!
//! What a transport has taken can't be given up any more without the rest of its lane, so lanes take little more than may be in
//! flight: what congestion control allows, and less while the round trip is longer than the least one and the delay that is
//! accepted in queues. The transport measures all the time; it is asked some times a second.
//!
//! ```text
//!              least round trip + max_additional_delay
//!   window × ──────────────────────────────────────────  (at most 1), at least min_in_flight;  + UNSENT
//!                       round trip now
//! ```
//!
//! A path on which nothing is acknowledged carries nothing either: lanes are then given nothing, as if each of them took no more,
//! but for a try a second.

use std::cmp::Reverse;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use super::arrivals::Arrivals;
use super::timer::Timer;
use super::{LaneError, Measured, RecvLane, SendLane, StreamMux};
use crate::clock::Clock;
use crate::session::link::{CloseReason, Link, LinkError, PathStats};
use crate::session::streams::{LaneInput, LaneTransmit, RecvLaneId, SendLaneId, Streams};
use crate::session::{Config, Event, Flows, Session};
use crate::wire::frame::Fragment;

/// The longest that what is under way when a link is closed is waited for: a peer that does not read is left.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(750);

/// The longest that the goodbye may take after that.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(250);

/// Most bytes that are taken from a lane at once.
const READ: usize = 16 << 10;

/// Most lanes of the peer's that are read at a time. Transports allow fewer streams than this; it bounds the work of looking
/// at all of them, whatever a transport does.
const MAX_RECEIVING: usize = 64;

/// Pieces up to this long are copied: frames of audio.
const COPY_BELOW: usize = 512;

/// Bytes that a transport holds beyond what may be in flight, for it to have something to send while the link is being woken.
const UNSENT: u64 = 16 << 10;

/// No more than this may be in flight: 1 Gbit/s over 130 ms.
const MAX_IN_FLIGHT: u64 = 16 << 20;

/// Nothing is acknowledged for so long, and a round trip: the path is stuck. What is sent meanwhile would come when the path
/// goes on, late and before what is live then. Outlasts the jitter of usual networks and the delay of acknowledgements; if it
/// was only that, what is held goes on as soon as something is acknowledged. Less than over a pipe, whose peer acknowledges only once
/// a window's worth has come.
const STUCK_AFTER: Duration = Duration::from_millis(75);

/// How often something is sent over a path that is stuck, for the peer to acknowledge when it goes on: transports ask by
/// themselves, but more and more seldom.
const TRY_INTERVAL: Duration = Duration::from_secs(1);

/// How often the transport is asked what it has measured.
const MEASURE_INTERVAL: Duration = Duration::from_millis(50);

/// The same, while the path is stuck, something waits for it and nothing new is sent; and then a part of the time that it has been: a
/// second more of a minute is not noticed, and a peer that never acknowledges costs next to nothing.
const STUCK_INTERVAL: Duration = Duration::from_millis(10);
const STUCK_PART: u32 = 64;

/// A session on lanes.
#[derive(Debug)]
pub struct StreamLink<M: StreamMux> {
    session: Session<Streams>,
    mux: M,
    clock: Clock,
    timer: Timer,
    sending: Vec<Sending<M::Send>>,
    receiving: Vec<(RecvLaneId, M::Recv)>,
    arrivals: Arrivals,
    /// How many lanes the peer has opened.
    accepted: u64,
    in_flight: InFlight,
    /// The window that the transport was told last.
    granted: u64,
}

/// A lane of ours that is not finished.
#[derive(Debug)]
struct Sending<S> {
    id: SendLaneId,
    priority: i32,
    /// `None` until the transport opens it.
    lane: Option<S>,
    /// What the lane did not take yet. The session gives no more until it has.
    pending: [Bytes; 2],
    /// The session was told that it takes no more.
    blocked: bool,
}

impl<M: StreamMux> StreamLink<M> {
    /// A link before its first byte.
    pub fn new(mux: M, config: Config, clock: Clock) -> Self {
        let in_flight = InFlight::new(&config);
        Self {
            session: Session::new(config),
            mux,
            clock,
            timer: Timer::default(),
            sending: Vec::new(),
            receiving: Vec::new(),
            arrivals: Arrivals::default(),
            accepted: 0,
            in_flight,
            granted: 0,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, LinkError>> {
        let mut now = self.clock.now();
        self.arrivals.attend(cx);
        let granted = self.session.widest_window();
        if self.granted != granted {
            self.granted = granted;
            self.mux.limit_unread(granted);
        }
        loop {
            self.transmit(cx, now)?;
            if let Some(event) = self.session.poll_event() {
                return Poll::Ready(Ok(event));
            }
            if self.session.accepts_input() && self.arrivals.any() {
                // A peer that sends and sends must not keep others waiting.
                ready!(pin!(consume_budget()).poll(cx));
                let waker = self.arrivals.waker();
                match self.poll_input(&mut Context::from_waker(&waker))? {
                    Poll::Ready(input) => self.give(input, now)?,
                    Poll::Pending => self.arrivals.seen(),
                }
                continue;
            }
            ready!(self.poll_timer(cx));
            now = self.clock.now();
        }
    }

    /// Sends all that may go out and that the lanes take.
    fn transmit(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), LinkError> {
        if self.in_flight.is_stuck() {
            self.measure(now);
        }
        loop {
            while let Some(transmit) = self.session.poll_transmit(now) {
                if self.in_flight.is_due(now) {
                    self.measure(now);
                }
                self.carry_out(cx, transmit, now)?;
            }
            if !self.unblock(cx, now)? {
                return Ok(());
            }
        }
    }

    fn measure(&mut self, now: Instant) {
        self.mux.limit_in_flight(self.in_flight.measured(self.mux.measure(), now));
    }

    fn carry_out(&mut self, cx: &mut Context<'_>, transmit: LaneTransmit, now: Instant) -> Result<(), LinkError> {
        match transmit {
            LaneTransmit::Open { lane: id, priority } => {
                self.sending.push(Sending::new(id, priority));
                self.push(cx, id, now)
            }
            LaneTransmit::Data { lane, fragment } => {
                if let Some(sending) = self.sending.iter_mut().find(|sending| sending.id == lane) {
                    sending.pending = chunks(&fragment);
                    self.push(cx, lane, now)?;
                }
                Ok(())
            }
            LaneTransmit::Finish { lane } => {
                if let Some(index) = self.sending.iter().position(|sending| sending.id == lane)
                    && let Some(mut lane) = self.sending.swap_remove(index).lane
                {
                    lane.finish();
                }
                Ok(())
            }
            LaneTransmit::Reset { lane, code } => {
                if let Some(index) = self.sending.iter().position(|sending| sending.id == lane)
                    && let Some(lane) = self.sending.swap_remove(index).lane
                {
                    lane.reset(code);
                }
                Ok(())
            }
            LaneTransmit::Stop { lane, code } => {
                if let Some(index) = self.receiving.iter().position(|(id, _)| *id == lane) {
                    self.receiving.swap_remove(index).1.stop(code);
                }
                Ok(())
            }
        }
    }

    /// Lets the most urgent one of the blocked lanes go on that can; whether there is one. What the session has for it comes
    /// before what is pending for others.
    fn unblock(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, LinkError> {
        let blocked = self.sending.iter().filter(|sending| sending.blocked);
        let mut blocked: Vec<_> = blocked.map(|sending| (Reverse(sending.priority), sending.id)).collect();
        blocked.sort_unstable();
        for (_, id) in blocked {
            self.push(cx, id, now)?;
            if !self.sending.iter().any(|sending| sending.id == id && sending.blocked) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Opens a lane or writes what is pending for it, as far as the transport takes it, and tells the session when that
    /// begins to be or is no longer all.
    fn push(&mut self, cx: &mut Context<'_>, id: SendLaneId, now: Instant) -> Result<(), LinkError> {
        let Some(index) = self.sending.iter().position(|sending| sending.id == id) else { return Ok(()) };
        let sending = &mut self.sending[index];
        let pending = sending.pending_len();
        let polled = if self.in_flight.is_held(now) { Poll::Pending } else { sending.poll(&mut self.mux, cx) };
        if sending.pending_len() < pending {
            self.in_flight.sent(now);
        }
        match polled {
            Poll::Ready(Ok(())) if sending.blocked => {
                sending.blocked = false;
                self.give(LaneInput::Writable { lane: id }, now)?;
            }
            Poll::Ready(Ok(())) => {}
            // It lasts as long as the session.
            Poll::Ready(Err(LaneError::GivenUp)) if id == CONTROL => return Err(LinkError::Closed),
            Poll::Ready(Err(LaneError::GivenUp)) => {
                self.sending.swap_remove(index);
                self.give(LaneInput::Stopped { lane: id }, now)?;
            }
            Poll::Ready(Err(LaneError::Lost(error))) => return Err(error.into()),
            Poll::Pending if sending.blocked => {}
            Poll::Pending => {
                sending.blocked = true;
                self.give(LaneInput::Blocked { lane: id }, now)?;
            }
        }
        Ok(())
    }

    /// What comes next from the peer.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<LaneInput, LinkError>> {
        while self.receiving.len() < MAX_RECEIVING
            && let Poll::Ready(lane) = self.mux.poll_accept(cx)?
        {
            self.receiving.push((RecvLaneId(self.accepted), lane));
            self.accepted += 1;
        }
        for index in 0..self.receiving.len() {
            let (lane, receiving) = &mut self.receiving[index];
            let lane = *lane;
            let Poll::Ready(read) = receiving.poll_read(cx, READ) else { continue };
            let input = match read {
                Ok(Some(data)) => return Poll::Ready(Ok(LaneInput::Received { lane, data })),
                Ok(None) => LaneInput::Finished { lane },
                Err(LaneError::GivenUp) => LaneInput::Reset { lane },
                Err(LaneError::Lost(error)) => return Poll::Ready(Err(error.into())),
            };
            self.receiving.swap_remove(index);
            return Poll::Ready(Ok(input));
        }
        Poll::Pending
    }

    fn give(&mut self, input: LaneInput, now: Instant) -> Result<(), LinkError> {
        self.session.handle_input(now, input).map_err(|misbehaved| LinkError::Misbehaved(misbehaved.to_string()))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.session.poll_timeout().map(|(at, _reason)| at);
        let goes_on = self.in_flight.poll_timeout().filter(|_| self.sending.iter().any(|sending| sending.blocked));
        ready!(self.timer.poll(cx, timeout.into_iter().chain(goes_on).min()));
        self.session.handle_timeout(self.clock.now());
        Poll::Ready(())
    }

    /// Sends what may go out and waits until the peer has it. The control lane stays open, since its end would be the
    /// session's, and the reason comes after it.
    async fn settle(&mut self) -> Result<(), LinkError> {
        let now = self.clock.now();
        // Nothing live comes behind it that it could hold up.
        self.in_flight.let_go();
        poll_fn(|cx| Poll::Ready(self.transmit(cx, now))).await?;
        for sending in &mut self.sending {
            if let (false, true, Some(lane)) = (sending.blocked, sending.id != CONTROL, &mut sending.lane) {
                lane.finish();
                poll_fn(|cx| lane.poll_settled(cx)).await;
            }
        }
        Ok(())
    }
}

/// The first lane that a session opens, which lasts as long as the session.
const CONTROL: SendLaneId = SendLaneId(0);

impl<S: SendLane> Sending<S> {
    fn new(id: SendLaneId, priority: i32) -> Self {
        Self { id, priority, lane: None, pending: [Bytes::new(), Bytes::new()], blocked: false }
    }

    fn pending_len(&self) -> usize {
        self.pending.iter().map(Bytes::len).sum()
    }

    /// Opens the lane and writes what is pending; ready when both is done.
    fn poll<M: StreamMux<Send = S>>(&mut self, mux: &mut M, cx: &mut Context<'_>) -> Poll<Result<(), LaneError>> {
        let lane = match &mut self.lane {
            Some(lane) => lane,
            None => {
                let mut lane = ready!(mux.poll_open(cx))?;
                lane.set_priority(self.priority);
                self.lane.insert(lane)
            }
        };
        lane.poll_write(cx, &mut self.pending)
    }
}

/// The head is a few bytes of its own; the body is shared, unless a copy costs less than to keep two pieces.
fn chunks(fragment: &Fragment) -> [Bytes; 2] {
    if fragment.len() <= COPY_BELOW {
        return [fragment.to_bytes(), Bytes::new()];
    }
    [Bytes::copy_from_slice(fragment.head()), fragment.body().clone()]
}

/// How much may be in flight.
#[derive(Debug)]
struct InFlight {
    min: u64,
    max_additional_delay: Duration,
    stats: PathStats,
    /// How many acknowledgements had come when it was measured last, and when something was written after that.
    acks: u64,
    waiting_since: Option<Instant>,
    /// When to send something nevertheless: the path is stuck.
    try_at: Option<Instant>,
    /// When to ask again.
    due: Option<Instant>,
}

impl InFlight {
    fn new(config: &Config) -> Self {
        let stats = PathStats { limit: config.initial_in_flight, ..PathStats::default() };
        Self {
            min: config.min_in_flight,
            max_additional_delay: config.max_additional_delay,
            stats,
            acks: 0,
            waiting_since: None,
            try_at: None,
            due: None,
        }
    }

    /// Notes that the transport has taken something.
    fn sent(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
        if let Some(try_at) = &mut self.try_at {
            *try_at = now + TRY_INTERVAL;
        }
    }

    fn is_stuck(&self) -> bool {
        self.try_at.is_some()
    }

    /// Whether nothing is to be sent.
    fn is_held(&self, now: Instant) -> bool {
        self.try_at.is_some_and(|at| now < at)
    }

    /// Lets everything go out.
    fn let_go(&mut self) {
        self.waiting_since = None;
        self.try_at = None;
    }

    /// When to ask again even if there is nothing new to send.
    fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| self.is_stuck())
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    /// Takes in what the transport has measured; gives what it may hold.
    fn measured(&mut self, measured: Measured, now: Instant) -> u64 {
        let Measured { rtt, least_rtt, congestion_window, acks } = measured;
        let allowed = least_rtt + self.max_additional_delay;
        let limit = if rtt <= allowed {
            congestion_window
        } else {
            // Both factors are far below 2^53: bytes of a few round trips, and a ratio of durations.
            (congestion_window as f64 * allowed.as_secs_f64() / rtt.as_secs_f64()) as u64
        };
        self.stats.rtt = Some(rtt);
        self.stats.limit = limit.clamp(self.min.min(MAX_IN_FLIGHT), MAX_IN_FLIGHT);
        if std::mem::replace(&mut self.acks, acks) != acks {
            self.waiting_since = None;
        }
        let stuck_at = self.waiting_since.map(|since| since + STUCK_AFTER + rtt);
        if let Some(stuck_for) = stuck_at.and_then(|at| now.checked_duration_since(at)) {
            self.try_at.get_or_insert(now + TRY_INTERVAL);
            self.due = Some(now + STUCK_INTERVAL.max(stuck_for / STUCK_PART));
        } else {
            self.try_at = None;
            self.due = stuck_at.into_iter().chain([now + MEASURE_INTERVAL]).min();
        }
        self.stats.limit + UNSENT
    }
}

impl<M: StreamMux> Link for StreamLink<M> {
    fn next(&mut self) -> impl Future<Output = Result<Event, LinkError>> + Send {
        poll_fn(|cx| self.poll_next(cx))
    }

    fn flows(&mut self) -> &mut Flows {
        self.session.flows()
    }

    fn path(&self) -> PathStats {
        self.in_flight.stats
    }

    async fn close(mut self, reason: CloseReason) {
        // A peer that fails or does not read during the goodbye is gone all the same.
        let _ = timeout(SETTLE_TIMEOUT, self.settle()).await;
        let _ = timeout(GOODBYE_TIMEOUT, poll_fn(|cx| self.mux.poll_close(cx, reason))).await;
    }
}
