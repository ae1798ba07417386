//! One TCP connection, from its first byte to the module that serves it.
//!
//! Each stage has [`Limits::header_timeout`](super::Limits::header_timeout): the first byte, the TLS handshake, the first
//! byte inside TLS. What is not spoken here is closed without a word; every connection that was asked is counted once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::server::Acceptor;
use socket2::SockRef;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{Instrument, Span, debug, field, info, info_span};

use super::detect::{self, First, Verdict};
use super::http::Via;
use super::tcp::Port;
use super::{Context, Shutdown, admin, connection, http2};
use crate::authority::Entrance;
use crate::ingest;

/// Most bytes that TLS may hold encrypted and unsent: they can't be abandoned any more. One record (RFC 8446 §5.2) and its
/// header have to fit.
const TLS_BUFFER: usize = 20 * 1024;

/// Serves one connection until its end.
///
/// Each stage is in a box of its own: a task is as large as its largest stage, for all of its life, and a viewer's is far
/// from the largest.
pub(super) async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    port: Port,
    context: Arc<Context>,
    mut shutdown: Shutdown,
) {
    // Frames and answers go out when they are written, not when there are enough of them.
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%peer, %error, "connection lost before it was served");
        return;
    }
    let span = info_span!("tcp", %peer, tls = field::Empty, transport = field::Empty, stream = field::Empty);
    let serving = async {
        if port == Port::Rtmp {
            Box::pin(serve_rtmp(socket, peer, &context, shutdown)).await;
            return;
        }
        if port == Port::Admin {
            Span::current().record("transport", "admin");
            Box::pin(admin::serve(socket, &context, shutdown)).await;
            return;
        }
        limit_unsent(&socket, context.unsent_bytes);
        let first = match Box::pin(within(&context, &mut shutdown, peek(&socket))).await {
            Ok(byte) => detect::first_byte(byte),
            Err(end) => return end.log(&context, "first byte"),
        };
        match first {
            First::Tls => Box::pin(serve_tls(socket, peer, port, context, shutdown)).await,
            First::Http => {
                context.verdicts.count(Verdict::Http);
                let via = if port == Port::Unified { Via::PlainLocal } else { Via::Plain };
                Box::pin(connection::serve(socket, peer, via, &context, shutdown)).await;
            }
            First::Rtmp if port == Port::Unified => {
                context.verdicts.count(Verdict::Rtmp);
                Box::pin(serve_rtmp(socket, peer, &context, shutdown)).await;
            }
            First::Rtmp | First::Unknown => {
                context.verdicts.count(Verdict::Unknown);
                debug!("nothing that is spoken here");
            }
        }
    };
    serving.instrument(span).await;
}

async fn serve_rtmp<S>(socket: S, peer: SocketAddr, context: &Context, mut shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    Span::current().record("transport", "rtmp");
    let (visitor, leash) = context.authority.visit(peer, Entrance::Rtmp, None, context.clock.wall());
    tokio::select! {
        result = ingest::serve(socket, &context.registry, &context.ingest, context.clock, &visitor) => {
            context.publishers.ended(&result);
            match result {
                Ok(()) => debug!("connection ended"),
                Err(error) => debug!(%error, "connection ended"),
            }
        }
        cut = leash => info!("publisher cut off: {cut}"),
        // Dropped, it takes its stream offline, and the viewers are told.
        () = shutdown.begun() => {}
    }
}

