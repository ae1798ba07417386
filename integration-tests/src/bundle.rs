//! A connection over QUIC or WebTransport, with flows in lanes on it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use headwater::delivery::Format;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{EndpointConfig, ReadError, TokioRuntime, VarInt};
use socket2::SockRef;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use crate::lanes::{LaneEnd, Lanes};
use crate::rtws::{Event, push_vlu};
use crate::viewer::End;

/// Protocol of native QUIC.
pub(crate) const ALPN: &[u8] = b"headwater/1";
/// The kernel's share of what has come, as far as the system allows.
const RECEIVE_BUFFER: usize = 16 << 20;
/// Read at once from a stream.
const READ_SIZE: usize = 64 << 10;

/// Where connections begin, one socket for all of them.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Quic(quinn::Endpoint),
    WebTransport(Arc<wtransport::Endpoint<wtransport::endpoint::endpoint_side::Client>>, Format),
}

impl Endpoint {
    pub(crate) fn quic() -> Result<Self> {
        Ok(Self::Quic(quic_endpoint()?))
    }

    pub(crate) fn web_transport(format: Format) -> Result<Self> {
        let mut tls = (*crate::tls::client()?).clone();
        tls.alpn_protocols = vec![wtransport::proto::WEBTRANSPORT_ALPN.to_vec()];
        let config = wtransport::ClientConfig::builder().with_bind_socket(socket()?).with_custom_tls(tls).build();
        Ok(Self::WebTransport(Arc::new(wtransport::Endpoint::client(config)?), format))
    }

    pub(crate) async fn connect(&self, server: SocketAddr, app: &str) -> Result<Bundle> {
        let connection = match self {
            Endpoint::Quic(endpoint) => Connection::Quic(endpoint.connect(server, "localhost")?.await?),
            Endpoint::WebTransport(endpoint, format) => {
                let folder = if *format == Format::Raw { "wt" } else { "wt-fmp4" };
                let url = format!("https://{server}/{folder}/{app}");
                Connection::WebTransport(Arc::new(endpoint.connect(url).await?))
            }
        };
        Ok(Bundle::new(self.clone(), connection))
    }
}

/// A socket that has room for a key frame for each of many viewers at once: elsewhere they have sockets, and links, of their
/// own.
pub(crate) fn socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    Ok(socket)
}

/// Begins connections of native QUIC.
pub(crate) fn quic_endpoint() -> Result<quinn::Endpoint> {
    let mut tls = (*crate::tls::client()?).clone();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut endpoint = quinn::Endpoint::new(EndpointConfig::default(), None, socket()?, Arc::new(TokioRuntime))?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)));
    Ok(endpoint)
}

/// The connection and what came on it.
pub(crate) struct Bundle {
    /// What the server sends.
    pub(crate) flows: Lanes,
    connection: Connection,
    accepted: mpsc::UnboundedReceiver<Result<RecvStream, End>>,
    accept: AbortHandle,
    reading: Vec<RecvStream>,
    buffer: Box<[u8]>,
    control: SendLane,
    sending: BTreeMap<u64, SendLane>,
    /// Outlives the connection.
    _endpoint: Endpoint,
}

#[derive(Clone)]
enum Connection {
    Quic(quinn::Connection),
    WebTransport(Arc<wtransport::Connection>),
}

enum RecvStream {
    Quic(quinn::RecvStream),
    WebTransport(wtransport::RecvStream),
}

enum SendStream {
    Quic(quinn::SendStream),
    WebTransport(wtransport::SendStream),
}

/// A lane of ours, opened with its first byte.
#[derive(Default)]
struct SendLane {
    stream: Option<SendStream>,
    /// What is not written yet.
    queue: Vec<u8>,
}

