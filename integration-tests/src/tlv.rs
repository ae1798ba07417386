//! A viewer of the dialects without flows: type, length, value over a WebSocket. Reads them by itself.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use bytes::{Buf, Bytes};

use crate::websocket::{self, Incoming, WebSocket};

/// Length of what is before a message's value.
pub const HEADER_LEN: usize = 5;

/// A dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Standard WebSocket: what comes is acknowledged.
    Acknowledged,
    /// The same, and it is not.
    Silent,
    /// `websocketstream`.
    Stream,
}

impl Dialect {
    /// Those that a viewer stays live by.
    pub const ALL: [Self; 2] = [Self::Acknowledged, Self::Stream];

    /// The name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Acknowledged => "websocket",
            Dialect::Silent => "websocket-silent",
            Dialect::Stream => "websocketstream",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|dialect| dialect.name() == text);
        known.ok_or_else(|| format!("{text} is none of websocket, websocketstream"))
    }
}

/// What the gateway sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A track's header.
    Init {
        /// In pixels; 0 for audio.
        width: u16,
        /// The codec string.
        codec: String,
        /// `ftyp` and `moov`.
        segment: Bytes,
    },
    /// A group begins with the next segment: its number, and its decode time in milliseconds.
    Keyframe(u64, u64),
    /// `moof` and `mdat` of video.
    Segment(Bytes),
    /// `moof` and `mdat` of audio.
    Audio(Bytes),
    /// JSON.
    Metadata(String),
}

/// A viewer of one stream.
pub struct Viewer {
    socket: WebSocket,
    dialect: Dialect,
    /// Bytes of messages so far.
    received: u64,
    acknowledged: u64,
    messages: VecDeque<Message>,
}

impl Viewer {
    /// Connects to `stream` (`app/name`, with a query if need be).
    ///
    /// # Errors
    /// When the gateway refuses.
    pub async fn play(server: SocketAddr, dialect: Dialect, stream: &str) -> Result<Self> {
        Self::play_over(server, false, dialect, stream).await
    }

    /// The same over TLS if need be, any certificate believed.
    ///
    /// # Errors
    /// As [`Viewer::play`].
    pub async fn play_over(server: SocketAddr, is_encrypted: bool, dialect: Dialect, stream: &str) -> Result<Self> {
        let socket = websocket::dial(server, is_encrypted).await?;
        let protocol = (dialect == Dialect::Stream).then_some("websocketstream");
        let path = format!("/ws/{stream}");
        let socket = WebSocket::offer(socket, &server.to_string(), &path, protocol).await?;
        Ok(Self { socket, dialect, received: 0, acknowledged: 0, messages: VecDeque::new() })
    }

    /// The next message. Cancel safe.
    ///
    /// # Errors
    /// When the gateway ends, or sends what can't be read.
    pub async fn next(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Ok(message);
            }
            match self.socket.try_next()? {
                Some(Incoming::Binary(range)) => {
                    let bytes = Bytes::copy_from_slice(self.socket.bytes(range));
                    self.received += bytes.len() as u64;
                    self.messages.extend(read(bytes)?);
                }
                Some(Incoming::Close(code)) => bail!("closed by the gateway: {code:?}"),
                None => {
                    // Rarely enough to cost nothing, often enough never to be waited for.
                    if self.dialect == Dialect::Acknowledged && self.received >= self.acknowledged + 100_000 {
                        self.acknowledge();
                    }
                    self.socket.flush().await?;
                    ensure!(self.socket.fill().await?, "dropped by the gateway");
                }
            }
        }
    }

    /// Acknowledges all that has come, with the next read.
    pub fn acknowledge(&mut self) {
        self.acknowledged = self.received;
        self.socket.send(&[&[6, 0, 0, 0, 9, 1], &self.received.to_be_bytes()]);
    }

    /// Bytes of messages that have come.
    pub fn received(&self) -> u64 {
        self.received
    }
}

/// Reads all messages of one of the transport's.
///
/// # Errors
/// When one is cut, or is none that the gateway may send.
pub fn read(mut bytes: Bytes) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    while bytes.has_remaining() {
        let (kind, len) = (bytes.try_get_u8()?, bytes.try_get_u32()? as usize);
        ensure!(bytes.len() >= len, "a cut value");
        messages.push(message(kind, bytes.split_to(len))?);
    }
    Ok(messages)
}

fn message(kind: u8, mut value: Bytes) -> Result<Message> {
    Ok(match kind {
        1 => {
            let (width, _height) = (value.try_get_u16()?, value.try_get_u16()?);
            let len = value.try_get_u32()? as usize;
            ensure!(value.len() >= len, "a cut codec string");
            let codec = String::from_utf8(value.split_to(len).to_vec())?;
            Message::Init { width, codec, segment: value }
        }
        2 => Message::Segment(value),
        3 => Message::Keyframe(value.try_get_u64()?, value.try_get_u64()?),
        4 => Message::Audio(value),
        5 => Message::Metadata(String::from_utf8(value.to_vec())?),
        kind => bail!("a message of type {kind} from the gateway"),
    })
}
