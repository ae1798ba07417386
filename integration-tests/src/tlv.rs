//! A viewer of the dialects without flows: type, length, value over a WebSocket. Reads them by itself.

use std::collections::VecDeque;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};

use crate::websocket::{self, Incoming, WebSocket};

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
        segment: Vec<u8>,
    },
    /// A group begins with the next segment: its number, and its decode time in milliseconds.
    Keyframe(u64, u64),
    /// `moof` and `mdat` of video.
    Segment(Vec<u8>),
    /// `moof` and `mdat` of audio.
    Audio(Vec<u8>),
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
                    let bytes = self.socket.bytes(range).to_vec();
                    self.received += bytes.len() as u64;
                    self.read(&bytes)?;
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

    fn read(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (&[kind, a, b, c, d], rest) = bytes.split_first_chunk().context("a cut header")?;
            let (value, rest) =
                rest.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize).context("a cut value")?;
            self.messages.push_back(message(kind, value)?);
            bytes = rest;
        }
        Ok(())
    }
}

fn message(kind: u8, value: &[u8]) -> Result<Message> {
    Ok(match kind {
        1 => {
            let (&[w, v, _, _, a, b, c, d], rest) = value.split_first_chunk().context("a cut INIT")?;
            let len = u32::from_be_bytes([a, b, c, d]) as usize;
            let (codec, segment) = rest.split_at_checked(len).context("a cut codec string")?;
            let codec = String::from_utf8(codec.to_vec())?;
            Message::Init { width: u16::from_be_bytes([w, v]), codec, segment: segment.to_vec() }
        }
        2 => Message::Segment(value.to_vec()),
        3 => {
            let (group, time) = value.split_first_chunk::<8>().context("a cut KEYFRAME")?;
            Message::Keyframe(u64::from_be_bytes(*group), u64::from_be_bytes(time.try_into()?))
        }
        4 => Message::Audio(value.to_vec()),
        5 => Message::Metadata(String::from_utf8(value.to_vec())?),
        kind => bail!("a message of type {kind} from the gateway"),
    })
}
