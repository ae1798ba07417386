//! The client's end of a WebSocket, just as much as the viewer needs: messages are read where they lie in the buffer.
//!
//! | specification | section |
//! |---|---|
//! | RFC 6455 | §4.1, §5 |

use std::net::SocketAddr;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The specification's sample key and the answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Most bytes of one message: far above any frame of the test streams.
const MAX_MESSAGE: usize = 1 << 20;
const READ_SIZE: usize = 64 << 10;

/// A byte stream under a WebSocket: TCP, or TLS over it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connects, over TLS if need be, any certificate believed.
pub(crate) async fn dial(server: SocketAddr, is_encrypted: bool) -> Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect(server).await?;
    tcp.set_nodelay(true)?;
    if !is_encrypted {
        return Ok(Box::new(tcp));
    }
    let connector = TlsConnector::from(crate::tls::client()?);
    Ok(Box::new(connector.connect(ServerName::try_from("localhost")?, tcp).await?))
}

/// What the server sent.
pub(crate) enum Incoming {
    /// A binary message; see [`WebSocket::bytes`].
    Binary(Range<usize>),
    /// A Close frame, with its code if it has one.
    Close(Option<u16>),
}

/// A connected WebSocket.
pub(crate) struct WebSocket {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    unread: Range<usize>,
    out: Vec<u8>,
}

impl WebSocket {
    /// Asks for the upgrade and checks the answer.
    pub(crate) async fn connect(stream: Box<dyn Stream>, host: &str, path: &str) -> Result<Self> {
        Self::offer(stream, host, path, None).await
    }

