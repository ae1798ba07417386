//! WebTransport: lanes on the streams of a session, beside whatever else HTTP/3 does on the connection.
//!
//! | what | specification |
//! |---|---|
//! | streams of a session, and their error codes | draft-ietf-webtrans-http3-02 §4 |
//! | the end of a session | draft-ietf-webtrans-http3-02 §5 |
//!
//! Lanes that this side opens are quinn's streams with a [header](SessionId::stream_header) in front. Lanes that the client
//! opens come from whoever accepts the connection's streams, since their headers say what they are.
//!
//! Invariant: nothing here waits for what was finished to be acknowledged, but the goodbye.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::mpsc;

use super::quic::{Codes, Incoming, Outgoing, Quic, Waiting};
use super::{Measured, SendLane, StreamMux, TransportError, goodbye};
use crate::session::link::CloseReason;
use crate::wire::http3::SessionId;
use crate::wire::http3::capsule::{self, Reader};

/// What goes before all media: headers of lanes, without which a client can't tell what a stream is, and the end.
const URGENT: i32 = i32::MAX;

/// Most bytes of a CONNECT stream that are taken in at once.
const READ: usize = 4 << 10;

/// The lanes of a session.
pub struct WebTransport {
    connection: Connection,
    quic: Quic,
    request: Request,
    header: Bytes,
    /// A lane whose header has not gone out yet, and what is left of that.
    opening: Option<(Outgoing, [Bytes; 1])>,
    lanes: mpsc::Receiver<RecvStream>,
    /// The connection's end, once this side has said goodbye.
    closing: Option<Waiting<()>>,
}

/// A session's CONNECT request, which was answered with 200. Its streams are the session's life.
#[derive(Debug)]
pub struct Request {
    send: SendStream,
    recv: RecvStream,
    reader: Reader,
    has_ended: bool,
}

impl Request {
    /// The streams of a request that was answered, behind its header.
    pub fn new(send: SendStream, recv: RecvStream) -> Self {
        Self { send, recv, reader: Reader::default(), has_ended: false }
    }

    /// Which session it is.
    pub fn session(&self) -> SessionId {
        // By quinn's number of the stream itself: the session's is the whole of it.
        SessionId(self.send.id().into())
    }

    /// Ready when the client has ended the session, in whatever way.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        while !self.has_ended {
            match ready!(pin!(self.recv.read_chunk(READ, true)).poll(cx)) {
                Ok(Some(chunk)) => match self.reader.read(&chunk.bytes) {
                    Ok(None) => {}
                    Ok(Some(close)) => {
                        tracing::debug!(code = close.code, reason = close.reason, "session closed by the client");
                        self.has_ended = true;
                    }
                    Err(error) => return Poll::Ready(Err(TransportError::Protocol(error.to_string()))),
                },
                // A FIN, a reset and the connection's end mean the same.
                Ok(None) | Err(_) => self.has_ended = true,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl WebTransport {
    /// A session on `connection`, with the lanes that its client opens.
    pub fn new(connection: Connection, request: Request, lanes: mpsc::Receiver<RecvStream>) -> Self {
        let quic = Quic::with_codes(connection.clone(), Codes::WebTransport);
        let header = request.session().stream_header().into();
        Self { connection, quic, request, header, opening: None, lanes, closing: None }
    }

    /// Why the connection is of no use any more, if it is.
    fn lost(&self) -> TransportError {
        self.connection.close_reason().map_or(TransportError::Closed, Into::into)
    }
}

impl StreamMux for WebTransport {
    type Send = Outgoing;
    type Recv = Incoming;

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outgoing, TransportError>> {
        if self.opening.is_none() {
            let mut lane = ready!(self.quic.poll_open(cx))?;
            lane.set_priority(URGENT);
            self.opening = Some((lane, [self.header.clone()]));
        }
        if let Some((lane, header)) = &mut self.opening {
            // That the client wants no more of it already is for whoever writes to it to find.
            let _ = ready!(lane.poll_write(cx, header));
        }
        let opened = self.opening.take().map(|(lane, _)| lane);
        Poll::Ready(opened.ok_or_else(|| self.lost()))
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, TransportError>> {
        if let Poll::Ready(ended) = self.request.poll_ended(cx) {
            return Poll::Ready(Err(ended.err().unwrap_or_else(|| self.lost())));
        }
        let lane = ready!(self.lanes.poll_recv(cx));
        Poll::Ready(lane.map(|stream| Incoming::new(stream, Codes::WebTransport)).ok_or_else(|| self.lost()))
    }

    fn measure(&self) -> Measured {
        self.quic.measure()
    }

    fn limit_in_flight(&mut self, bytes: u64) {
        self.quic.limit_in_flight(bytes);
    }

    fn limit_unread(&mut self, bytes: u64) {
        self.quic.limit_unread(bytes);
    }

    /// The capsule, then the stream's end. Closing the connection is left to the client, or to whoever has no patience for it:
    /// Chromium tells a page that the connection was lost, and not why the session ended, when both come at about the same time.
    fn poll_close(&mut self, cx: &mut Context<'_>, reason: CloseReason) -> Poll<()> {
        let closing = self.closing.get_or_insert_with(|| {
            let (code, text) = goodbye(reason);
            let mut end = [capsule::close(code, text).into()];
            // However much is still under way, there is room for the end.
            self.connection.set_send_window(u64::MAX);
            // Errors are a stream that has ended already.
            let _ = self.request.send.set_priority(URGENT);
            let _ = pin!(self.request.send.write_chunks(&mut end)).poll(cx);
            let _ = self.request.send.finish();
            let connection = self.connection.clone();
            Box::pin(async move {
                connection.closed().await;
            })
        });
        closing.as_mut().poll(cx)
    }
}

impl fmt::Debug for WebTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebTransport").field("quic", &self.quic).field("request", &self.request).finish_non_exhaustive()
    }
}
