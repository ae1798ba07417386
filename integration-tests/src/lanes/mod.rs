//! Lanes as a viewer reads them, written from the specification in `wire::lane` alone and strict about what the server may send.
//!
//! No I/O and no clock: bytes of streams go in, events come out.

mod flow;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::flow::{Flow, Header};
use crate::rtws::{Event, try_vlu, vlu};

/// How long a newer lane waits for the older ones.
const PATIENCE: Duration = Duration::from_millis(100);
/// Far above any record that the gateway has a reason for.
const MAX_RECORD: u64 = 64 << 10;
/// Far above any frame of the test streams.
const MAX_MESSAGE: u64 = 4 << 20;

/// What a lane is reset or stopped for.
pub(crate) const CLOSED: u64 = 0;
pub(crate) const ABANDONED: u64 = 1;
pub(crate) const SUPERSEDED: u64 = 2;

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneEnd {
    /// With its last byte.
    Finished,
    /// By a reset, for a reason.
    Reset(u64),
}

/// The receiving half of every flow.
#[derive(Default)]
pub(crate) struct Lanes {
    /// Streams that have not ended, by the transport's number, which grows in the order of their opening.
    streams: HashMap<u64, Stream>,
    flows: BTreeMap<u64, Flow>,
    closed: BTreeSet<u64>,
    newest_flow: Option<u64>,
    control: Option<u64>,
    oldest_stream: Option<u64>,
    events: VecDeque<(Event, Vec<u8>)>,
    payload: Vec<u8>,
    stops: Vec<u64>,
    opened_by_us: BTreeSet<u64>,
}

/// One stream of the server's, and what of it is not read yet.
#[derive(Default)]
struct Stream {
    unread: Vec<u8>,
    kind: Option<Kind>,
}

#[derive(Clone, Copy)]
enum Kind {
    Control,
    Group {
        flow: u64,
        lane: u64,
    },
    /// Nothing of it is wanted any more.
    Dropped,
}

impl Lanes {
    /// A flow of ours, which the server may answer or reject.
    pub(crate) fn opened(&mut self, flow: u64) {
        self.opened_by_us.insert(flow);
    }

    /// Takes what has come on a stream. An error is a violation of the protocol by the server.
    pub(crate) fn handle(&mut self, now: Instant, id: u64, bytes: &[u8]) -> Result<()> {
        let oldest = *self.oldest_stream.get_or_insert(id);
        self.oldest_stream = Some(oldest.min(id));
        ensure!(self.control.is_none_or(|control| control <= id), "the control lane is not the first");
        let mut stream = self.streams.remove(&id).unwrap_or_default();
        stream.unread.extend_from_slice(bytes);
        self.read(now, id, &mut stream).with_context(|| format!("stream {id}"))?;
        self.streams.insert(id, stream);
        Ok(())
    }

    /// Takes in that a stream has ended. `false`: it was the control lane, and the session has with it.
    pub(crate) fn handle_end(&mut self, now: Instant, id: u64, end: LaneEnd) -> Result<bool> {
        let Stream { unread, kind } = self.streams.remove(&id).unwrap_or_default();
        match (kind, end) {
            (Some(Kind::Control), _) => return Ok(false),
            (Some(Kind::Dropped), _) => {}
            (None, LaneEnd::Finished) => bail!("stream {id} ends before its header does"),
            // Which lane that was is said on the control lane.
            (None, LaneEnd::Reset(ABANDONED | CLOSED)) => {}
            (_, LaneEnd::Reset(code)) if code > ABANDONED => bail!("stream {id} is reset with code {code}"),
            (Some(Kind::Group { flow, lane }), end) => {
                let whole = end != LaneEnd::Finished || unread.is_empty();
                ensure!(whole, "lane {lane} of flow {flow} ends inside a message");
                if let Some(known) = self.flows.get_mut(&flow) {
                    known.end(lane, end);
                }
                self.advance(now, flow)?;
            }
            (None, LaneEnd::Reset(_)) => {}
        }
        Ok(true)
    }

