//! Native QUIC: quinn's streams as lanes, and the numbers that its connections are run with.
//!
//! | what | where |
//! |---|---|
//! | streams, flow control, application error codes | RFC 9000 §2–4, §20.2 |
//! | congestion control | RFC 9002 §7, RFC 9438 (CUBIC), but for losses by chance |
//! | how often a peer that can acknowledges | draft-ietf-quic-ack-frequency |
//!
//! # What may wait in here
//!
//! What a lane has taken can only be given up with the whole lane. quinn takes [`TransportConfig::send_window`] bytes, 10 MB
//! by default: seconds of video. So the window follows the path ([`super::stream_link`]): a little more than may be in flight.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use quinn::{
    AckFrequencyConfig, Connection, ConnectionError, ReadError, RecvStream, SendStream, TransportConfig, VarInt,
    WriteError,
};
use serde::{Deserialize, Serialize};

use super::congestion::Tolerant;
use super::{LaneError, Measured, RecvLane, SendLane, StreamMux, TransportError, goodbye};
use crate::session::link::CloseReason;
use crate::wire::http3::code;
use crate::wire::lane::LaneCode;

/// Most lanes that a client may have open at a time. It needs a control lane and one for its commands; a publisher has a few
/// groups more. Against floods of streams, each of which costs memory before its first byte.
const MAX_UNI_STREAMS: u32 = 16;

/// Most bytes that a client may have sent over all lanes and that were not read yet: what a stranger can make the gateway hold.
/// They are read as they come, so this bounds what lies behind a gap. It grows with what the session grants
/// ([`StreamMux::limit_unread`]), to carry what is published over long paths: 64 KiB are 10 Mbit/s at 50 ms.
const RECEIVE_WINDOW: u32 = 64 << 10;

/// The same on one lane, and the most that is granted over all of them: as wide as a publisher's flow, 80 Mbit/s over a round trip
/// of 200 ms. A stranger's lanes are bounded by what they are together.
const STREAM_RECEIVE_WINDOW: u32 = 2 << 20;

/// Most bytes of the TLS handshake that are held behind a gap. Two Initial packets hold any browser's hello.
const CRYPTO_BUFFER: usize = 8 << 10;

/// Acknowledgements are asked for each time this many packets have come, and for the last ones after quinn's default of
/// 25 ms. Without the extension it is each second packet, which is twice the work. With more, a slow path, which carries only a few
/// packets at a time, would stand still for those 25 ms once a round trip; and no less CPU was measured at 10.
const ACK_EVERY: u32 = 4;

/// Requests of HTTP/3 at a time, a WebTransport session among them: a page and its files.
const MAX_REQUESTS: u32 = 16;

/// Streams of HTTP/3's own: control, and two of the header compression's; clients open one more to keep servers tolerant.
const HTTP3_UNI_STREAMS: u32 = 4;

/// Bytes of datagrams that are kept before they are dropped unread.
const DATAGRAM_BUFFER: usize = 2 << 10;

/// Bytes that may be in flight before anything was acknowledged: 32 packets, as the largest services send, of what is 10 in
/// RFC 9002 §7.2. A viewer that joins far away waits for its first picture two round trips less.
const INITIAL_WINDOW: u64 = 32 * 1200;

/// A viewer's QUIC connection. Default: as below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A connection on which nothing has come for this long is given up, and what it took given back. Default 30 s: a
    /// telephone that changes networks needs some seconds.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// After this long without a packet one is sent, so that address translators on the way keep the path open: they forget
    /// UDP after 30 s or more. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub keep_alive_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { idle_timeout: Duration::from_secs(30), keep_alive_interval: Duration::from_secs(10) }
    }
}

