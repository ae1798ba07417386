//! The conversation with one publisher. Sans-IO.
//!
//! | specification | section |
//! |---|---|
//! | RTMP 1.0 (Adobe, 2012) | §5.4 protocol control, §7.1.7 user control, §7.2 commands |
//! | Enhanced RTMP v2 (Veovera) | Enhancing NetConnection connect Command |
//! | FMLE's commands | releaseStream, FCPublish, FCUnpublish, as every encoder sends them |
//!
//! Feed [`Session::read`] until it gives `None`, send [`Session::take_output`], then wait for more.

use std::collections::BTreeSet;

use bytes::{Buf, BytesMut};
use tracing::debug;

use super::aggregate::Aggregate;
use super::chunk::{ChunkReader, Message};
use super::output::Output;
use super::{Config, IngestError, Misbehaved, message_type};
use crate::authority::Secret;
use crate::broadcast::{Intake, StreamPath};
use crate::media::Unit;
use crate::wire::amf0::Value;
use crate::wire::query;
use crate::wire::tc::{Command, Info, Status};

/// How many bytes either side may send before it wants an acknowledgement. What the field uses: a second at 20 Mbit/s.
const WINDOW: u32 = 2_500_000;

/// Most message streams open at once; a publisher needs one. Stops a loop of `createStream` from filling memory.
const MAX_STREAMS: usize = 8;

const STREAM_BEGIN: u16 = 0;
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// The codecs that are carried in Enhanced RTMP's tags.
const VIDEO_FOUR_CC: [&str; 4] = ["avc1", "hvc1", "av01", "vp09"];
const AUDIO_FOUR_CC: [&str; 1] = ["mp4a"];

/// "Can forward", of the masks in a FourCC info map. Defined by: Enhanced RTMP v2, FourCcInfoMask.
const CAN_FORWARD: u32 = 4;

/// What a publisher did.
#[derive(Debug)]
pub(super) enum Event {
    /// It wants to publish. Answer with [`Session::accept`] or [`Session::refuse`].
    Publish {
        /// The stream.
        path: StreamPath,
        /// By what right.
        credential: Option<Secret>,
    },
    /// It sent an access unit of the stream that it publishes.
    Unit(Unit),
    /// It has stopped publishing.
    Unpublish,
}

/// One publisher's conversation.
pub(super) struct Session {
    chunks: ChunkReader,
    output: Output,
    acknowledge: Acknowledge,
    /// The application, once connected.
    app: Option<String>,
    /// What came with `connect`.
    credential: Option<Secret>,
    streams: BTreeSet<u32>,
    publishing: Publishing,
    aggregate: Option<Aggregate>,
}

enum Publishing {
    No,
    /// It has asked to and not been answered.
    Asked {
        stream: u32,
        name: String,
    },
    Yes {
        stream: u32,
        intake: Intake,
    },
}

/// When to acknowledge what has come.
struct Acknowledge {
    window: u64,
    total: u64,
    acknowledged: u64,
}

