//! RTWebSocket as a viewer speaks it, written from the specification alone and strict about what the server may send.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long an acknowledgement may wait.
const ACK_DELAY: Duration = Duration::from_millis(250);
/// The least acknowledgement window, and the first.
const MIN_ACK_WINDOW: u64 = 2800;
/// What a sender may assume before the first acknowledgement.
const INITIAL_WINDOW: u64 = 65536;
/// A sender may overshoot a window by a fragment's header.
const MAX_HEADER: u64 = 11;

/// What the server did, when the viewer needs to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It opened a flow.
    Opened { flow: u64 },
    /// A message is complete: see [`Receiver::payload`].
    Message { flow: u64 },
    /// Messages will never come.
    Gap { flow: u64, messages: u64 },
    /// It finished a flow.
    Closed { flow: u64 },
    /// It rejected a flow of ours.
    Rejected { flow: u64 },
    /// It asks whether we are there.
    Ping(Vec<u8>),
}

/// A flow the server sends on.
struct Flow {
    id: u64,
    metadata: Vec<u8>,
    answers: Option<u64>,
    partial: Vec<u8>,
    /// The last fragment of `partial` has come.
    complete: bool,
    begun: bool,
    unacknowledged: u64,
    advertised: u64,
    receive_buffer: u64,
    ack_pending: bool,
}

