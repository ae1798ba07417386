//! What strangers say over HTTP/3: streams and frames byte by byte, read without any stack's help.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use tokio::time::timeout;

use crate::stage::LIMIT;

/// Frame types.
pub const DATA: u64 = 0x00;
/// A header section.
pub const HEADERS: u64 = 0x01;
/// What a client is ready for.
pub const SETTINGS: u64 = 0x04;
/// A type that is kept for what means nothing.
pub const GREASE: u64 = 0x21;
/// The capsule that ends a session.
pub const CLOSE_SESSION: u64 = 0x2843;

/// The name of the unidirectional stream that carries a session's lanes.
const LANE: u64 = 0x54;
/// Most of an answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// A connection that speaks HTTP/3 as far as it is told to.
pub struct Http3 {
    /// QUIC below it.
    pub connection: Connection,
    _control: SendStream,
    _endpoint: Endpoint,
}

/// A session on it.
pub struct Session {
    /// Its number: that of its stream.
    pub id: u64,
    /// Its CONNECT stream, to the gateway.
    pub send: SendStream,
    /// And from it, behind the answer.
    pub recv: RecvStream,
    /// The header section of the answer.
    pub answer: Vec<u8>,
}

impl Http3 {
    /// Connects, and says what every client says first.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn connect(server: SocketAddr) -> Result<Self> {
        let (connection, endpoint) = quic(server).await?;
        let mut control = connection.open_uni().await?;
        control.write_all(&[&[0][..], &frame(SETTINGS, &[0x33, 1])].concat()).await?;
        Ok(Self { connection, _control: control, _endpoint: endpoint })
    }

    /// Begins a request.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn request(&self, fields: &[(&str, &str)]) -> Result<(SendStream, RecvStream)> {
        let (mut send, recv) = self.connection.open_bi().await?;
        send.write_all(&headers(fields)).await?;
        Ok((send, recv))
    }

    /// Asks for a page; gives the whole answer, as it has come.
    ///
    /// # Errors
    /// When none comes.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.answer(&[(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]).await
    }

    /// Asks, and gives the whole answer, as it has come.
    ///
    /// # Errors
    /// When none comes.
    pub async fn answer(&self, fields: &[(&str, &str)]) -> Result<Vec<u8>> {
        let (mut send, mut recv) = self.request(fields).await?;
        send.finish()?;
        timeout(LIMIT, recv.read_to_end(MAX_ANSWER)).await.context("no answer")?.context("no answer")
    }

    /// Asks for a session, and waits for the answer.
    ///
    /// # Errors
    /// When none comes.
    pub async fn session(&self, path: &str) -> Result<Session> {
        let (send, mut recv) = self.request(&connecting(path)).await?;
        let answered = timeout(LIMIT, read_frame(&mut recv)).await.context("no answer")?;
        let (kind, answer) = answered?;
        ensure!(kind == HEADERS, "answered with a frame {kind:#x}");
        Ok(Session { id: send.id().into(), send, recv, answer })
    }

    /// Opens a lane of a session, with what it begins with.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn lane(&self, session: u64, bytes: &[u8]) -> Result<SendStream> {
        let mut lane = self.connection.open_uni().await?;
        lane.write_all(&[&varint(LANE)[..], &varint(session), bytes].concat()).await?;
        Ok(lane)
    }

    /// The next stream that the gateway opens, and its type.
    ///
    /// # Errors
    /// When none comes.
    pub async fn accept(&self) -> Result<(u64, RecvStream)> {
        let mut stream = timeout(LIMIT, self.connection.accept_uni()).await.context("no stream comes")??;
        let kind = timeout(LIMIT, read_varint(&mut stream)).await.context("it says nothing")??;
        Ok((kind, stream))
    }

    /// The next lane of a session, behind its header.
    ///
    /// # Errors
    /// When something else comes.
    pub async fn accept_lane(&self, session: u64) -> Result<RecvStream> {
        loop {
            let (kind, mut stream) = self.accept().await?;
            if kind == 0 {
                continue;
            }
            ensure!(kind == LANE, "a stream of type {kind:#x}");
            let of = read_varint(&mut stream).await?;
            ensure!(of == session, "a lane of session {of}, not {session}");
            return Ok(stream);
        }
    }

    /// Waits until the gateway has closed the connection; gives its code.
    ///
    /// # Errors
    /// When it does not, or otherwise.
    pub async fn is_closed(&self) -> Result<u64> {
        match timeout(LIMIT, self.connection.closed()).await.context("not closed")? {
            quinn::ConnectionError::ApplicationClosed(close) => Ok(close.error_code.into()),
            other => Err(other.into()),
        }
    }
}

/// A QUIC connection that agrees upon HTTP/3, and where it begins.
///
/// # Errors
/// When it is refused.
pub async fn quic(server: SocketAddr) -> Result<(Connection, Endpoint)> {
    let mut tls = (*crate::tls::client()?).clone();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut transport = TransportConfig::default();
    transport.datagram_receive_buffer_size(Some(64 << 10));
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    let mut endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
    endpoint.set_default_client_config(config);
    let connection = timeout(LIMIT, endpoint.connect(server, "localhost")?).await.context("no handshake")??;
    Ok((connection, endpoint))
}

/// The fields of a request for a session.
pub fn connecting(path: &str) -> [(&str, &str); 6] {
    [
        (":method", "CONNECT"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
        (":protocol", "webtransport"),
        ("sec-webtransport-http3-draft02", "1"),
    ]
}

/// A header section in its frame: no table, no code, every field in its own words.
pub fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in fields {
        string(0x20, 3, name, &mut section);
        string(0, 7, value, &mut section);
    }
    frame(HEADERS, &section)
}

/// A frame, or a capsule.
pub fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    [&varint(kind)[..], &varint(payload.len() as u64), payload].concat()
}

/// A variable-length integer, in eight bytes or one.
pub fn varint(value: u64) -> Vec<u8> {
    if value < 0x40 { vec![value as u8] } else { (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec() }
}

/// The HTTP/3 code for a session's own, as the specification writes it.
pub fn session_code(code: u64) -> u64 {
    0x52e4_a40f_a8db + code + code / 0x1e
}

/// Reads a frame: its type and its payload.
///
/// # Errors
/// When the stream ends before.
pub async fn read_frame(stream: &mut RecvStream) -> Result<(u64, Vec<u8>)> {
    let (kind, len) = (read_varint(stream).await?, read_varint(stream).await?);
    ensure!(len <= MAX_ANSWER as u64, "a frame of {len} bytes");
    let mut payload = vec![0; len as usize];
    stream.read_exact(&mut payload).await?;
    Ok((kind, payload))
}

/// Reads a variable-length integer.
///
/// # Errors
/// When the stream ends before.
pub async fn read_varint(stream: &mut RecvStream) -> Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes[..1]).await?;
    let len = 1 << (bytes[0] >> 6);
    stream.read_exact(&mut bytes[1..len]).await?;
    bytes[0] &= 0x3f;
    Ok(bytes[..len].iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

fn string(flags: u8, bits: u32, text: &str, out: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    let Some(mut rest) = text.len().checked_sub(most) else {
        out.push(flags | text.len() as u8);
        out.extend(text.as_bytes());
        return;
    };
    out.push(flags | most as u8);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out.extend(text.as_bytes());
}