impl Config {
    /// What quinn runs a connection with on which HTTP/3 may be spoken: requests are streams both ways, it has a few streams of
    /// its own, and WebTransport is offered to those alone who may send datagrams, which nobody reads here.
    pub fn http3(&self) -> TransportConfig {
        let mut transport = self.native();
        transport
            .max_concurrent_bidi_streams(MAX_REQUESTS.into())
            .max_concurrent_uni_streams((MAX_UNI_STREAMS + HTTP3_UNI_STREAMS).into())
            .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER));
        transport
    }

    /// What quinn runs a native connection with.
    pub fn native(&self) -> TransportConfig {
        let mut acks = AckFrequencyConfig::default();
        acks.ack_eliciting_threshold(ACK_EVERY.into());
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_uni_streams(MAX_UNI_STREAMS.into())
            .max_concurrent_bidi_streams(0_u32.into())
            .datagram_receive_buffer_size(None)
            .stream_receive_window(STREAM_RECEIVE_WINDOW.into())
            .receive_window(RECEIVE_WINDOW.into())
            .crypto_buffer_size(CRYPTO_BUFFER)
            // A lane is written to once a frame: taking turns between lanes of one priority would only cut frames up.
            .send_fairness(false)
            .ack_frequency_config(Some(acks))
            .congestion_controller_factory(Arc::new(Tolerant::new(INITIAL_WINDOW)))
            .keep_alive_interval(Some(self.keep_alive_interval))
            // Longer than 2^62 ms is for ever.
            .max_idle_timeout(self.idle_timeout.try_into().ok());
        transport
    }
}

/// A future of quinn's, kept while it waits: dropping it would forget whom to wake.
pub(super) type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a lane's codes are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codes {
    /// Themselves.
    Native,
    /// HTTP/3's, among which a session's have a range of their own.
    WebTransport,
}

impl Codes {
    fn number(self, code: LaneCode) -> VarInt {
        match self {
            Self::Native => code.number().into(),
            // What does not fit is no number of ours.
            Self::WebTransport => {
                VarInt::from_u64(code::from_webtransport(code.number())).unwrap_or(VarInt::from_u32(0))
            }
        }
    }
}

/// The lanes of a QUIC connection.
pub struct Quic {
    connection: Connection,
    codes: Codes,
    opening: Option<Waiting<Result<SendStream, ConnectionError>>>,
    accepting: Option<Waiting<Result<RecvStream, ConnectionError>>>,
    limit: u64,
}

/// A lane to the peer.
pub struct Outgoing {
    stream: SendStream,
    codes: Codes,
    finished: bool,
    settling: Option<Waiting<()>>,
}

/// A lane from the peer.
#[derive(Debug)]
pub struct Incoming {
    stream: RecvStream,
    codes: Codes,
}

impl Quic {
    /// All unidirectional streams of a connection whose handshake is over.
    pub fn new(connection: Connection) -> Self {
        Self::with_codes(connection, Codes::Native)
    }

    pub(super) fn with_codes(connection: Connection, codes: Codes) -> Self {
        Self { connection, codes, opening: None, accepting: None, limit: 0 }
    }
}