/// The receiving half of every flow.
pub(crate) struct Receiver {
    flows: Vec<Flow>,
    ack_window: u64,
    since_ack: u64,
    ack_now: bool,
    ack_due: Option<Instant>,
    closed: Vec<u64>,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        let (flows, closed) = (Vec::new(), Vec::new());
        Self { flows, ack_window: MIN_ACK_WINDOW, since_ack: 0, ack_now: false, ack_due: None, closed }
    }

    /// Takes one WebSocket message. An error is a violation of the protocol by the server.
    pub(crate) fn handle(&mut self, now: Instant, message: &[u8]) -> Result<Option<Event>> {
        let Some((&kind, mut rest)) = message.split_first() else { return Ok(None) };
        let event = match kind {
            0x01 => Event::Ping(rest.to_vec()),
            0x41 => return Ok(None),
            0x0a => {
                self.ack_window = vlu(&mut rest)?.max(MIN_ACK_WINDOW);
                self.ack_now |= self.since_ack >= self.ack_window;
                return Ok(None);
            }
            0x10 | 0x30 => {
                let id = vlu(&mut rest)?;
                let answers = if kind == 0x30 { Some(vlu(&mut rest)?) } else { None };
                ensure!(self.flows.iter().all(|flow| flow.id != id), "flow {id} opened twice");
                self.flows.push(Flow::new(id, rest.to_vec(), answers));
                self.ack_now = true;
                Event::Opened { flow: id }
            }
            0x1d | 0x3d => {
                let id = vlu(&mut rest)?;
                let (since_ack, ack_window) = (&mut self.since_ack, self.ack_window);
                let flow = self.flows.iter_mut().find(|flow| flow.id == id);
                let flow = flow.with_context(|| format!("data on unknown flow {id}"))?;
                flow.data(message.len() as u64, rest, kind == 0x1d)?;
                *since_ack += message.len() as u64;
                let half_used = flow.unacknowledged >= flow.advertised / 2;
                if *since_ack >= ack_window || half_used {
                    self.ack_now = true;
                } else {
                    self.ack_due.get_or_insert(now + ACK_DELAY);
                }
                if !flow.complete {
                    return Ok(None);
                }
                Event::Message { flow: id }
            }
            0x1a => {
                let id = vlu(&mut rest)?;
                let more = if rest.is_empty() { 0 } else { vlu(&mut rest)? };
                let flow = self.flow_mut(id)?;
                (flow.begun, flow.ack_pending) = (false, true);
                flow.partial.clear();
                self.ack_now = true;
                Event::Gap { flow: id, messages: more.saturating_add(1) }
            }
            0x1c => {
                let id = vlu(&mut rest)?;
                self.flow_mut(id)?.ack_pending = true;
                self.closed.push(id);
                self.ack_now = true;
                Event::Closed { flow: id }
            }
            0x5a => {
                for _ in ["flow", "delta", "advertisement"] {
                    vlu(&mut rest)?;
                }
                return Ok(None);
            }
            0x5c => {
                vlu(&mut rest)?;
                return Ok(None);
            }
            0x5e => Event::Rejected { flow: vlu(&mut rest)? },
            kind => bail!("unknown message {kind:02x}"),
        };
        Ok(Some(event))
    }

    /// The message that was just completed on `flow`.
    pub(crate) fn payload(&self, flow: u64) -> &[u8] {
        self.flows.iter().find(|known| known.id == flow).map(|flow| &flow.partial[..]).unwrap_or_default()
    }

    /// What a flow was opened with.
    pub(crate) fn opened_with(&self, flow: u64) -> Option<(&[u8], Option<u64>)> {
        self.flows.iter().find(|known| known.id == flow).map(|flow| (&flow.metadata[..], flow.answers))
    }

    /// How much of a flow this viewer is willing to have in flight, in bytes.
    pub(crate) fn set_receive_buffer(&mut self, flow: u64, bytes: u64) {
        if let Some(flow) = self.flows.iter_mut().find(|known| known.id == flow) {
            (flow.receive_buffer, flow.ack_pending) = (bytes, true);
            self.ack_now = true;
        }
    }

    /// When [`Receiver::acknowledge`] is to be called at the latest.
    pub(crate) fn ack_due(&self) -> Option<Instant> {
        self.ack_due
    }

    /// Hands out the acknowledgements that are due, all in one go.
    pub(crate) fn acknowledge(&mut self, now: Instant, mut send: impl FnMut(&[u8])) {
        if !self.ack_now && self.ack_due.is_none_or(|due| now < due) {
            return;
        }
        self.ack_now = false;
        self.ack_due = None;
        self.since_ack %= self.ack_window;
        let mut bytes = Vec::with_capacity(24);
        for flow in self.flows.iter_mut().filter(|flow| flow.ack_pending) {
            bytes.clear();
            bytes.push(0x5a);
            for value in [flow.id, flow.unacknowledged, flow.receive_buffer] {
                push_vlu(&mut bytes, value);
            }
            send(&bytes);
            flow.unacknowledged = 0;
            flow.advertised = flow.receive_buffer;
            flow.ack_pending = false;
        }
        for id in self.closed.drain(..) {
            self.flows.retain(|flow| flow.id != id);
            bytes.clear();
            bytes.push(0x5c);
            push_vlu(&mut bytes, id);
            send(&bytes);
        }
    }

    fn flow_mut(&mut self, id: u64) -> Result<&mut Flow> {
        self.flows.iter_mut().find(|flow| flow.id == id).with_context(|| format!("unknown flow {id}"))
    }
}

impl Flow {
    fn new(id: u64, metadata: Vec<u8>, answers: Option<u64>) -> Self {
        Self {
            id,
            metadata,
            answers,
            partial: Vec::new(),
            complete: false,
            begun: false,
            unacknowledged: 0,
            // Zero before the first acknowledgement, so that the first data is acknowledged at once.
            advertised: 0,
            receive_buffer: 2_097_151,
            ack_pending: true,
        }
    }

    fn data(&mut self, wire_len: u64, payload: &[u8], last: bool) -> Result<()> {
        self.unacknowledged += wire_len;
        self.ack_pending = true;
        let window = self.advertised.max(INITIAL_WINDOW);
        ensure!(self.unacknowledged <= window + MAX_HEADER, "flow {} overran its window of {window}", self.id);
        if !self.begun {
            self.partial.clear();
        }
        self.partial.extend_from_slice(payload);
        (self.begun, self.complete) = (!last, last);
        Ok(())
    }
}