    /// When [`Lanes::handle_timeout`] is to be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.flows.values().filter_map(Flow::due).min()
    }

    /// Goes on to the lanes that have waited long enough.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        let due: Vec<_> = self.flows.iter().filter(|(_, flow)| flow.due().is_some_and(|due| due <= now)).collect();
        let due: Vec<_> = due.into_iter().map(|(&id, _)| id).collect();
        due.into_iter().try_for_each(|flow| self.advance(now, flow))
    }

    /// What happened next. A message's bytes are in [`Lanes::payload`] until the next call.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let (event, payload) = self.events.pop_front()?;
        self.payload = payload;
        Some(event)
    }

    /// The message of the last event.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What a flow was opened with.
    pub(crate) fn opened_with(&self, flow: u64) -> Option<(&[u8], Option<u64>)> {
        self.flows.get(&flow).and_then(Flow::opened_with)
    }

    /// Streams that are to be stopped as superseded.
    pub(crate) fn stops(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.stops)
    }

    /// How many lanes each flow has had so far.
    pub(crate) fn lanes_by_flow(&self) -> impl Iterator<Item = (u64, u64)> {
        self.flows.iter().map(|(&id, flow)| (id, flow.lanes_so_far()))
    }

    fn read(&mut self, now: Instant, id: u64, stream: &mut Stream) -> Result<()> {
        let mut rest = &stream.unread[..];
        if stream.kind.is_none() {
            let Some(kind) = self.read_header(now, id, &mut rest)? else { return Ok(()) };
            stream.kind = Some(kind);
        }
        match stream.kind {
            Some(Kind::Control) => {
                while let Some(record) = with_length(&mut rest, MAX_RECORD)? {
                    self.handle_record(now, record).with_context(|| format!("record {record:02x?}"))?;
                }
            }
            Some(Kind::Group { flow, lane }) => {
                // It may be closed by now.
                if let Some(known) = self.flows.get_mut(&flow) {
                    while let Some((skipped, message)) = message(&mut rest)? {
                        known.message(now, lane, skipped, message)?;
                    }
                } else {
                    rest = &[];
                }
                self.advance(now, flow)?;
            }
            Some(Kind::Dropped) => rest = &[],
            None => {}
        }
        let read = stream.unread.len() - rest.len();
        stream.unread.drain(..read);
        Ok(())
    }

    /// The first bytes of a stream, once they are there.
    fn read_header(&mut self, now: Instant, id: u64, rest: &mut &[u8]) -> Result<Option<Kind>> {
        let mut peek = *rest;
        let Some((&kind, after)) = peek.split_first() else { return Ok(None) };
        peek = after;
        match kind {
            0 => {
                ensure!(self.control.is_none(), "a second control lane");
                ensure!(self.oldest_stream == Some(id), "the control lane is not the first");
                self.control = Some(id);
                *rest = peek;
                Ok(Some(Kind::Control))
            }
            1 => {
                let mut numbers = [0; 3];
                for number in &mut numbers {
                    let Some(value) = try_vlu(&mut peek)? else { return Ok(None) };
                    *number = value;
                }
                let Some(preamble) = with_length(&mut peek, MAX_MESSAGE)? else { return Ok(None) };
                let [flow, lane, first] = numbers;
                *rest = peek;
                if self.closed.contains(&flow) {
                    // One that was given up, and came late.
                    self.stops.push(id);
                    return Ok(Some(Kind::Dropped));
                }
                let known = self.flows.entry(flow).or_default();
                let header = Header { stream: id, first, preamble: preamble.to_vec() };
                if !known.lane(lane, header).with_context(|| format!("lane {lane} of flow {flow}"))? {
                    self.stops.push(id);
                    return Ok(Some(Kind::Dropped));
                }
                self.advance(now, flow)?;
                Ok(Some(Kind::Group { flow, lane }))
            }
            kind => bail!("a lane of kind {kind:02x}"),
        }
    }

    fn handle_record(&mut self, now: Instant, record: &[u8]) -> Result<()> {
        let (&kind, mut rest) = record.split_first().context("an empty record")?;
        let rest = &mut rest;
        match kind {
            0x10 | 0x30 => {
                let flow = vlu(rest)?;
                ensure!(self.newest_flow.is_none_or(|newest| newest < flow), "flow {flow} is not the newest");
                self.newest_flow = Some(flow);
                let answers = if kind == 0x30 { Some(vlu(rest)?) } else { None };
                ensure!(answers.is_none_or(|ours| self.opened_by_us.contains(&ours)), "answers {answers:?}, not ours");
                self.flows.entry(flow).or_default().open(rest.to_vec(), answers);
                self.events.push_back((Event::Opened { flow }, Vec::new()));
                self.advance(now, flow)
            }
            0x1a => {
                let (flow, lane) = (vlu(rest)?, vlu(rest)?);
                ensure!(rest.is_empty(), "bytes behind it");
                let known = self.flows.get_mut(&flow).filter(|flow| flow.opened_with().is_some());
                known.context("of no open flow")?.give_up(lane)?;
                self.advance(now, flow)
            }
            0x1c => {
                let (flow, lanes) = (vlu(rest)?, vlu(rest)?);
                ensure!(rest.is_empty(), "bytes behind it");
                let known = self.flows.get_mut(&flow).filter(|flow| flow.opened_with().is_some());
                known.context("of no open flow")?.close(lanes)?;
                self.advance(now, flow)
            }
            0x5e => {
                let (flow, _reason) = (vlu(rest)?, vlu(rest)?);
                str::from_utf8(rest)?;
                ensure!(self.opened_by_us.contains(&flow), "flow {flow} is none of ours");
                self.events.push_back((Event::Rejected { flow }, Vec::new()));
                Ok(())
            }
            // To be skipped.
            _ => Ok(()),
        }
    }

    /// Hands up what has its turn on a flow.
    fn advance(&mut self, now: Instant, id: u64) -> Result<()> {
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(()) };
        let events = &mut self.events;
        flow.advance(now, &mut self.stops, |given| {
            events.push_back(match given {
                flow::Given::Message(payload) => (Event::Message { flow: id }, payload),
                flow::Given::Gap(messages) => (Event::Gap { flow: id, messages }, Vec::new()),
            });
        })?;
        if flow.is_over() {
            flow.check_at_end().with_context(|| format!("flow {id}"))?;
            self.flows.remove(&id);
            self.closed.insert(id);
            self.events.push_back((Event::Closed { flow: id }, Vec::new()));
        }
        Ok(())
    }
}

/// Takes a length and so many bytes off the front, once they are there.
fn with_length<'a>(rest: &mut &'a [u8], limit: u64) -> Result<Option<&'a [u8]>> {
    let mut peek = *rest;
    let Some(length) = try_vlu(&mut peek)? else { return Ok(None) };
    ensure!(length <= limit, "{length} bytes");
    let Some((bytes, after)) = peek.split_at_checked(length as usize) else { return Ok(None) };
    *rest = after;
    Ok(Some(bytes))
}

/// Takes a message off the front, and how many were skipped before it.
fn message<'a>(rest: &mut &'a [u8]) -> Result<Option<(u64, &'a [u8])>> {
    let mut peek = *rest;
    let Some(skipped) = try_vlu(&mut peek)? else { return Ok(None) };
    let Some(message) = with_length(&mut peek, MAX_MESSAGE)? else { return Ok(None) };
    *rest = peek;
    Ok(Some((skipped, message)))
}