impl Bundle {
    fn new(endpoint: Endpoint, connection: Connection) -> Self {
        let (sender, accepted) = mpsc::unbounded_channel();
        let accepting = connection.clone();
        let accept = tokio::spawn(async move {
            loop {
                let stream = accepting.accept().await;
                let is_over = stream.is_err();
                if sender.send(stream).is_err() || is_over {
                    return;
                }
            }
        });
        let control = SendLane { stream: None, queue: vec![0] };
        Self {
            flows: Lanes::default(),
            connection,
            accepted,
            accept: accept.abort_handle(),
            reading: Vec::new(),
            buffer: vec![0; READ_SIZE].into(),
            control,
            sending: BTreeMap::new(),
            _endpoint: endpoint,
        }
    }

    pub(crate) fn open(&mut self, flow: u64, answers: Option<u64>, metadata: &[u8]) {
        let mut record = vec![if answers.is_some() { 0x30 } else { 0x10 }];
        push_vlu(&mut record, flow);
        if let Some(answers) = answers {
            push_vlu(&mut record, answers);
        }
        record.extend_from_slice(metadata);
        push_vlu(&mut self.control.queue, record.len() as u64);
        self.control.queue.extend_from_slice(&record);
        self.flows.opened(flow);
    }

    /// Sends a message, all of a flow on one lane.
    pub(crate) fn send(&mut self, flow: u64, message: &[u8]) {
        let lane = self.sending.entry(flow).or_default();
        if lane.stream.is_none() && lane.queue.is_empty() {
            lane.queue.push(1);
            let (number, first, preamble_length) = (0, 1, 0);
            for value in [flow, number, first, preamble_length] {
                push_vlu(&mut lane.queue, value);
            }
        }
        let skipped = 0;
        push_vlu(&mut lane.queue, skipped);
        push_vlu(&mut lane.queue, message.len() as u64);
        lane.queue.extend_from_slice(message);
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        for lane in std::iter::once(&mut self.control).chain(self.sending.values_mut()) {
            if lane.queue.is_empty() {
                continue;
            }
            let stream = match &mut lane.stream {
                Some(stream) => stream,
                empty => match self.connection.open().await {
                    Ok(stream) => empty.insert(stream),
                    // What the peer said before it left is still to be read.
                    Err(_) => return Ok(()),
                },
            };
            // The same if it stops the stream.
            if stream.quic().write_all(&lane.queue).await.is_ok() {
                lane.queue.clear();
            }
        }
        Ok(())
    }

