//! RTMP in: one publisher, from its first byte to its last; or one stream that is [pulled](pull()) from another server.
//!
//! ```text
//! socket ─▶ handshake (rml_rtmp) ─▶ chunk: bytes → messages ─▶ session: messages → units ─▶ broadcast::Publisher
//!        ◀──────────────────────────────── output: answers ◀─┘
//! ```
//!
//! Invariant: what strangers can make this hold is bounded by [`Config`] and the constants beside each reader.

mod aggregate;
mod chunk;
mod config;
mod error;
mod metrics;
mod output;
mod pull;
mod session;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::select;
use tokio::task::yield_now;
use tokio::time::timeout_at;
use tracing::{Span, debug, field, info};

use self::session::{Event, Session};
use crate::authority::{Action, Grant, Secret, Visitor, Wish};
use crate::broadcast::{Publisher, Registry, StreamPath};
use crate::clock::Clock;
use crate::wire::tc::Status;

pub use self::chunk::ChunkError;
pub use self::config::Config;
pub use self::error::{Awaited, IngestError, Misbehaved};
pub use self::metrics::Metrics;
pub use self::pull::{InvalidOrigin, Origin, PullError, pull};

/// Most bytes read at once, and so most that is held beside the messages themselves.
const READ_SIZE: usize = 32 * 1024;

/// How long a peer may take to accept the reason for which it is dropped.
const FAREWELL: Duration = Duration::from_secs(1);

/// Message types. Defined by: RTMP 1.0, §5.4 and §7.1.
mod message_type {
    pub(super) use crate::wire::tc::message_type::{
        AUDIO, COMMAND_AMF0, COMMAND_AMF3, DATA_AMF0, DATA_AMF3, USER_CONTROL, VIDEO,
    };

    pub(in crate::ingest) const ACKNOWLEDGEMENT: u8 = 3;
    pub(in crate::ingest) const WINDOW_ACKNOWLEDGEMENT_SIZE: u8 = 5;
    pub(in crate::ingest) const SET_PEER_BANDWIDTH: u8 = 6;
    pub(in crate::ingest) const AGGREGATE: u8 = 22;
}

/// Serves one RTMP connection until it ends. Dropping the future takes the stream offline.
///
/// Fills in the field `stream` of the current span once the stream is known.
///
/// # Errors
/// [`IngestError`] when it did not end in order.
pub async fn serve<S>(
    socket: S,
    registry: &Registry,
    config: &Config,
    clock: Clock,
    visitor: &Visitor,
) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut connection =
        Connection { socket, input: BytesMut::new(), deadline: clock.now() + config.handshake_timeout, clock };
    connection.handshake().await?;
    let mut session = Session::new(config);
    let result = connection.converse(&mut session, registry, config, visitor).await;
    if let Err(error) = &result {
        if let IngestError::TimedOut(Awaited::Media) = error {
            session.refuse(Status::PublishRejected, &error.to_string());
        }
        connection.say(&session.take_output()).await;
    }
    result
}

