//! WebSocket: one binary message a session message.
//!
//! Reading, masks, fragmentation, pings and the closing handshake are tungstenite's, which runs here on memory alone.
//! The frames sent are written by this module, because a library copies each into a buffer of its own: a frame is a
//! few bytes of header in front of bytes that all viewers share, and all that is ready leaves in one vectored write.
//!
//! ```text
//!  socket ──read──▶ Memory.inbound ──▶ tungstenite ──▶ messages
//!  socket ◀─writev─ gathered: [header|shared body] [header|shared body] [tungstenite's pong or close] …
//! ```
//!
//! | specification | section |
//! |---|---|
//! | RFC 6455 | §5 framing, §5.5 control frames, §7.4 status codes |

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message};

use super::{MessagePipe, TransportError};
use crate::session::link::CloseReason;
use crate::wire::frame::Fragment;

/// Bytes gathered into one write: past this the cost of the call no longer matters, and what is gathered can't be
/// abandoned any more.
const WRITE_BYTES: usize = 32 << 10;

/// Frames gathered into one write, against floods of tiny ones; two slices each.
const WRITE_FRAMES: usize = 32;

/// Bytes that are copied into one piece to be written: cheaper than to have the kernel gather two slices for each frame. An audio
/// frame.
const COPIED_BYTES: usize = 1 << 10;

/// Frames of most other writes, for which a few slices are enough.
const FEW_FRAMES: usize = 4;

/// Frames that an empty gathering keeps room for: a joining viewer's first write is its largest by far.
const FRAMES_KEPT: usize = 4;

/// Longest message taken from a peer. Viewers send commands and acknowledgements.
const MAX_MESSAGE: usize = 64 << 10;

/// Read from the socket at a time; on the stack, since most viewers send ten bytes now and then.
const READ_BYTES: usize = 2 << 10;

/// tungstenite's own buffer, for each connection.
const READER_BYTES: usize = 256;

/// Most bytes of pongs that tungstenite keeps while it can't hand them over; only the newest ping is answered beyond. Stops
/// a peer that pings and does not read. Several control frames of at most 127 bytes fit.
const READER_ANSWERS: usize = 512;

/// Longest header of an unmasked frame: two bytes and a 64-bit length.
const MAX_HEADER: usize = 10;

/// Pings, to find peers that are gone without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A peer that was silent for this long is pinged. Default 20 s: below the idle limits of common proxies.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Duration,
    /// A peer that was silent for this long is given up. Default 60 s: a stalled viewer costs little, and a telephone
    /// that changes networks needs some seconds.
    #[serde(with = "humantime_serde")]
    pub ping_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { ping_interval: Duration::from_secs(20), ping_timeout: Duration::from_secs(60) }
    }
}

/// The server's side of a WebSocket connection, after its handshake.
#[derive(Debug)]
pub struct WebSocket<S> {
    io: S,
    reader: tungstenite::WebSocket<Memory>,
    /// tungstenite may have more to say before more is read.
    unread: bool,
    gathered: VecDeque<Gathered>,
    gathered_bytes: usize,
    liveness: Liveness,
}

/// What tungstenite reads from and writes to.
#[derive(Debug, Default)]
struct Memory {
    inbound: BytesMut,
    outbound: Vec<u8>,
    ended: bool,
}

/// One frame to be written: its own few bytes, then the shared ones.
#[derive(Debug)]
struct Gathered {
    head: [u8; MAX_HEADER + Fragment::HEAD],
    head_start: u8,
    head_end: u8,
    body: Bytes,
}

#[derive(Debug)]
struct Liveness {
    timer: Pin<Box<Sleep>>,
    /// Whom the timer wakes.
    waker: Option<Waker>,
    heard: Instant,
    interval: Duration,
    timeout: Duration,
}

