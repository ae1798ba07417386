//! RTMP in from another server: its stream is played there and published here, by the same rules as an encoder's.
//!
//! ```text
//! connect ─▶ _result ─▶ createStream ─▶ _result ─▶ play ─▶ audio, video, data ─▶ broadcast::Publisher
//! ```
//!
//! | specification | section |
//! |---|---|
//! | RTMP 1.0 (Adobe, 2012) | §5.2 handshake, §7.2.1 and §7.2.2 commands of a player |
//!
//! The server is the operator's own, and is read with the limits of a stranger all the same.

use std::fmt;
use std::str::FromStr;

use bytes::Buf;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, info};

use super::aggregate::Aggregate;
use super::chunk::{ChunkReader, Message};
use super::output::Output;
use super::{Awaited, Config, Connection, IngestError, Misbehaved, message_type};
use crate::broadcast::{Intake, Publisher, Registry, StreamPath, Taken};
use crate::clock::Clock;
use crate::wire::amf0::Value;
use crate::wire::tc::Command;
use crate::wire::url::host_and_port;

/// The port of an address that names none.
const PORT: u16 = 1935;

const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// Received bytes after which the server is told how many there were, unless it asks for another number: what servers ask for.
const WINDOW: u64 = 2_500_000;

/// Transactions of the commands. Defined by: RTMP 1.0, §7.2.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 2.0;

/// A stream on another server: `rtmp://host[:port]/app/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    host: String,
    port: u16,
    app: String,
    name: String,
}

/// A text that names no stream of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("write rtmp://host:port/app/name")]
pub struct InvalidOrigin;

/// Why a stream is not, or no longer, pulled.
#[derive(Debug, Error)]
pub enum PullError {
    /// As with a publisher.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The server does not give it.
    #[error("the server says {0}")]
    Refused(String),
    /// It has ended.
    #[error("the stream has ended")]
    Ended,
    /// Somebody publishes the path here.
    #[error(transparent)]
    Taken(#[from] Taken),
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (server, path) = text.strip_prefix("rtmp://").and_then(|rest| rest.split_once('/')).ok_or(InvalidOrigin)?;
        let (app, name) = path.rsplit_once('/').ok_or(InvalidOrigin)?;
        let (host, port) = host_and_port(server, PORT).ok_or(InvalidOrigin)?;
        if [app, name].contains(&"") {
            return Err(InvalidOrigin);
        }
        Ok(Self { host: host.into(), port, app: app.into(), name: name.into() })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, app, name } = self;
        write!(f, "rtmp://{host}:{port}/{app}/{name}")
    }
}

/// Plays `origin` and publishes it as `path` until either ends. Dropping the future takes the stream offline.
///
/// # Errors
/// [`PullError`], always: a live stream has no other end.
pub async fn pull(
    origin: &Origin,
    path: &StreamPath,
    registry: &Registry,
    config: &Config,
    clock: Clock,
) -> Result<(), PullError> {
    let address = (origin.host.trim_matches(['[', ']']), origin.port);
    let connecting = timeout(config.handshake_timeout, TcpStream::connect(address));
    let socket = connecting.await.map_err(|_| IngestError::TimedOut(Awaited::Handshake))?.map_err(IngestError::Io)?;
    socket.set_nodelay(true).map_err(IngestError::Io)?;
    let input = bytes::BytesMut::new();
    let mut connection = Connection { socket, input, deadline: clock.now() + config.handshake_timeout, clock };
    connection.greet().await?;
    connection.deadline = clock.now() + config.publish_timeout;
    let mut player = Player::new(origin, config);
    player.connect();
    let mut publisher: Option<Publisher> = None;
    player.received(connection.input.len());
    loop {
        let now = clock.now();
        while let Some(message) = player.chunks.read(&mut connection.input).map_err(misbehaved)? {
            for message in parts(message) {
                let Some((kind, timestamp, buffer)) = player.handle(message)? else { continue };
                let publisher = match &mut publisher {
                    Some(publisher) => publisher,
                    None => {
                        info!(stream = %path, %origin, "pulling");
                        publisher.insert(registry.publish(path, now)?)
                    }
                };
                let unit = player.intake.read(kind, timestamp, buffer).map_err(IngestError::from)?;
                if let Some(unit) = unit {
                    publisher.append_quietly(unit, now).map_err(IngestError::from)?;
                }
            }
        }
        let awaited = match &mut publisher {
            Some(publisher) => {
                publisher.wake(now);
                connection.deadline = publisher.stalls_at();
                Awaited::Media
            }
            None => Awaited::Publish,
        };
        connection.write(&player.output.take(), awaited).await?;
        let wake_at = publisher.as_ref().and_then(Publisher::wake_at);
        let Some(count) = connection.read_until(wake_at, awaited).await? else { continue };
        if count == 0 {
            return Err(PullError::Ended);
        }
        player.received(count);
    }
}

/// A player's side of the talk.
struct Player<'a> {
    origin: &'a Origin,
    chunks: ChunkReader,
    output: Output,
    intake: Intake,
    window: u64,
    total: u64,
    acknowledged: u64,
}