    /// Drives the connection until something happens.
    pub(crate) async fn next_event(&mut self) -> Result<Result<Event, End>> {
        loop {
            if let Some(event) = self.flows.next_event() {
                return Ok(Ok(event));
            }
            for id in self.flows.stops() {
                if let Some(index) = self.reading.iter_mut().position(|stream| stream.id() == id) {
                    // It may have ended already.
                    let code = self.connection.code(crate::lanes::SUPERSEDED);
                    self.reading.swap_remove(index).quic().stop(code).ok();
                }
            }
            self.flush().await?;
            let due = self.flows.due();
            tokio::select! {
                end = std::future::poll_fn(|cx| self.poll_read(cx)) => if let Some(end) = end? {
                    return Ok(Err(end));
                },
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    self.flows.handle_timeout(Instant::now())?;
                }
            }
        }
    }

    /// The control lane's end, then the connection's.
    pub(crate) async fn leave(mut self) -> Result<()> {
        self.flush().await?;
        if let Some(control) = &mut self.control.stream {
            control.quic().finish().ok();
        }
        self.connection.quic().close(VarInt::from_u32(0), b"");
        Ok(())
    }

    /// Reads what has come on every stream. Ready when it was something, or the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<End>>> {
        let mut has_read = false;
        let mut end = None;
        while let Poll::Ready(Some(accepted)) = self.accepted.poll_recv(cx) {
            match accepted {
                Ok(stream) => self.reading.push(stream),
                Err(over) => end = Some(over),
            }
        }
        let mut index = 0;
        while let Some(stream) = self.reading.get_mut(index) {
            let id = stream.id();
            let Poll::Ready(read) = stream.quic().poll_read(cx, &mut self.buffer) else {
                index += 1;
                continue;
            };
            has_read = true;
            let now = Instant::now();
            let ended = match read {
                Ok(0) => LaneEnd::Finished,
                Ok(len) => {
                    self.flows.handle(now, id, &self.buffer[..len])?;
                    continue;
                }
                Err(ReadError::Reset(code)) => LaneEnd::Reset(self.connection.reason(code)?),
                Err(ReadError::ConnectionLost(_)) => {
                    // Told by the accepting side, which knows more.
                    self.reading.swap_remove(index);
                    continue;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            };
            self.reading.swap_remove(index);
            if !self.flows.handle_end(now, id, ended)? {
                end = Some(End::Closed(None));
            }
        }
        if has_read || end.is_some() { Poll::Ready(Ok(end)) } else { Poll::Pending }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Connection {
    async fn accept(&self) -> Result<RecvStream, End> {
        let closed = |code: u64| End::Closed(u16::try_from(code).ok());
        match self {
            Connection::Quic(connection) => match connection.accept_uni().await {
                Ok(stream) => Ok(RecvStream::Quic(stream)),
                Err(quinn::ConnectionError::ApplicationClosed(close)) => Err(closed(close.error_code.into_inner())),
                Err(_) => Err(End::Dropped),
            },
            Connection::WebTransport(connection) => match connection.accept_uni().await {
                Ok(stream) => Ok(RecvStream::WebTransport(stream)),
                Err(wtransport::error::ConnectionError::ApplicationClosed(close)) => {
                    Err(closed(close.code().into_inner()))
                }
                Err(_) => Err(End::Dropped),
            },
        }
    }

    async fn open(&self) -> Result<SendStream> {
        Ok(match self {
            Connection::Quic(connection) => SendStream::Quic(connection.open_uni().await?),
            Connection::WebTransport(connection) => SendStream::WebTransport(connection.open_uni().await?.await?),
        })
    }

    fn quic(&self) -> &quinn::Connection {
        match self {
            Connection::Quic(connection) => connection,
            Connection::WebTransport(connection) => connection.quic_connection(),
        }
    }

    /// A lane's code as QUIC carries it. Defined by: draft-ietf-webtrans-http3, §4.4.
    fn code(&self, code: u64) -> VarInt {
        let code = match self {
            Connection::Quic(_) => code,
            Connection::WebTransport(_) => FIRST_CODE + code + code / 0x1e,
        };
        VarInt::from_u64(code).unwrap_or(VarInt::MAX)
    }

    /// The other way round.
    fn reason(&self, code: VarInt) -> Result<u64> {
        let code = code.into_inner();
        match self {
            Connection::Quic(_) => Ok(code),
            Connection::WebTransport(_) => {
                let shifted =
                    code.checked_sub(FIRST_CODE).with_context(|| format!("{code:#x} is none of WebTransport's"))?;
                if (code - 0x21).is_multiple_of(0x1f) {
                    bail!("{code:#x} is reserved");
                }
                Ok(shifted - shifted / 0x1f)
            }
        }
    }
}

/// WebTransport's first code among those of HTTP/3.
const FIRST_CODE: u64 = 0x52e4_a40f_a8db;

impl RecvStream {
    /// QUIC's number of the stream.
    fn id(&mut self) -> u64 {
        VarInt::from(self.quic().id()).into_inner()
    }

    fn quic(&mut self) -> &mut quinn::RecvStream {
        match self {
            RecvStream::Quic(stream) => stream,
            RecvStream::WebTransport(stream) => stream.quic_stream_mut(),
        }
    }
}

impl SendStream {
    fn quic(&mut self) -> &mut quinn::SendStream {
        match self {
            SendStream::Quic(stream) => stream,
            SendStream::WebTransport(stream) => stream.quic_stream_mut(),
        }
    }
}