impl<S> WebSocket<S> {
    /// Takes a socket over from the HTTP server that has answered 101, with what it has read past the request.
    pub fn new(io: S, config: &Config, leftover: &[u8]) -> Self {
        let memory = Memory { inbound: leftover.into(), ..Memory::default() };
        let limits = WebSocketConfig::default()
            .read_buffer_size(READER_BYTES)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .write_buffer_size(0)
            .max_write_buffer_size(READER_ANSWERS);
        let now = Instant::now();
        // As an interval's, it can't be nothing.
        let interval = config.ping_interval.max(Duration::from_millis(1));
        Self {
            io,
            reader: tungstenite::WebSocket::from_raw_socket(memory, Role::Server, Some(limits)),
            unread: true,
            gathered: VecDeque::new(),
            gathered_bytes: 0,
            liveness: Liveness {
                timer: Box::pin(sleep_until(now + interval)),
                waker: None,
                heard: now,
                interval,
                timeout: config.ping_timeout,
            },
        }
    }

    /// Gathers what tungstenite wants to send. Called between frames, so that it never cuts one in two.
    fn gather_control(&mut self) {
        let outbound = &mut self.reader.get_mut().outbound;
        if !outbound.is_empty() {
            let body: Bytes = std::mem::take(outbound).into();
            // An answer that found no room before has some now.
            self.unread = true;
            self.gathered_bytes += body.len();
            self.gathered.push_back(Gathered { head: [0; _], head_start: 0, head_end: 0, body });
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.gathered_bytes -= written;
        while let Some(frame) = self.gathered.front_mut() {
            written = frame.advance(written);
            if frame.is_written() {
                self.gathered.pop_front();
            } else {
                break;
            }
        }
        if self.gathered.is_empty() {
            // Begins again at its start, which the cache still holds.
            self.gathered.clear();
            if self.gathered.capacity() > FRAMES_KEPT {
                self.gathered.shrink_to(FRAMES_KEPT);
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> WebSocket<S> {
    /// Reads once from the socket into memory.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
        let memory = self.reader.get_mut();
        memory.inbound.extend_from_slice(buf.filled());
        memory.ended = buf.filled().is_empty();
        self.unread = true;
        self.liveness.heard = Instant::now();
        Poll::Ready(Ok(()))
    }

    /// Writes all that is gathered, which is little, or the first of it.
    fn poll_write_copied(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); COPIED_BYTES];
        let mut copy = ReadBuf::uninit(&mut space);
        for frame in &self.gathered {
            copy.put_slice(frame.head());
            copy.put_slice(&frame.body);
        }
        Pin::new(&mut self.io).poll_write(cx, copy.filled())
    }

    /// Writes as much of what is gathered as `SLICES` slices hold, two a frame, or the first of it.
    fn poll_write_slices<const SLICES: usize>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        for (frame, pair) in self.gathered.iter().zip(slices.chunks_exact_mut(2)) {
            pair[0] = IoSlice::new(frame.head());
            pair[1] = IoSlice::new(&frame.body);
            used += 2;
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..used])
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> MessagePipe for WebSocket<S> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        loop {
            if !self.unread {
                ready!(self.poll_fill(cx))?;
            }
            let read = self.reader.read();
            if self.gathered_bytes < WRITE_BYTES {
                self.gather_control();
                if !self.gathered.is_empty() {
                    let _ = self.poll_flush(cx)?;
                }
            }
            match read {
                Ok(Message::Binary(message)) => return Poll::Ready(Ok(Some(message))),
                // Genuine peers ignore text. A close is answered by tungstenite, which then ends with `ConnectionClosed`.
                Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Close(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => self.unread = false,
                Err(
                    Error::ConnectionClosed
                    | Error::AlreadyClosed
                    | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
                ) => return Poll::Ready(Ok(None)),
                Err(Error::Io(error)) => return Poll::Ready(Err(error.into())),
                Err(error) => return Poll::Ready(Err(TransportError::Protocol(error.to_string()))),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        while !self.gathered.is_empty() {
            let written = if self.gathered_bytes <= COPIED_BYTES {
                ready!(self.poll_write_copied(cx))?
            } else if self.gathered.len() <= FEW_FRAMES {
                ready!(self.poll_write_slices::<{ 2 * FEW_FRAMES }>(cx))?
            } else {
                ready!(self.poll_write_slices::<{ 2 * WRITE_FRAMES }>(cx))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            self.advance(written);
        }
        Pin::new(&mut self.io).poll_flush(cx).map_err(TransportError::from)
    }

    fn poll_liveness(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), TransportError>> {
        loop {
            ready!(self.liveness.poll_timer(cx, now));
            let silent = self.liveness.heard.elapsed();
            if silent >= self.liveness.timeout {
                return Poll::Ready(Err(TransportError::TimedOut));
            }
            if silent >= self.liveness.interval {
                // It is memory that is written to: only a connection that is closing can refuse.
                let _ = self.reader.send(Message::Ping(Bytes::new()));
                self.gather_control();
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn has_room(&self) -> bool {
        self.gathered_bytes < WRITE_BYTES && self.gathered.len() < WRITE_FRAMES
    }

    fn start_send(&mut self, message: Fragment) {
        let frame = Gathered::new(message);
        self.gathered_bytes += frame.head().len() + frame.body.len();
        self.gathered.push_back(frame);
    }

    fn start_close(&mut self, reason: CloseReason) {
        // Pongs that nobody reads would leave it no room.
        self.gather_control();
        let _ = self.reader.flush();
        self.gather_control();
        // A connection that is closed already refuses, and nobody is left to tell.
        let _ = self.reader.close(Some(close_frame(reason)));
        self.gather_control();
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx).map_err(TransportError::from)
    }
}

impl Liveness {
    /// Ready once in each interval.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        // A timer that wakes this task already is not looked at each time that a frame does.
        let due = self.timer.deadline();
        if now < due && self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        // Not when the task has had its turn, as in a flood: the waker would not be left, and this not be asked again.
        if pin!(unconstrained(self.timer.as_mut())).poll(cx).is_pending() {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.waker = None;
        self.timer.as_mut().reset(Instant::now() + self.interval);
        Poll::Ready(())
    }
}

/// Defined by: RFC 6455 §7.4.1.
fn close_frame(reason: CloseReason) -> CloseFrame {
    let (code, reason) = match reason {
        CloseReason::Done => (CloseCode::Normal, ""),
        CloseReason::GoingAway => (CloseCode::Away, "the gateway is going away"),
        CloseReason::Misbehaved => (CloseCode::Protocol, "protocol error"),
        CloseReason::NotAllowed => (CloseCode::Policy, "not allowed"),
        CloseReason::TryAgainLater => (CloseCode::Again, "try again later"),
        CloseReason::Idle => (CloseCode::Normal, "nothing is played or published"),
    };
    CloseFrame { code, reason: reason.into() }
}

impl Gathered {
    fn new(message: Fragment) -> Self {
        let header = FrameHeader { opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
        let mut head = [0; MAX_HEADER + Fragment::HEAD];
        let room = head.len();
        let mut rest = &mut head[..];
        // Neither can fail: the array holds the longest header and the longest head.
        let _ = header.format(message.len() as u64, &mut rest);
        let _ = rest.write_all(message.head());
        let head_end = (room - rest.len()) as u8;
        Self { head, head_start: 0, head_end, body: message.into_body() }
    }

    fn head(&self) -> &[u8] {
        &self.head[usize::from(self.head_start)..usize::from(self.head_end)]
    }

    fn is_written(&self) -> bool {
        self.head_start == self.head_end && self.body.is_empty()
    }

    /// Takes off what was written and returns what was written beyond this frame.
    fn advance(&mut self, written: usize) -> usize {
        let of_head = written.min(self.head().len());
        self.head_start += of_head as u8;
        let of_body = (written - of_head).min(self.body.len());
        self.body.advance(of_body);
        written - of_head - of_body
    }
}

impl Read for Memory {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.inbound.is_empty() {
            return if self.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let len = out.len().min(self.inbound.len());
        self.inbound.copy_to_slice(&mut out[..len]);
        Ok(len)
    }
}

impl Write for Memory {
    /// Holds one answer at a time: a peer that pings and does not read fills its own buffers.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.outbound.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.outbound.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
