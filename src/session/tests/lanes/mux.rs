//! `Pair`: two sessions and the streams between them, over a line with a rate, a delay and jitter.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::session::streams::{LaneInput, LaneTransmit, RecvLaneId, SendLaneId};
use crate::session::{Config, Event, Session, Streams};

/// Bytes of a lane that share a fate.
pub(super) const PACKET: usize = 1200;

/// Two sessions, each with a line to the other.
pub(super) struct Pair {
    start: Instant,
    pub(super) now: Instant,
    pub(super) left: Side,
    pub(super) right: Side,
}

/// One session, what leads away from it, and a record of its life. Times are since the start.
pub(super) struct Side {
    pub(super) session: Session<Streams>,
    pub(super) line: Line,
    /// Room to accept the peer's flows with; `None` leaves them unanswered.
    pub(super) accepts: Option<u64>,
    pub(super) events: Vec<(Duration, Event)>,
    pub(super) sent: Vec<(Duration, LaneTransmit)>,
    /// The peer's lanes by its number, in the order in which they came; `None` once stopped.
    received: BTreeMap<SendLaneId, Option<RecvLaneId>>,
}

/// Streams of one direction.
pub(super) struct Line {
    pub(super) delay: Duration,
    /// Each packet takes up to this much longer; a lane's bytes stay in order.
    pub(super) jitter: Duration,
    /// Bytes a second; `None` without limit.
    pub(super) rate: Option<u64>,
    /// Bytes that the transport takes without having delivered them.
    pub(super) window: usize,
    /// Whether what a reset lane has on the way is lost, and the reset comes first.
    pub(super) resets_outrun: bool,
    idle_from: Instant,
    lanes: BTreeMap<SendLaneId, Lane>,
    on_the_way: Vec<(Instant, SendLaneId, Item)>,
    random: u64,
}

#[derive(Default)]
struct Lane {
    priority: i32,
    /// What the transport did not take.
    left: Bytes,
    unsent: VecDeque<Bytes>,
    finished: bool,
    arrives: Option<Instant>,
}

enum Item {
    Data(Bytes),
    Finish,
    Reset,
    Stop,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self::with_config(&Config::default())
    }

    pub(super) fn with_config(config: &Config) -> Self {
        let start = Instant::now();
        Self { start, now: start, left: Side::new(config.clone(), start), right: Side::new(config.clone(), start) }
    }

    /// Lets everything happen that happens without time passing.
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
            self.left.transmit(self.now, elapsed, &mut self.right.line);
            self.right.transmit(self.now, elapsed, &mut self.left.line);
            let moved = self.right.receive(&mut self.left.line, self.now, elapsed)
                | self.left.receive(&mut self.right.line, self.now, elapsed);
            if !moved {
                break;
            }
        }
    }
}

impl Side {
    fn new(config: Config, start: Instant) -> Self {
        Self {
            session: Session::new(config),
            line: Line::new(start),
            accepts: Some(1 << 20),
            events: Vec::new(),
            sent: Vec::new(),
            received: BTreeMap::new(),
        }
    }

    /// The messages that have come, in order.
    pub(super) fn messages(&self) -> Vec<Bytes> {
        self.events.iter().filter_map(|(_, event)| message_of(event)).collect()
    }

    /// How many messages were named as lost.
    pub(super) fn lost(&self) -> u64 {
        let lost = |(_, event): &(Duration, Event)| if let Event::Gap { messages, .. } = event { *messages } else { 0 };
        self.events.iter().map(lost).sum()
    }

    /// Lanes that were opened, the control lane left out.
    pub(super) fn opened(&self) -> usize {
        let opened = |(_, transmit): &&(Duration, LaneTransmit)| matches!(transmit, LaneTransmit::Open { .. });
        self.sent.iter().filter(opened).count() - 1
    }

    /// Lanes that were reset.
    pub(super) fn resets(&self) -> usize {
        self.sent.iter().filter(|(_, transmit)| matches!(transmit, LaneTransmit::Reset { .. })).count()
    }