impl Session {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            chunks: ChunkReader::new(config.chunk_limits()),
            output: Output::new(),
            acknowledge: Acknowledge { window: WINDOW.into(), total: 0, acknowledged: 0 },
            app: None,
            credential: None,
            streams: BTreeSet::new(),
            publishing: Publishing::No,
            aggregate: None,
        }
    }

    /// Counts bytes that have come, and acknowledges them when it is time.
    pub(super) fn received(&mut self, bytes: usize) {
        self.acknowledge.total += bytes as u64;
        if self.acknowledge.total - self.acknowledge.acknowledged >= self.acknowledge.window {
            self.acknowledge.acknowledged = self.acknowledge.total;
            // The total goes on modulo 2^32.
            self.output.acknowledgement(self.acknowledge.total as u32);
        }
    }

    /// Reads on in `input` until the publisher has done something. `None`: all that can be used is used.
    ///
    /// # Errors
    /// [`IngestError::Misbehaved`] and [`IngestError::UnsupportedCodec`]. Send what is to be sent, then close.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Result<Option<Event>, IngestError> {
        loop {
            let message = match self.aggregate.as_mut().and_then(Iterator::next) {
                Some(part) => part,
                None => match self.chunks.read(input).map_err(Misbehaved::from)? {
                    Some(message) => message,
                    None => return Ok(None),
                },
            };
            if let Some(event) = self.handle(message)? {
                return Ok(Some(event));
            }
        }
    }

    /// Takes the bytes that are to be sent.
    pub(super) fn take_output(&mut self) -> bytes::Bytes {
        self.output.take()
    }

    /// Lets the peer publish as it has asked to.
    pub(super) fn accept(&mut self) {
        let Publishing::Asked { stream, name } = &self.publishing else { return };
        let (stream, info) = (*stream, Info::new(Status::PublishStart, "publishing").with("detail", name.as_str()));
        self.publishing = Publishing::Yes { stream, intake: Intake::default() };
        self.output.user_control(STREAM_BEGIN, stream);
        self.output.command(stream, &Command::on_status(info));
    }

    /// Tells the peer that it may not publish, or not any more.
    pub(super) fn refuse(&mut self, status: Status, why: &str) {
        let stream = match self.publishing {
            Publishing::No => return,
            Publishing::Asked { stream, .. } | Publishing::Yes { stream, .. } => stream,
        };
        self.publishing = Publishing::No;
        self.output.command(stream, &Command::on_status(Info::new(status, why)));
    }

    fn handle(&mut self, message: Message) -> Result<Option<Event>, IngestError> {
        match message.kind {
            message_type::AUDIO | message_type::VIDEO | message_type::DATA_AMF0 | message_type::DATA_AMF3 => {
                self.handle_media(message)
            }
            message_type::AGGREGATE => {
                self.aggregate = Some(Aggregate::new(message));
                Ok(None)
            }
            message_type::COMMAND_AMF0 => self.handle_command(message.stream, message.body()),
            // A zero byte, then AMF0 all the same.
            message_type::COMMAND_AMF3 => {
                self.handle_command(message.stream, message.body().get(1..).unwrap_or_default())
            }
            message_type::WINDOW_ACKNOWLEDGEMENT_SIZE => {
                let size = message.body().try_get_u32().map_err(|_| Misbehaved::Truncated("window size"))?;
                self.acknowledge.window = u64::from(size).max(1);
                Ok(None)
            }
            message_type::USER_CONTROL => {
                let mut body = message.body();
                let truncated = |_| Misbehaved::Truncated("user control message");
                if body.try_get_u16().map_err(truncated)? == PING_REQUEST {
                    let timestamp = body.try_get_u32().map_err(truncated)?;
                    self.output.user_control(PING_RESPONSE, timestamp);
                }
                Ok(None)
            }
            // Acknowledgements and the peer's wishes about ours: so little is sent that none of it matters.
            _ => Ok(None),
        }
    }

    /// Media belongs to the one stream that is published, whatever stream id it bears.
    fn handle_media(&mut self, message: Message) -> Result<Option<Event>, IngestError> {
        let Publishing::Yes { intake, .. } = &mut self.publishing else { return Ok(None) };
        match intake.read(message.kind, message.timestamp, message.buffer) {
            Ok(unit) => Ok(unit.map(Event::Unit)),
            Err(error) => {
                self.refuse(Status::PublishRejected, &error.to_string());
                Err(error.into())
            }
        }
    }

    fn handle_command(&mut self, stream: u32, body: &[u8]) -> Result<Option<Event>, IngestError> {
        let command = Command::decode(body).map_err(Misbehaved::from)?;
        let connecting = command.name == "connect";
        if connecting == self.app.is_some() {
            return Err(Misbehaved::OutOfOrder(command.name.chars().take(MAX_LOGGED).collect()).into());
        }
        debug!(command = ?command.name.get(..MAX_LOGGED).unwrap_or(&command.name), stream, "command");
        let transaction = command.transaction;
        match command.name.as_str() {
            "connect" => self.connect(&command),
            "createStream" => self.create_stream(transaction),
            "publish" => return Ok(self.publish(stream, &command)),
            "FCPublish" => {
                self.answer(transaction, Value::Undefined);
                let info = Info::new(Status::PublishStart, "ready").with("detail", trimmed(name_of(&command)));
                self.output.command(0, &notice("onFCPublish", info));
            }
            "FCUnpublish" => {
                self.answer(transaction, Value::Undefined);
                let info = Info::new(Status::UnpublishSuccess, "stopped").with("detail", trimmed(name_of(&command)));
                self.output.command(0, &notice("onFCUnpublish", info));
                return Ok(self.unpublish());
            }
            "closeStream" => return Ok(self.close(stream)),
            "deleteStream" => {
                let deleted = command.argument(0).and_then(Value::as_u32).unwrap_or(stream);
                self.streams.remove(&deleted);
                return Ok(self.close(deleted));
            }
            "releaseStream" | "_checkbw" => self.answer(transaction, Value::Undefined),
            "getStreamLength" => self.answer(transaction, Value::Number(0.0)),
            "play" | "play2" => {
                let info = Info::new(Status::PlayFailed, "this port is for publishers; play over RTWebSocket");
                self.output.command(stream, &Command::on_status(info));
            }
            // Answers to what was not asked.
            "_result" | "_error" | "onStatus" => {}
            _ if transaction > 0.0 => {
                let info = Info::new(Status::CallFailed, "no such method");
                self.output.command(stream, &Command::error(transaction, info));
            }
            _ => {}
        }
        Ok(None)
    }

    fn connect(&mut self, command: &Command) {
        let property = |key| command.object.get(key).and_then(Value::as_str);
        self.credential = ["app", "tcUrl"].into_iter().find_map(|key| token(property(key)?));
        self.app =
            Some(property("app").or_else(|| property("tcUrl").and_then(url_path)).unwrap_or_default().to_owned());
        self.output.window_acknowledgement_size(WINDOW);
        self.output.set_peer_bandwidth(WINDOW);
        self.output.chunk_size();

        let mut info = Info::new(Status::ConnectSuccess, "connected").with("objectEncoding", 0u32);
        if ["fourCcList", "capsEx", "videoFourCcInfoMap", "audioFourCcInfoMap"]
            .iter()
            .any(|key| command.object.get(key).is_some())
        {
            let all = VIDEO_FOUR_CC.iter().chain(&AUDIO_FOUR_CC).map(|&four_cc| four_cc.into()).collect();
            let map = |list: &[&str]| Value::object(list.iter().map(|&four_cc| (four_cc, CAN_FORWARD)));
            info = info
                .with("fourCcList", Value::StrictArray(all))
                .with("videoFourCcInfoMap", map(&VIDEO_FOUR_CC))
                .with("audioFourCcInfoMap", map(&AUDIO_FOUR_CC))
                // None of the extended capabilities: reconnect, multitrack, ModEx, nanosecond offsets.
                .with("capsEx", 0u32);
        }
        let mut answer = Command::result(command.transaction, info);
        // Some encoders look for a version of this form.
        answer.object =
            Value::object([("fmsVer", Value::from("FMS/3,5,7,7009")), ("capabilities", Value::from(31u32))]);
        self.output.command(0, &answer);
    }

    fn create_stream(&mut self, transaction: f64) {
        if self.streams.len() >= MAX_STREAMS {
            let info = Info::new(Status::CallFailed, "too many streams");
            self.output.command(0, &Command::error(transaction, info));
            return;
        }
        let free = (1..).find(|id| !self.streams.contains(id)).unwrap_or(1);
        self.streams.insert(free);
        self.answer(transaction, Value::from(free));
    }

    fn publish(&mut self, stream: u32, command: &Command) -> Option<Event> {
        let name = trimmed(name_of(command));
        let path = StreamPath::new(trimmed(self.app.as_deref().unwrap_or_default()), name);
        let refusal = match (&self.publishing, path) {
            (Publishing::Asked { .. } | Publishing::Yes { .. }, _) => "this connection publishes already".to_owned(),
            (Publishing::No, Err(error)) => error.to_string(),
            (Publishing::No, Ok(_)) if !self.streams.contains(&stream) => "no such stream has been created".to_owned(),
            (Publishing::No, Ok(path)) => {
                self.publishing = Publishing::Asked { stream, name: name.to_owned() };
                let credential = token(name_of(command)).or_else(|| self.credential.clone());
                return Some(Event::Publish { path, credential });
            }
        };
        let info = Info::new(Status::PublishBadName, &refusal);
        self.output.command(stream, &Command::on_status(info));
        None
    }

    fn close(&mut self, id: u32) -> Option<Event> {
        match self.publishing {
            Publishing::Asked { stream, .. } | Publishing::Yes { stream, .. } if stream == id => self.unpublish(),
            Publishing::No | Publishing::Asked { .. } | Publishing::Yes { .. } => None,
        }
    }

    fn unpublish(&mut self) -> Option<Event> {
        let (Publishing::Asked { stream, .. } | Publishing::Yes { stream, .. }) = self.publishing else { return None };
        self.publishing = Publishing::No;
        let info = Info::new(Status::UnpublishSuccess, "stopped");
        self.output.command(stream, &Command::on_status(info));
        Some(Event::Unpublish)
    }

    /// Answers a call that wants an answer.
    fn answer(&mut self, transaction: f64, value: Value) {
        if transaction > 0.0 {
            self.output.command(0, &Command::result(transaction, value));
        }
    }
}

/// Most characters of a peer's words that are logged.
const MAX_LOGGED: usize = 32;

/// The stream name that a command is about.
fn name_of(command: &Command) -> &str {
    command.argument(0).and_then(Value::as_str).unwrap_or_default()
}

/// An application or stream name without its query and outer slashes.
fn trimmed(name: &str) -> &str {
    name.split('?').next().unwrap_or_default().trim_matches('/')
}

/// The credential behind a name or an address.
fn token(name: &str) -> Option<Secret> {
    query::value(query::split(name).1, "token").and_then(|token| Secret::brought(&token))
}

/// The path of a `tcUrl`.
fn url_path(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split_once('/').map(|(_, path)| path)
}

fn notice(name: &str, info: Info) -> Command {
    Command { name: name.to_owned(), ..Command::on_status(info) }
}

#[cfg(test)]
mod tests;
