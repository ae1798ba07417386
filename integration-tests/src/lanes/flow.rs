//! One flow of the server's: its lanes, put in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{ABANDONED, LaneEnd, PATIENCE};

/// What stands at the head of a lane.
pub(super) struct Header {
    pub(super) stream: u64,
    pub(super) first: u64,
    pub(super) preamble: Vec<u8>,
}

/// What is handed up.
pub(super) enum Given {
    Message(Vec<u8>),
    Gap(u64),
}

/// A flow, perhaps known by a lane of its only so far.
#[derive(Default)]
pub(super) struct Flow {
    opened_with: Option<(Vec<u8>, Option<u64>)>,
    /// Those that are not done with.
    lanes: BTreeMap<u64, Lane>,
    /// The lane whose turn it is: those before it are done with.
    current: u64,
    /// One more than the greatest number that a lane has had.
    lanes_so_far: u64,
    /// Messages handed up or known to be lost.
    passed: u64,
    preamble: Vec<u8>,
    /// How many lanes it had, once it is closed.
    count: Option<u64>,
    /// Reset, and not yet said to be given up.
    unsaid: BTreeSet<u64>,
    given_up: BTreeSet<u64>,
}

#[derive(Default)]
struct Lane {
    stream: Option<u64>,
    preamble: Option<Vec<u8>>,
    first: u64,
    /// Number of the next message.
    next: u64,
    waiting: VecDeque<(u64, Vec<u8>)>,
    /// When its first whole message came.
    since: Option<Instant>,
    ended: bool,
}

impl Flow {
    pub(super) fn open(&mut self, metadata: Vec<u8>, answers: Option<u64>) {
        self.opened_with = Some((metadata, answers));
    }

    pub(super) fn opened_with(&self) -> Option<(&[u8], Option<u64>)> {
        self.opened_with.as_ref().map(|(metadata, answers)| (&metadata[..], *answers))
    }

    pub(super) fn lanes_so_far(&self) -> u64 {
        self.lanes_so_far
    }

    /// Takes a lane's header. `false`: it comes too late to be wanted.
    pub(super) fn lane(&mut self, number: u64, header: Header) -> Result<bool> {
        ensure!(self.count.is_none_or(|count| number < count), "behind the last");
        ensure!(header.first > 0, "messages count from 1");
        self.lanes_so_far = self.lanes_so_far.max(number + 1);
        if number < self.current {
            return Ok(false);
        }
        let older = self.lanes.range(..number).next_back().map_or(0, |(_, older)| older.next);
        ensure!(older <= header.first, "begins with message {}, the one before with {older} at least", header.first);
        let newer = self.lanes.range(number + 1..).find_map(|(_, newer)| newer.stream.map(|_| newer.first));
        ensure!(newer.is_none_or(|newer| header.first <= newer), "begins behind the next");
        let lane = self.lanes.entry(number).or_default();
        ensure!(lane.stream.is_none(), "for the second time");
        lane.stream = Some(header.stream);
        (lane.first, lane.next) = (header.first, header.first);
        lane.preamble = Some(header.preamble);
        Ok(true)
    }

    pub(super) fn message(&mut self, now: Instant, number: u64, skipped: u64, payload: &[u8]) -> Result<()> {
        let newer = self.lanes.range(number + 1..).find_map(|(_, newer)| newer.stream.map(|_| newer.first));
        // One that was stopped.
        let Some(lane) = self.lanes.get_mut(&number) else { return Ok(()) };
        let this = lane.next.checked_add(skipped).context("too many skipped")?;
        ensure!(
            newer.is_none_or(|newer| this < newer),
            "message {this} of lane {number}, and a newer begins with {newer:?}"
        );
        lane.next = this + 1;
        lane.waiting.push_back((this, payload.to_vec()));
        lane.since.get_or_insert(now);
        Ok(())
    }

    pub(super) fn end(&mut self, number: u64, end: LaneEnd) {
        if end == LaneEnd::Reset(ABANDONED) && !self.given_up.remove(&number) {
            self.unsaid.insert(number);
        }
        if let Some(lane) = self.lanes.get_mut(&number) {
            lane.ended = true;
        }
    }

    /// Takes in that a lane was given up.
    pub(super) fn give_up(&mut self, number: u64) -> Result<()> {
        ensure!(self.count.is_none(), "the flow is closed");
        self.lanes_so_far = self.lanes_so_far.max(number + 1);
        if !self.unsaid.remove(&number) {
            ensure!(self.given_up.insert(number), "for the second time");
        }
        if number >= self.current {
            self.lanes.entry(number).or_default().ended = true;
        }
        Ok(())
    }

    pub(super) fn close(&mut self, count: u64) -> Result<()> {
        ensure!(self.count.is_none(), "for the second time");
        ensure!(self.lanes_so_far <= count, "has had {} lanes", self.lanes_so_far);
        self.count = Some(count);
        Ok(())
    }

    /// When the lane whose turn it is has had time enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.opened_with.as_ref()?;
        self.lanes.range(self.current + 1..).filter_map(|(_, lane)| lane.since).min().map(|since| since + PATIENCE)
    }

    /// Hands up what has its turn. `stops` gets the streams that are superseded.
    pub(super) fn advance(&mut self, now: Instant, stops: &mut Vec<u64>, mut give: impl FnMut(Given)) -> Result<()> {
        if self.opened_with.is_none() {
            return Ok(());
        }
        loop {
            if let Some(lane) = self.lanes.get_mut(&self.current) {
                if let Some(preamble) = lane.preamble.take()
                    && !preamble.is_empty()
                    && preamble != self.preamble
                {
                    self.preamble.clone_from(&preamble);
                    give(Given::Message(preamble));
                }
                while let Some((number, payload)) = lane.waiting.pop_front() {
                    let lost = number.checked_sub(self.passed + 1).context("a message number again")?;
                    if lost > 0 {
                        give(Given::Gap(lost));
                    }
                    self.passed = number;
                    give(Given::Message(payload));
                }
                if lane.ended {
                    self.lanes.remove(&self.current);
                    self.current += 1;
                    continue;
                }
            }
            let mut newer = self.lanes.range(self.current + 1..);
            let is_overdue = |lane: &Lane| lane.since.is_some_and(|since| since + PATIENCE <= now);
            let overdue = newer.find(|(_, lane)| is_overdue(lane)).map(|(&number, _)| number);
            let Some(overdue) = overdue else { return Ok(()) };
            let newer = self.lanes.split_off(&overdue);
            let older = std::mem::replace(&mut self.lanes, newer);
            stops.extend(older.values().filter(|lane| !lane.ended).filter_map(|lane| lane.stream));
            self.current = overdue;
        }
    }

    /// All its lanes are done with.
    pub(super) fn is_over(&self) -> bool {
        self.count.is_some_and(|count| count <= self.current)
    }

    /// A lane that is reset is also given up in words, before the flow is closed in words.
    pub(super) fn check_at_end(&self) -> Result<()> {
        ensure!(self.unsaid.is_empty(), "lanes {:?} were reset and not given up", self.unsaid);
        Ok(())
    }
}