    /// The same, offering a subprotocol, which must be answered.
    pub(crate) async fn offer(
        mut stream: Box<dyn Stream>,
        host: &str,
        path: &str,
        protocol: Option<&str>,
    ) -> Result<Self> {
        let offer = protocol.map(|protocol| format!("Sec-WebSocket-Protocol: {protocol}\r\n")).unwrap_or_default();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = vec![0; READ_SIZE];
        let mut len = 0;
        let head_len = loop {
            let read = stream.read(&mut buffer[len..]).await.context("reading the upgrade's answer")?;
            ensure!(read > 0, "closed during the upgrade");
            len += read;
            if let Some(end) = buffer[..len].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(len < 8192, "endless answer to the upgrade");
        };
        let head = str::from_utf8(&buffer[..head_len])?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "upgrade refused: {head}");
        let values = |field: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let values = lines.filter(|(name, _)| name.eq_ignore_ascii_case(field)).map(|(_, value)| value);
            values.collect::<Vec<_>>()
        };
        ensure!(values("sec-websocket-accept") == [ACCEPT], "wrong answer to the key: {head}");
        // One that nobody offered would be as wrong as none.
        ensure!(values("sec-websocket-protocol") == Vec::from_iter(protocol), "wrong subprotocol: {head}");
        Ok(Self { stream, buffer, unread: head_len..len, out: Vec::new() })
    }

    /// The bytes of a message, valid until the next read.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// The next message if it has been read from the stream already.
    pub(crate) fn try_next(&mut self) -> Result<Option<Incoming>> {
        loop {
            let bytes = &self.buffer[self.unread.clone()];
            let &[first, second, ..] = bytes else { return Ok(None) };
            ensure!(first & 0xf0 == 0x80, "a fragmented message or a reserved bit: {first:02x}");
            ensure!(second & 0x80 == 0, "a masked frame from the server");
            let (len, head_len) = match second {
                126 => match bytes {
                    &[_, _, a, b, ..] => (u64::from(u16::from_be_bytes([a, b])), 4),
                    _ => return Ok(None),
                },
                127 => match bytes.get(2..10) {
                    Some(len) => (u64::from_be_bytes(len.try_into()?), 10),
                    None => return Ok(None),
                },
                len => (len.into(), 2),
            };
            ensure!(len <= MAX_MESSAGE as u64, "a message of {len} bytes");
            let len = len as usize;
            if bytes.len() < head_len + len {
                return Ok(None);
            }
            let start = self.unread.start + head_len;
            let payload = start..start + len;
            self.unread.start = payload.end;
            match first & 0xf {
                2 => return Ok(Some(Incoming::Binary(payload))),
                8 => {
                    let code = self.buffer[payload].first_chunk().map(|code| u16::from_be_bytes(*code));
                    return Ok(Some(Incoming::Close(code)));
                }
                9 => {
                    let payload = self.buffer[payload].to_vec();
                    self.queue(0xa, &[&payload]);
                }
                0xa => {}
                opcode => bail!("opcode {opcode} from the server"),
            }
        }
    }

    /// Reads once from the stream. `false`: it has ended. Cancel safe.
    pub(crate) async fn fill(&mut self) -> Result<bool> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.start > 0 && self.buffer.len() - self.unread.end < READ_SIZE / 2 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        if self.buffer.len() == self.unread.end {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = self.stream.read(&mut self.buffer[self.unread.end..]).await;
        let read = match read {
            // A peer that ends a TLS stream or drops a connection is not this layer's concern.
            Err(error) if is_end(&error) => 0,
            read => read?,
        };
        self.unread.end += read;
        Ok(read > 0)
    }

    /// Queues a binary message made of `parts`.
    pub(crate) fn send(&mut self, parts: &[&[u8]]) {
        self.queue(2, parts);
    }

    /// Queues a Close frame.
    pub(crate) fn close(&mut self) {
        self.queue(8, &[&1000u16.to_be_bytes()]);
    }

    /// Writes what is queued.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        match self.stream.write_all(&self.out).await {
            // What the peer said before it left is still to be read.
            Err(error) if is_end(&error) => {}
            written => written.context("writing")?,
        }
        self.stream.flush().await.ok();
        self.out.clear();
        Ok(())
    }

    fn queue(&mut self, opcode: u8, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.out.push(0x80 | opcode);
        match len {
            0..126 => self.out.push(0x80 | len as u8),
            126..0x1_0000 => {
                self.out.push(0x80 | 126);
                self.out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                self.out.push(0x80 | 127);
                self.out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        self.out.extend_from_slice(&MASK);
        let bytes = parts.iter().copied().flatten();
        self.out.extend(bytes.zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
}

fn is_end(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (WebSocket, tokio::io::DuplexStream) {
        let (client, mut server) = tokio::io::duplex(1 << 20);
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n");
        server.write_all(answer.as_bytes()).await.unwrap();
        let socket = WebSocket::connect(Box::new(client), "localhost", "/live").await.unwrap();
        let mut request = vec![0; 4096];
        let len = server.read(&mut request).await.unwrap();
        assert!(request[..len].ends_with(b"\r\n\r\n"));
        (socket, server)
    }

    #[tokio::test]
    async fn messages_of_every_length_form_come_whole_however_they_are_cut() {
        let (mut socket, mut server) = pair().await;
        let lens = [0, 125, 126, 65_535, 65_536, 200_000];
        let mut wire = vec![0x89, 2, b'h', b'i'];
        for len in lens {
            wire.push(0x82);
            match len {
                0..126 => wire.push(len as u8),
                126..65_536 => wire.extend([&[126][..], &(len as u16).to_be_bytes()].concat()),
                _ => wire.extend([&[127][..], &(len as u64).to_be_bytes()].concat()),
            }
            wire.extend(vec![7; len]);
        }
        let sender = tokio::spawn(async move {
            for part in wire.chunks(4099) {
                server.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            server
        });
        let mut seen = Vec::new();
        while seen.len() < lens.len() {
            match socket.try_next().unwrap() {
                Some(Incoming::Binary(range)) => seen.push(socket.bytes(range).len()),
                Some(_) => panic!("no end was sent"),
                None => assert!(socket.fill().await.unwrap()),
            }
        }
        assert_eq!(seen, lens);
        socket.flush().await.unwrap();
        let mut pong = [0; 8];
        sender.await.unwrap().read_exact(&mut pong).await.unwrap();
        assert_eq!(pong, [0x8a, 0x82, 0x37, 0xfa, 0x21, 0x3d, b'h' ^ 0x37, b'i' ^ 0xfa]);
    }

    #[tokio::test]
    async fn a_close_frame_is_told_from_a_dropped_connection() {
        let (mut socket, mut server) = pair().await;
        server.write_all(&[0x88, 2, 0x03, 0xe9]).await.unwrap();
        drop(server);
        assert!(socket.fill().await.unwrap());
        assert!(matches!(socket.try_next().unwrap(), Some(Incoming::Close(Some(1001)))));
        assert!(!socket.fill().await.unwrap());
    }
}
