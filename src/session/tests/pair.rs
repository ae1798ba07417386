//! `Pair`: two sessions and the link between them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::session::{Config, Event, PeerMisbehaved, Pipe, Session};

/// Two sessions, each with a link to the other.
pub(super) struct Pair {
    start: Instant,
    pub(super) now: Instant,
    pub(super) left: Side,
    pub(super) right: Side,
}

/// One session, what leads away from it, and a record of its life. Times are since the start.
pub(super) struct Side {
    pub(super) session: Session<Pipe>,
    pub(super) link: SimLink,
    /// Room to accept the peer's flows with; `None` leaves them unanswered.
    pub(super) accepts: Option<u64>,
    pub(super) events: Vec<(Duration, Event)>,
    pub(super) sent: Vec<(Duration, Bytes)>,
}

/// A line with a rate, a delay and, before it, a buffer in the kernel that is shallow but can't be taken back.
pub(super) struct SimLink {
    pub(super) delay: Duration,
    /// Bytes a second; `None` without limit.
    pub(super) rate: Option<u64>,
    pub(super) buffer: usize,
    idle_from: Instant,
    /// When each leaves the buffer, when it arrives, and what it is.
    on_the_way: VecDeque<(Instant, Instant, Bytes)>,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self::with_config(&Config::default())
    }

    pub(super) fn with_config(config: &Config) -> Self {
        let start = Instant::now();
        Self { start, now: start, left: Side::new(config.clone(), start), right: Side::new(config.clone(), start) }
    }

    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Lets everything happen that happens without time passing, links' delays apart.
    pub(super) fn settle(&mut self) {
        self.run_for(Duration::ZERO);
    }

    /// Lets `time` pass.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.exchange();
            let next = [self.left.next_time(self.now), self.right.next_time(self.now)].into_iter().flatten().min();
            match next {
                Some(next) if next <= end => self.now = next,
                _ => break,
            }
        }
        self.now = end;
        self.exchange();
    }

    fn exchange(&mut self) {
        let elapsed = self.now - self.start;
        loop {
            self.left.transmit(self.now, elapsed);
            self.right.transmit(self.now, elapsed);
            let moved = self.right.receive(&mut self.left.link, self.now, elapsed)
                | self.left.receive(&mut self.right.link, self.now, elapsed);
            if !moved {
                break;
            }
        }
    }
}

impl Side {
    fn new(config: Config, start: Instant) -> Self {
        let link = SimLink {
            delay: Duration::ZERO,
            rate: None,
            buffer: 16 << 10,
            idle_from: start,
            on_the_way: VecDeque::new(),
        };
        Self { session: Session::new(config), link, accepts: Some(1 << 20), events: Vec::new(), sent: Vec::new() }
    }

    /// The messages that have come, in order.
    pub(super) fn messages(&self) -> Vec<Bytes> {
        self.events.iter().filter_map(|(_, event)| message_of(event)).collect()
    }

    /// Hands bytes to the session as if they had come from the peer.
    pub(super) fn input(&mut self, now: Instant, bytes: Bytes) -> Result<(), PeerMisbehaved> {
        let result = self.session.handle_input(now, bytes);
        self.take_events(Duration::ZERO);
        result
    }

    /// Everything the session would send, whatever the link.
    pub(super) fn output(&mut self, now: Instant) -> Vec<Bytes> {
        std::iter::from_fn(|| self.session.poll_transmit(now)).map(|fragment| fragment.to_bytes()).collect()
    }

    fn transmit(&mut self, now: Instant, elapsed: Duration) {
        while self.link.has_room(now)
            && let Some(fragment) = self.session.poll_transmit(now)
        {
            let bytes = fragment.to_bytes();
            self.sent.push((elapsed, bytes.clone()));
            self.link.push(now, bytes);
        }
    }

    fn receive(&mut self, link: &mut SimLink, now: Instant, elapsed: Duration) -> bool {
        let mut moved = false;
        while self.session.accepts_input()
            && let Some(bytes) = link.pop(now)
        {
            moved = true;
            self.session.handle_input(now, bytes).expect("both sides behave");
            self.take_events(elapsed);
        }
        if self.session.poll_timeout().is_some_and(|(at, _)| at <= now) {
            moved = true;
            self.session.handle_timeout(now);
        }
        moved
    }

    fn take_events(&mut self, elapsed: Duration) {
        while let Some(event) = self.session.poll_event() {
            if let (Event::Opened { flow, .. }, Some(window)) = (&event, self.accepts) {
                self.session.flows().accept(*flow, window);
            }
            self.events.push((elapsed, event));
        }
    }

    fn next_time(&self, now: Instant) -> Option<Instant> {
        let timer = self.session.poll_timeout().map(|(at, _)| at);
        [timer, self.link.next_time(now)].into_iter().flatten().filter(|at| *at > now).min()
    }
}

impl SimLink {
    /// Nothing moves for `time`.
    pub(super) fn stall(&mut self, now: Instant, time: Duration) {
        self.idle_from = self.idle_from.max(now) + time;
        for (leaves, arrives, _) in &mut self.on_the_way {
            *leaves += time;
            *arrives += time;
        }
    }

    fn has_room(&self, now: Instant) -> bool {
        let waiting = self.on_the_way.iter().filter(|(leaves, ..)| *leaves > now);
        waiting.map(|(.., bytes)| bytes.len()).sum::<usize>() < self.buffer
    }

    fn push(&mut self, now: Instant, bytes: Bytes) {
        let takes = self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes.len() as f64 / rate as f64));
        self.idle_from = self.idle_from.max(now) + takes;
        self.on_the_way.push_back((self.idle_from, self.idle_from + self.delay, bytes));
    }

    fn pop(&mut self, now: Instant) -> Option<Bytes> {
        self.on_the_way.pop_front_if(|(_, arrives, _)| *arrives <= now).map(|(.., bytes)| bytes)
    }

    fn next_time(&self, now: Instant) -> Option<Instant> {
        self.on_the_way.iter().flat_map(|(leaves, arrives, _)| [*leaves, *arrives]).filter(|at| *at > now).min()
    }
}

pub(super) fn message_of(event: &Event) -> Option<Bytes> {
    match event {
        Event::Message { payload, .. } => Some(payload.clone()),
        Event::Opened { .. } | Event::Gap { .. } | Event::Closed { .. } | Event::Rejected { .. } | Event::Room => None,
    }
}