/// A socket, what has been read of it and not yet used, and until when the peer has to do what is awaited.
struct Connection<S> {
    socket: S,
    input: BytesMut,
    deadline: Instant,
    clock: Clock,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    async fn handshake(&mut self) -> Result<(), IngestError> {
        let mut handshake = Handshake::new(PeerType::Server);
        let failed = |error| Misbehaved::Handshake(format!("{error}"));
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

    async fn converse(
        &mut self,
        session: &mut Session,
        registry: &Registry,
        config: &Config,
        visitor: &Visitor,
    ) -> Result<(), IngestError> {
        let mut publisher: Option<(Publisher, Grant)> = None;
        self.deadline = self.clock.now() + config.publish_timeout;
        session.received(self.input.len());
        loop {
            let now = self.clock.now();
            while let Some(event) = session.read(&mut self.input)? {
                match event {
                    Event::Publish { path, credential } => {
                        Span::current().record("stream", field::display(&path));
                        let grant = self.ask(visitor, &path, credential).await.inspect_err(|denied| {
                            session.refuse(Status::PublishRejected, &denied.told());
                        })?;
                        match registry.publish(&path, now) {
                            Ok(accepted) => {
                                info!(stream = %path, "publishing");
                                publisher = Some((accepted, grant));
                                session.accept();
                            }
                            Err(taken) => {
                                info!(stream = %path, "refused: {taken}");
                                session.refuse(Status::PublishBadName, &taken.to_string());
                            }
                        }
                    }
                    Event::Unit(unit) => {
                        let Some((publisher, _)) = &mut publisher else { continue };
                        publisher.append_quietly(unit, now).inspect_err(|replaced| {
                            session.refuse(Status::PublishRejected, &replaced.to_string());
                        })?;
                    }
                    Event::Unpublish => {
                        info!("unpublished");
                        publisher = None;
                        self.deadline = now + config.publish_timeout;
                    }
                }
            }
            let awaited = match &mut publisher {
                Some((publisher, _)) => {
                    publisher.wake(now);
                    self.deadline = publisher.stalls_at();
                    Awaited::Media
                }
                None => Awaited::Publish,
            };
            self.write(&session.take_output(), awaited).await?;
            let wake_at = publisher.as_ref().and_then(|(publisher, _)| publisher.wake_at());
            let Some(count) = self.read_until(wake_at, awaited).await? else { continue };
            if count == 0 {
                debug!("closed by the peer");
                return Ok(());
            }
            session.received(count);
        }
    }

    /// Asks whether it may publish. The answer comes in time: whoever is asked has less than a peer has.
    async fn ask(
        &self,
        visitor: &Visitor,
        path: &StreamPath,
        credential: Option<Secret>,
    ) -> Result<Grant, IngestError> {
        let wish = Wish { action: Action::Publish, path: path.as_str(), credential, rate: 0 };
        let asking = visitor.ask(wish, self.clock.wall());
        let answer = timeout_at(self.deadline.into(), asking).await;
        Ok(answer.map_err(|_| IngestError::TimedOut(Awaited::Publish))??)
    }

    /// Tells the peer why it is dropped, and drops what it still sends: closing a socket with unread bytes would reset the
    /// connection before the peer has read the reason.
    async fn say(&mut self, reason: &[u8]) {
        self.deadline = self.clock.now() + FAREWELL;
        if reason.is_empty() || self.write(reason, Awaited::Media).await.is_err() {
            return;
        }
        let _ = self.socket.shutdown().await;
        while matches!(self.read(Awaited::Media).await, Ok(1..)) {
            self.input.clear();
        }
    }

    /// Reads what is there, waiting for something. 0: the peer has closed.
    async fn read(&mut self, awaited: Awaited) -> Result<usize, IngestError> {
        self.input.reserve(READ_SIZE);
        let read = self.socket.read_buf(&mut self.input);
        Ok(timeout_at(self.deadline.into(), read).await.map_err(|_| IngestError::TimedOut(awaited))??)
    }

    /// The same, but only until a publisher's viewers are to be woken: nothing then.
    async fn read_until(&mut self, wake_at: Option<Instant>, awaited: Awaited) -> Result<Option<usize>, IngestError> {
        let clock = self.clock;
        if wake_at.is_some_and(|at| at <= clock.now()) {
            yield_now().await;
        }
        // What has come first, so that it is sent with what was there before to those who are left.
        select! {
            biased;
            count = self.read(awaited) => count.map(Some),
            () = clock.reach(wake_at) => Ok(None),
        }
    }

    async fn write(&mut self, bytes: &[u8], awaited: Awaited) -> Result<(), IngestError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let write = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        Ok(timeout_at(self.deadline.into(), write).await.map_err(|_| IngestError::TimedOut(awaited))??)
    }
}

#[cfg(test)]
mod tests;
