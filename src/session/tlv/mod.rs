//! `Tlv`: one played stream over a WebSocket without flows, for clients that only read.
//!
//! Such a client says nothing but what its path says. This wire says the rest for it, so that whoever serves it sees a
//! viewer like any other:
//!
//! ```text
//! application                         this wire                               client
//!   ◀── Opened, connect, createStream ──┤
//!   ├── open: TC 0, `_result` … ───────▶│  (read here)
//!   ◀── Opened, play ───────────────────┤
//!   ├── open: TC, statuses, data ──────▶├── METADATA ──────────────────────────▶
//!   └── open: TLV, messages ───────────▶└── as they are, one WebSocket message each ─▶
//! ```
//!
//! A message that has begun must be finished, or the client could read nothing more: each goes out in one piece, and only
//! what has not begun is abandoned. Of abandonment the client sees nothing; a group begins with its KEYFRAME.
//!
//! | dialect | paced by |
//! |---|---|
//! | `websocketstream` | the transport: what it can't take waits here |
//! | standard WebSocket | acknowledgements too, since browsers buffer without end what a page does not read: [`WINDOW`] |

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::config::Config;
use super::error::PeerMisbehaved;
use super::flows::Flows;
use super::link::PathStats;
use super::recv::Receiver;
use super::send::{Piece, Turn};
use super::table::Table;
use super::timer::Timer;
use super::wire::{Wire, sealed};
use super::{Event, RecvFlow, SendFlow, Session};
use crate::wire::amf0::Value;
use crate::wire::frame::Fragment;
use crate::wire::tc::{Command, Content, FlowMetadata, Message, StreamId};
use crate::wire::tlv;

/// Bytes that a client of standard WebSocket may leave unacknowledged. What begins within them is finished.
pub const WINDOW: u64 = 2_500_000;

/// Longest message that a client sends: an acknowledgement takes 9 bytes. Stops a stranger from having anything kept here.
const MAX_VALUE: u32 = 256;

/// The flows that the client would have opened.
const CONTROL: RecvFlow = RecvFlow(0);
const COMMANDS: RecvFlow = RecvFlow(1);

const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 2.0;

/// What a client plays, and how it is paced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The application.
    pub app: String,
    /// The stream's name, with a query if need be, as in a `play` command.
    pub name: String,
    /// What is sent is acknowledged.
    pub acknowledged: bool,
}

/// The wire of the dialects without flows.
#[derive(Debug)]
pub struct Tlv {
    /// The name to be played, until it is.
    name: Option<String>,
    carried: Table<SendFlow, Carried>,
    pacing: Pacing,
    /// A client's message that has not all come.
    partial: BytesMut,
}

/// What is on a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carried {
    /// Answers to this wire.
    Control,
    /// Statuses and data.
    Conversation,
    /// What the client gets as it is.
    Tlv,
}

#[derive(Debug, Clone, Copy)]
enum Pacing {
    Transport,
    /// Cumulative bytes.
    Acknowledged {
        sent: u64,
        acked: u64,
    },
}

impl Session<Tlv> {
    /// A session that plays what a client's path asks for.
    pub fn playing(config: Config, request: Request) -> Self {
        let Request { app, name, acknowledged } = request;
        let mut session = Self::new(config);
        let Self { flows, wire } = &mut session;
        wire.name = Some(name);
        if acknowledged {
            wire.pacing = Pacing::Acknowledged { sent: 0, acked: 0 };
        }
        open(flows, CONTROL, StreamId::CONTROL, None);
        let object = Value::object([("app", app.as_str())]);
        say(flows, CONTROL, &Command { object, ..Command::new("connect", CONNECT, vec![]) });
        say(flows, CONTROL, &Command::new("createStream", CREATE_STREAM, vec![]));
        session
    }
}

impl sealed::Sealed for Tlv {}

impl Wire for Tlv {
    type Input = Bytes;
    type Transmit = Fragment;

    fn new(_: &Config) -> Self {
        Self { name: None, carried: Table::default(), pacing: Pacing::Transport, partial: BytesMut::new() }
    }

    fn handle_input(&mut self, _: &mut Flows, _: Instant, input: Bytes) -> Result<(), PeerMisbehaved> {
        let mut input = if self.partial.is_empty() {
            input
        } else {
            self.partial.extend_from_slice(&input);
            self.partial.split().freeze()
        };
        while let Some(message) = tlv::Message::decode(&mut input, MAX_VALUE)? {
            if let tlv::Message::Acknowledgement(bytes) = message {
                self.acknowledged(bytes)?;
            }
        }
        // Less than a message, which is bounded.
        self.partial.extend_from_slice(&input);
        Ok(())
    }

    fn handle_timeout(&mut self, _: &mut Flows, _: Instant) {}