impl StreamMux for Quic {
    type Send = Outgoing;
    type Recv = Incoming;

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outgoing, TransportError>> {
        if self.opening.is_none()
            && let Poll::Ready(opened) = pin!(self.connection.open_uni()).poll(&mut Context::from_waker(Waker::noop()))
        {
            return Poll::Ready(opened.map(|stream| Outgoing::new(stream, self.codes)).map_err(Into::into));
        }
        let opening = self.opening.get_or_insert_with(|| {
            let connection = self.connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening = None;
        Poll::Ready(opened.map(|stream| Outgoing::new(stream, self.codes)).map_err(Into::into))
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, TransportError>> {
        let accepting = self.accepting.get_or_insert_with(|| {
            let connection = self.connection.clone();
            Box::pin(async move { connection.accept_uni().await })
        });
        let accepted = ready!(accepting.as_mut().poll(cx));
        self.accepting = None;
        Poll::Ready(accepted.map(|stream| Incoming::new(stream, self.codes)).map_err(Into::into))
    }

    fn measure(&self) -> Measured {
        let stats = self.connection.stats();
        Measured {
            rtt: self.connection.rtt(),
            least_rtt: self.connection.min_rtt(),
            congestion_window: stats.path.cwnd,
            acks: stats.frame_rx.acks,
        }
    }

    fn limit_in_flight(&mut self, bytes: u64) {
        if self.limit != bytes {
            self.limit = bytes;
            self.connection.set_send_window(bytes);
        }
    }

    fn limit_unread(&mut self, bytes: u64) {
        let bytes = bytes.clamp(RECEIVE_WINDOW.into(), STREAM_RECEIVE_WINDOW.into());
        self.connection.set_receive_window(VarInt::from_u64(bytes).unwrap_or(VarInt::MAX));
    }

    fn poll_close(&mut self, _: &mut Context<'_>, reason: CloseReason) -> Poll<()> {
        let (code, text) = goodbye(reason);
        self.connection.close(code.into(), text.as_bytes());
        Poll::Ready(())
    }
}

impl Outgoing {
    fn new(stream: SendStream, codes: Codes) -> Self {
        Self { stream, codes, finished: false, settling: None }
    }

    fn give_up(&mut self, code: LaneCode) {
        self.finished = true;
        // An error is a stream that has ended already.
        let _ = self.stream.reset(self.codes.number(code));
    }
}

impl Incoming {
    pub(super) fn new(stream: RecvStream, codes: Codes) -> Self {
        Self { stream, codes }
    }
}

impl SendLane for Outgoing {
    fn set_priority(&mut self, priority: i32) {
        // An error is a stream that has ended already.
        let _ = self.stream.set_priority(priority);
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<(), LaneError>> {
        while chunks.iter().any(|chunk| !chunk.is_empty()) {
            ready!(pin!(self.stream.write_chunks(chunks)).poll(cx)).map_err(|error| match error {
                WriteError::ConnectionLost(error) => LaneError::Lost(error.into()),
                WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => LaneError::GivenUp,
            })?;
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) {
        self.finished = true;
        // An error is a stream that has ended already.
        let _ = self.stream.finish();
    }

    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let settling = self.settling.get_or_insert_with(|| {
            let stopped = self.stream.stopped();
            Box::pin(async move {
                // Acknowledged, stopped or lost: in no case is there anything left to wait for.
                let _ = stopped.await;
            })
        });
        settling.as_mut().poll(cx)
    }

    fn reset(mut self, code: LaneCode) {
        self.give_up(code);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.finished {
            self.give_up(LaneCode::Closed);
        }
    }
}

impl RecvLane for Incoming {
    fn poll_read(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Result<Option<Bytes>, LaneError>> {
        match ready!(pin!(self.stream.read_chunk(max, true)).poll(cx)) {
            Ok(chunk) => Poll::Ready(Ok(chunk.map(|chunk| chunk.bytes))),
            Err(ReadError::ConnectionLost(error)) => Poll::Ready(Err(LaneError::Lost(error.into()))),
            Err(
                ReadError::Reset(_)
                | ReadError::ClosedStream
                | ReadError::IllegalOrderedRead
                | ReadError::ZeroRttRejected,
            ) => Poll::Ready(Err(LaneError::GivenUp)),
        }
    }

    fn stop(mut self, code: LaneCode) {
        // An error is a stream that has ended already.
        let _ = self.stream.stop(self.codes.number(code));
    }
}

impl From<ConnectionError> for TransportError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(_) | ConnectionError::LocallyClosed => Self::Closed,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::TransportError(error) => Self::Protocol(error.to_string()),
            ConnectionError::VersionMismatch => Self::Protocol("no common version of QUIC".into()),
            ConnectionError::ConnectionClosed(_) | ConnectionError::Reset | ConnectionError::CidsExhausted => {
                Self::Io(io::Error::new(io::ErrorKind::ConnectionReset, error))
            }
        }
    }
}

impl fmt::Debug for Quic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quic").field("connection", &self.connection).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("stream", &self.stream)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}