async fn serve_tls(socket: TcpStream, peer: SocketAddr, port: Port, context: Arc<Context>, mut shutdown: Shutdown) {
    Span::current().record("tls", true);
    let handshake = Box::pin(shake_hands(socket, port, &context));
    let mut socket = match within(&context, &mut shutdown, handshake).await {
        // It goes through many hands, each of which would keep room for all of it.
        Ok(socket) => Box::new(socket),
        Err(Ending::Lost(error)) => {
            context.verdicts.count(Verdict::NoTls);
            debug!(%error, "TLS handshake failed");
            return;
        }
        Err(end) => return end.log(&context, "TLS handshake"),
    };
    let agreed = match port {
        Port::Unified => detect::negotiated(socket.get_ref().1.alpn_protocol()),
        // Who agrees upon nothing is no other than HTTP/1.1, which has its own patience.
        Port::Http | Port::Rtmp | Port::Admin => {
            detect::negotiated(socket.get_ref().1.alpn_protocol()).or(Some(Verdict::Https))
        }
    };
    let verdict = match agreed {
        Some(verdict) => verdict,
        None => match within(&context, &mut shutdown, peek_inside(&mut socket)).await {
            Ok(byte) => detect::inside(byte),
            Err(end) => return end.log(&context, "first byte inside TLS"),
        },
    };
    context.verdicts.count(verdict);
    let via = Via::Tls { http3: context.http3.filter(|_| port == Port::Unified) };
    match verdict {
        Verdict::Https => Box::pin(connection::serve(socket, peer, via, &context, shutdown)).await,
        Verdict::Http2 => Box::pin(http2::serve(socket, peer, via, context, shutdown)).await,
        Verdict::Rtmps => Box::pin(serve_rtmp(socket, peer, &context, shutdown)).await,
        // The handshake was the answer.
        Verdict::Challenge => debug!("somebody has looked whether a challenge is answered"),
        _ => debug!("nothing that is spoken here, inside TLS"),
    }
}

/// Nothing is made for a peer before its whole hello is there: a connection's state is several times as large.
async fn shake_hands(socket: TcpStream, port: Port, context: &Context) -> io::Result<TlsStream<TcpStream>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
    let config = match port {
        Port::Unified => &context.unified_tls,
        Port::Http | Port::Rtmp | Port::Admin => &context.tls,
    };
    let hello = start.client_hello();
    debug!(host = hello.server_name(), "TLS hello");
    let config = context.challenges.answer(&hello).unwrap_or_else(|| Arc::clone(config));
    start.into_stream_with(config, |tls| tls.set_buffer_limit(Some(TLS_BUFFER))).await
}

/// Why a stage has come to nothing.
enum Ending {
    /// The connection's end, or its failure.
    Lost(io::Error),
    /// Nothing in time.
    Silent,
    /// The gateway stops.
    Shutdown,
}

impl Ending {
    fn log(&self, context: &Context, awaited: &str) {
        match self {
            Self::Lost(error) => {
                context.verdicts.count(Verdict::Gone);
                debug!(%error, "connection lost before its {awaited}");
            }
            Self::Silent => {
                context.verdicts.count(Verdict::Silent);
                debug!("no {awaited} in time");
            }
            Self::Shutdown => {}
        }
    }
}

/// Waits for a stage as long as a stranger may take for it.
async fn within<T>(
    context: &Context,
    shutdown: &mut Shutdown,
    stage: impl Future<Output = io::Result<T>>,
) -> Result<T, Ending> {
    tokio::select! {
        done = timeout(context.limits.header_timeout, stage) => match done {
            Ok(done) => done.map_err(Ending::Lost),
            Err(_) => Err(Ending::Silent),
        },
        () = shutdown.begun() => Err(Ending::Shutdown),
    }
}

/// Exactly one byte is asked for: with more, a connection that has sent fewer would be ready again and again.
async fn peek(socket: &TcpStream) -> io::Result<u8> {
    let mut byte = [0];
    match socket.peek(&mut byte).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(byte[0]),
    }
}

/// The first byte stays in the buffer of TLS, so nothing has to be put in front of the socket for the rest of its life.
async fn peek_inside(socket: &mut TlsStream<TcpStream>) -> io::Result<u8> {
    socket.fill_buf().await?.first().copied().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Keeps what the kernel holds unsent small, since nothing there can be abandoned any more. Where the system has no such
/// option, delay under congestion is only worse.
fn limit_unsent(socket: &TcpStream, bytes: u32) {
    if let Err(error) = SockRef::from(socket).set_tcp_notsent_lowat(bytes) {
        debug!(%error, "can't bound the unsent bytes");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn peeking_leaves_the_byte_where_it_is() {
        let (mut client, server) = pair().await;
        client.write_all(&[0x16]).await.unwrap();
        assert_eq!(peek(&server).await.unwrap(), 0x16);
        assert_eq!(peek(&server).await.unwrap(), 0x16);
    }

    #[tokio::test]
    async fn a_connection_that_closes_before_its_first_byte_is_an_end() {
        let (client, server) = pair().await;
        drop(client);
        assert_eq!(peek(&server).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