impl<'a> Player<'a> {
    fn new(origin: &'a Origin, config: &Config) -> Self {
        Self {
            origin,
            chunks: ChunkReader::new(config.chunk_limits()),
            output: Output::new(),
            intake: Intake::default(),
            window: WINDOW,
            total: 0,
            acknowledged: 0,
        }
    }

    fn connect(&mut self) {
        let Origin { host, port, app, .. } = self.origin;
        let url = format!("rtmp://{host}:{port}/{app}");
        let object = Value::object([("app", Value::from(app.as_str())), ("tcUrl", Value::from(url.as_str()))]);
        self.output.chunk_size();
        self.output.command(0, &Command { object, ..Command::new("connect", CONNECT, vec![]) });
    }

    fn received(&mut self, bytes: usize) {
        self.total += bytes as u64;
        if self.total - self.acknowledged >= self.window {
            self.acknowledged = self.total;
            // The total goes on modulo 2^32.
            self.output.acknowledgement(self.total as u32);
        }
    }

    /// Takes in a message; gives those that are media.
    fn handle(&mut self, message: Message) -> Result<Option<(u8, u32, bytes::BytesMut)>, PullError> {
        match message.kind {
            message_type::AUDIO | message_type::VIDEO | message_type::DATA_AMF0 | message_type::DATA_AMF3 => {
                return Ok(Some((message.kind, message.timestamp, message.buffer)));
            }
            message_type::COMMAND_AMF0 => self.handle_command(message.body())?,
            message_type::COMMAND_AMF3 => self.handle_command(message.body().get(1..).unwrap_or_default())?,
            message_type::WINDOW_ACKNOWLEDGEMENT_SIZE => {
                let size = message.body().try_get_u32();
                self.window = size.map_or(WINDOW, u64::from).max(1);
            }
            message_type::USER_CONTROL => {
                let mut body = message.body();
                if let (Ok(PING_REQUEST), Ok(time)) = (body.try_get_u16(), body.try_get_u32()) {
                    self.output.user_control(PING_RESPONSE, time);
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn handle_command(&mut self, body: &[u8]) -> Result<(), PullError> {
        let command = Command::decode(body).map_err(|error| IngestError::from(Misbehaved::from(error)))?;
        debug!(?command, "command");
        match command.name.as_str() {
            "_result" if command.transaction == CONNECT => {
                self.output.command(0, &Command::new("createStream", CREATE_STREAM, vec![]));
            }
            "_result" if command.transaction == CREATE_STREAM => {
                let stream = command.argument(0).and_then(Value::as_u32).unwrap_or(1);
                self.output.command(stream, &Command::new("play", 0.0, vec![self.origin.name.as_str().into()]));
            }
            "_error" => return Err(refused(&command)),
            "onStatus" => {
                let level = command.argument(0).and_then(|info| info.get("level")).and_then(Value::as_str);
                match command.status_code() {
                    Some("NetStream.Play.UnpublishNotify" | "NetStream.Play.Stop" | "NetStream.Play.Complete") => {
                        return Err(PullError::Ended);
                    }
                    _ if level == Some("error") => return Err(refused(&command)),
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn refused(command: &Command) -> PullError {
    PullError::Refused(command.status_code().unwrap_or(&command.name).chars().take(64).collect())
}

fn misbehaved(error: super::ChunkError) -> PullError {
    IngestError::from(Misbehaved::from(error)).into()
}

/// The messages that an aggregate holds, or the message itself.
fn parts(message: Message) -> Box<dyn Iterator<Item = Message> + Send> {
    if message.kind == message_type::AGGREGATE {
        Box::new(Aggregate::new(message))
    } else {
        Box::new(std::iter::once(message))
    }
}

impl Connection<TcpStream> {
    /// The handshake of who calls.
    async fn greet(&mut self) -> Result<(), IngestError> {
        let failed = |error| Misbehaved::Handshake(format!("{error}"));
        let mut handshake = Handshake::new(PeerType::Client);
        let hello = handshake.generate_outbound_p0_and_p1().map_err(failed)?;
        self.write(&hello, Awaited::Handshake).await?;
        loop {
            if self.read(Awaited::Handshake).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            match handshake.process_bytes(&self.input.split()).map_err(failed)? {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    self.write(&response_bytes, Awaited::Handshake).await?;
                }
                HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                    self.input.extend_from_slice(&remaining_bytes);
                    return self.write(&response_bytes, Awaited::Handshake).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for (text, shown) in [
            ("rtmp://h/live/x", "rtmp://h:1935/live/x"),
            ("rtmp://h:1936/a/b/x?key=1", "rtmp://h:1936/a/b/x?key=1"),
            ("rtmp://[::1]/live/x", "rtmp://[::1]:1935/live/x"),
            ("rtmp://[::1]:7/live/x", "rtmp://[::1]:7/live/x"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), shown);
        }
        for text in
            ["", "h/live/x", "http://h/live/x", "rtmp://h", "rtmp://h/live", "rtmp:///live/x", "rtmp://h:x/live/x"]
        {
            assert_eq!(text.parse::<Origin>(), Err(InvalidOrigin), "{text}");
        }
    }
}