    fn transmit(&mut self, now: Instant, elapsed: Duration, back: &mut Line) {
        while let Some(transmit) = self.session.poll_transmit(now) {
            self.sent.push((elapsed, transmit.clone()));
            if let LaneTransmit::Stop { lane, .. } = transmit {
                let stopped = self.received.iter_mut().find(|(_, received)| **received == Some(lane));
                let (of_peer, received) = stopped.expect("a lane that has not ended");
                *received = None;
                back.on_the_way.push((now + self.line.delay, *of_peer, Item::Stop));
            } else if let Some(blocked) = self.line.take(now, transmit) {
                self.session.handle_input(now, LaneInput::Blocked { lane: blocked }).unwrap();
            }
        }
        self.take_events(elapsed);
    }

    fn receive(&mut self, line: &mut Line, now: Instant, elapsed: Duration) -> bool {
        let mut moved = false;
        if self.session.accepts_input()
            && let Some((lane, item)) = line.pop(now)
        {
            moved = true;
            let next = RecvLaneId(self.received.len() as u64);
            if let Some(lane) = *self.received.entry(lane).or_insert(Some(next)) {
                let input = match item {
                    Item::Data(data) => LaneInput::Received { lane, data },
                    Item::Finish => LaneInput::Finished { lane },
                    Item::Reset | Item::Stop => LaneInput::Reset { lane },
                };
                self.session.handle_input(now, input).expect("both sides behave");
                self.take_events(elapsed);
            }
        }
        for lane in line_inputs(&mut self.line, now) {
            moved = true;
            self.session.handle_input(now, lane).unwrap();
        }
        if self.session.poll_timeout().is_some_and(|(at, _)| at <= now) {
            moved = true;
            self.session.handle_timeout(now);
            self.take_events(elapsed);
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
        [timer, self.line.next_time(now)].into_iter().flatten().filter(|at| *at > now).min()
    }
}

/// What a side's own line tells it: lanes that take more again, and lanes that the peer stopped.
fn line_inputs(line: &mut Line, now: Instant) -> Vec<LaneInput> {
    line.serve(now);
    let mut inputs = Vec::new();
    loop {
        let room = line.room();
        let left = line.lanes.iter_mut().filter(|(_, lane)| !lane.left.is_empty());
        let Some((id, lane)) = left.max_by_key(|(_, lane)| lane.priority).filter(|_| room > 0) else { break };
        lane.unsent.push_back(lane.left.split_to(room.min(lane.left.len())));
        if lane.left.is_empty() {
            inputs.push(LaneInput::Writable { lane: *id });
        }
    }
    line.serve(now);
    line.on_the_way.retain(|(arrives, id, item)| {
        let arrived = *arrives <= now && matches!(item, Item::Stop);
        if arrived && line.lanes.contains_key(id) {
            inputs.push(LaneInput::Stopped { lane: *id });
        }
        !arrived
    });
    inputs
}

impl Line {
    fn new(start: Instant) -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            window: 64 << 10,
            resets_outrun: false,
            idle_from: start,
            lanes: BTreeMap::new(),
            on_the_way: Vec::new(),
            random: 1,
        }
    }

    /// Nothing more leaves for `time`.
    pub(super) fn stall(&mut self, now: Instant, time: Duration) {
        self.idle_from = self.idle_from.max(now) + time;
    }

    /// Takes what a session sends; gives the lane when that is blocked.
    fn take(&mut self, now: Instant, transmit: LaneTransmit) -> Option<SendLaneId> {
        let room = self.room();
        match transmit {
            LaneTransmit::Open { lane, priority } => {
                assert!(self.lanes.insert(lane, Lane { priority, ..Lane::default() }).is_none(), "opened twice");
            }
            LaneTransmit::Data { lane: id, fragment } => {
                let lane = self.lanes.get_mut(&id).expect("an open lane");
                assert!(lane.left.is_empty(), "nothing more for a blocked lane");
                lane.left = fragment.to_bytes();
                let taken = lane.left.split_to(room.min(lane.left.len()));
                lane.unsent.extend(Some(taken).filter(|taken| !taken.is_empty()));
                if !lane.left.is_empty() {
                    self.serve(now);
                    return Some(id);
                }
            }
            LaneTransmit::Finish { lane } => {
                let lane = self.lanes.get_mut(&lane).expect("an open lane");
                assert!(lane.left.is_empty(), "a blocked lane is not finished");
                lane.finished = true;
            }
            LaneTransmit::Reset { lane, .. } => {
                let arrives = self.lanes.remove(&lane).expect("an open lane").arrives;
                let mut arrives = arrives.unwrap_or(now).max(now + self.delay);
                if self.resets_outrun {
                    self.on_the_way.retain(|(_, of, item)| *of != lane || matches!(item, Item::Stop));
                    arrives = now;
                }
                self.on_the_way.push((arrives, lane, Item::Reset));
            }
            LaneTransmit::Stop { .. } => unreachable!("goes the other way"),
        }
        self.serve(now);
        None
    }

    /// Puts on the way what the line has room for, the most urgent lane first.
    fn serve(&mut self, now: Instant) {
        while self.idle_from <= now {
            let sendable = |lane: &Lane| !lane.unsent.is_empty() || lane.finished;
            let next = self.lanes.iter_mut().filter(|(_, lane)| sendable(lane)).max_by_key(|(_, lane)| lane.priority);
            let Some((id, lane)) = next else { break };
            let id = *id;
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let jitter = self.jitter.mul_f64((self.random >> 33) as f64 / f64::from(1_u32 << 31));
            let mut data = lane.unsent.pop_front().unwrap_or_default();
            if data.len() > PACKET {
                lane.unsent.push_front(data.split_off(PACKET));
            }
            let takes =
                self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(data.len() as f64 / rate as f64));
            self.idle_from = self.idle_from.max(now) + takes;
            let arrives = (self.idle_from + self.delay + jitter).max(lane.arrives.unwrap_or(now));
            lane.arrives = Some(arrives);
            let ended = lane.finished && lane.unsent.is_empty();
            if !data.is_empty() {
                self.on_the_way.push((arrives, id, Item::Data(data)));
            }
            if ended {
                self.lanes.remove(&id);
                self.on_the_way.push((arrives, id, Item::Finish));
            }
        }
    }

    fn room(&self) -> usize {
        let unsent: usize = self.lanes.values().flat_map(|lane| &lane.unsent).map(Bytes::len).sum();
        let on_the_way =
            |(_, _, item): &(Instant, SendLaneId, Item)| if let Item::Data(data) = item { data.len() } else { 0 };
        self.window.saturating_sub(unsent + self.on_the_way.iter().map(on_the_way).sum::<usize>())
    }

    /// What arrives next of lanes.
    fn pop(&mut self, now: Instant) -> Option<(SendLaneId, Item)> {
        let arrived = self.on_the_way.iter().enumerate();
        let arrived = arrived.filter(|(_, (arrives, _, item))| *arrives <= now && !matches!(item, Item::Stop));
        let (index, _) = arrived.min_by_key(|(_, (arrives, ..))| *arrives)?;
        let (_, lane, item) = self.on_the_way.remove(index);
        Some((lane, item))
    }

    fn next_time(&self, now: Instant) -> Option<Instant> {
        let waits = self.lanes.values().any(|lane| !lane.unsent.is_empty() || lane.finished);
        let idle_from = Some(self.idle_from).filter(|_| waits);
        self.on_the_way.iter().map(|(arrives, ..)| *arrives).chain(idle_from).filter(|at| *at > now).min()
    }
}

pub(super) fn message_of(event: &Event) -> Option<Bytes> {
    match event {
        Event::Message { payload, .. } => Some(payload.clone()),
        Event::Opened { .. } | Event::Gap { .. } | Event::Closed { .. } | Event::Rejected { .. } | Event::Room => None,
    }
}