/// Takes a variable-length integer off the front of `input`.
pub(crate) fn vlu(input: &mut &[u8]) -> Result<u64> {
    try_vlu(input)?.context("truncated variable-length integer")
}

/// The same when more may still come. `None`: it is not whole.
pub(crate) fn try_vlu(input: &mut &[u8]) -> Result<Option<u64>> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().enumerate() {
        ensure!(value <= u64::MAX >> 7, "a variable-length integer beyond 64 bits");
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Appends a variable-length integer.
pub(crate) fn push_vlu(out: &mut Vec<u8>, value: u64) {
    let groups = (u64::BITS - (value | 1).leading_zeros()).div_ceil(7);
    out.extend((0..groups).rev().map(|group| {
        let more = if group > 0 { 0x80 } else { 0 };
        more | (value >> (7 * group)) as u8 & 0x7f
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks(receiver: &mut Receiver, now: Instant) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        receiver.acknowledge(now, |bytes| sent.push(bytes.to_vec()));
        sent
    }

    #[test]
    fn integers_have_the_genuine_form() {
        for (value, bytes) in
            [(0, &[0][..]), (127, &[0x7f]), (128, &[0x81, 0]), (2800, &[0x95, 0x70]), (65536, &[0x84, 0x80, 0])]
        {
            let mut out = Vec::new();
            push_vlu(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(vlu(&mut &out[..]).unwrap(), value);
        }
    }

    #[test]
    fn fragments_become_a_message_and_are_counted_whole() {
        let (mut receiver, now) = (Receiver::new(), Instant::now());
        assert_eq!(receiver.handle(now, &[0x30, 2, 0, b'T', b'C']).unwrap(), Some(Event::Opened { flow: 2 }));
        assert_eq!(acks(&mut receiver, now), [[0x5a, 2, 0, 0xff, 0xff, 0x7f]]);
        assert_eq!(receiver.handle(now, &[0x3d, 2, 1, 2]).unwrap(), None);
        assert_eq!(receiver.handle(now, &[0x1d, 2, 3]).unwrap(), Some(Event::Message { flow: 2 }));
        assert_eq!(receiver.payload(2), [1, 2, 3]);
        assert!(acks(&mut receiver, now).is_empty());
        assert_eq!(acks(&mut receiver, now + ACK_DELAY), [[0x5a, 2, 7, 0xff, 0xff, 0x7f]]);
    }

    #[test]
    fn an_abandoned_message_is_dropped_and_its_like_counted() {
        let (mut receiver, now) = (Receiver::new(), Instant::now());
        receiver.handle(now, &[0x10, 5]).unwrap();
        receiver.handle(now, &[0x3d, 5, 9]).unwrap();
        assert_eq!(receiver.handle(now, &[0x1a, 5, 2]).unwrap(), Some(Event::Gap { flow: 5, messages: 3 }));
        receiver.handle(now, &[0x1d, 5, 8]).unwrap();
        assert_eq!(receiver.payload(5), [8]);
    }

    #[test]
    fn a_closed_flow_is_acknowledged_before_it_is_free() {
        let (mut receiver, now) = (Receiver::new(), Instant::now());
        receiver.handle(now, &[0x10, 5]).unwrap();
        receiver.handle(now, &[0x1c, 5]).unwrap();
        assert_eq!(acks(&mut receiver, now), [&[0x5a, 5, 0, 0xff, 0xff, 0x7f][..], &[0x5c, 5]]);
        assert!(receiver.handle(now, &[0x1d, 5]).is_err());
    }

    #[test]
    fn violations_are_errors() {
        let now = Instant::now();
        for wire in [&[0x1d, 1][..], &[0x1a, 1], &[0x10, 0x80], &[0x77]] {
            assert!(Receiver::new().handle(now, wire).is_err(), "{wire:02x?}");
        }
    }
}