    fn poll_transmit(&mut self, flows: &mut Flows, now: Instant) -> Option<Fragment> {
        // The client is not asked what it thinks of an answer.
        flows.answers.clear();
        while !flows.schedule.is_empty() && self.has_room() {
            let flow = flows.next_scheduled()?;
            if let Some(message) = self.turn(flows, flow, now) {
                self.sent(message.len() as u64);
                return Some(Fragment::bare(message));
            }
        }
        None
    }

    fn poll_timeout(&self, _: &Flows) -> Option<(Instant, Timer)> {
        None
    }

    fn accepts_input(&self) -> bool {
        true
    }

    fn path(&self) -> PathStats {
        match self.pacing {
            Pacing::Transport => PathStats::default(),
            Pacing::Acknowledged { sent, acked } => PathStats { rtt: None, in_flight: sent - acked, limit: WINDOW },
        }
    }
}

impl Tlv {
    /// Takes a flow's turn; gives what the client is to be sent of it.
    fn turn(&mut self, flows: &mut Flows, flow: SendFlow, now: Instant) -> Option<Bytes> {
        match flows.turn(flow, now, Some(usize::MAX)) {
            Turn::Open => {
                let metadata = flows.senders.get(flow)?.metadata.clone();
                self.carried.insert(flow, carried(metadata));
                None
            }
            Turn::Abandon { .. } | Turn::Idle => None,
            Turn::Close => {
                self.carried.remove(flow);
                if flows.forget(flow) {
                    flows.free(flow);
                }
                None
            }
            Turn::Data(Piece { payload, .. }) => match self.carried.get(flow)? {
                Carried::Tlv => Some(payload),
                Carried::Conversation => metadata(payload),
                Carried::Control => {
                    self.handle_answer(flows, flow, payload);
                    None
                }
            },
        }
    }

    /// Plays, once there is a stream for it.
    fn handle_answer(&mut self, flows: &mut Flows, control: SendFlow, payload: Bytes) {
        let Ok(Message { content: Content::Command(answer), .. }) = Message::decode(payload) else { return };
        let stream = answer.argument(0).and_then(Value::as_u32).map(StreamId);
        let (true, Some(stream)) = (answer.transaction == CREATE_STREAM, stream) else { return };
        if let Some(name) = self.name.take() {
            open(flows, COMMANDS, stream, Some(control));
            say(flows, COMMANDS, &Command::new("play", 0.0, vec![name.into()]));
        }
    }

    fn acknowledged(&mut self, bytes: u64) -> Result<(), PeerMisbehaved> {
        match &mut self.pacing {
            Pacing::Transport => Ok(()),
            Pacing::Acknowledged { sent, .. } if bytes > *sent => Err(PeerMisbehaved::AckOfMore { bytes, sent: *sent }),
            Pacing::Acknowledged { acked, .. } => {
                *acked = bytes.max(*acked);
                Ok(())
            }
        }
    }

    fn has_room(&self) -> bool {
        match self.pacing {
            Pacing::Transport => true,
            Pacing::Acknowledged { sent, acked } => sent - acked < WINDOW,
        }
    }

    fn sent(&mut self, len: u64) {
        if let Pacing::Acknowledged { sent, .. } = &mut self.pacing {
            *sent += len;
        }
    }
}

fn carried(metadata: Bytes) -> Carried {
    if tlv::read_flow_metadata(&metadata).is_some() {
        return Carried::Tlv;
    }
    match FlowMetadata::decode(metadata) {
        Ok(FlowMetadata { stream: StreamId::CONTROL, .. }) => Carried::Control,
        Ok(_) | Err(_) => Carried::Conversation,
    }
}

/// What a message of the conversation is to a client that has none.
fn metadata(payload: Bytes) -> Option<Bytes> {
    match Message::decode(payload).ok()?.content {
        Content::Command(command) => Some(tlv::metadata(&command.name, &command.arguments)),
        // Of meaning in Flash.
        Content::Data(data) if data.name == "|RtmpSampleAccess" => None,
        Content::Data(data) => Some(tlv::metadata(&data.name, &data.values)),
        Content::UserControl(_) | Content::Audio(_) | Content::Video(_) | Content::Other { .. } => None,
    }
}

fn open(flows: &mut Flows, flow: RecvFlow, stream: StreamId, answers: Option<SendFlow>) {
    flows.receivers.insert(flow, Receiver::new());
    flows.events.push_back(Event::Opened { flow, metadata: FlowMetadata::new(stream).encode(), answers });
}

fn say(flows: &mut Flows, flow: RecvFlow, command: &Command) {
    flows.events.push_back(Event::Message { flow, payload: command.encode() });
}

#[cfg(test)]
mod tests;
