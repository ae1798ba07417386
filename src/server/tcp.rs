//! TCP: binding, accepting, and telling apart what comes.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, Span, debug, field, info_span, warn};

use super::detect::{self, First};
use super::{Context, Shutdown, connection};
use crate::ingest;

/// Connections that the kernel keeps for us between two accepts.
const BACKLOG: i32 = 1024;

/// The pause after the first failure to accept that is not one connection's own; doubles up to [`MAX_BACK_OFF`].
const MIN_BACK_OFF: Duration = Duration::from_millis(10);

/// The longest pause between two attempts to accept: what is full now may have room a second later.
const MAX_BACK_OFF: Duration = Duration::from_secs(1);

/// Most bytes that TLS may hold encrypted and unsent: they can't be abandoned any more. One record (RFC 8446 §5.2) and its
/// header have to fit.
const TLS_BUFFER: usize = 20 * 1024;

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// RTMP in.
    Rtmp,
    /// Pages and WebSocket, plain and TLS.
    Http,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtmp => "rtmp",
            Self::Http => "http",
        })
    }
}

/// Listens on `address`; `[::]` means IPv4 too, since `localhost` is `::1` for one browser and `127.0.0.1` for another.
///
/// # Errors
/// The system's: the port is taken, needs a privilege, or the address is none of this machine's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match listen(address) {
        // A machine without IPv6 still has all of its IPv4 addresses.
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() && !has_ipv6() => {
            listen((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        result => result,
    }
}

/// Accepts on one port until shutdown, then waits for its connections to end. Dropping the future cuts them off.
pub async fn serve(listener: TcpListener, port: Port, context: Arc<Context>, mut shutdown: Shutdown) {
    let mut tasks = JoinSet::new();
    let mut back_off = MIN_BACK_OFF;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
            () = shutdown.begun() => break,
        };
        match accepted {
            Ok((socket, peer)) => {
                back_off = MIN_BACK_OFF;
                // On a port for both families, IPv4 comes as ::ffff:a.b.c.d.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let Ok(permit) = Arc::clone(&context.connections).try_acquire_owned() else {
                    debug!(%peer, "connection limit reached");
                    continue;
                };
                let connection = serve_connection(socket, peer, port, Arc::clone(&context), shutdown.clone());
                tasks.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) if is_one_connections_own(&error) => debug!(%error, "connection lost before it was accepted"),
            Err(error) => {
                warn!(%error, %port, "can't accept");
                tokio::select! {
                    () = sleep(back_off) => {}
                    () = shutdown.begun() => break,
                }
                back_off = (back_off * 2).min(MAX_BACK_OFF);
            }
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Each stage of a connection is in a box of its own: a task is as large as its largest stage, for all of its life, and a
/// viewer's is far from the largest.
async fn serve_connection(
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
    match port {
        Port::Rtmp => {
            let work = ingest::serve(socket, &context.registry, &context.ingest, context.clock);
            let work = async {
                tokio::select! {
                    result = work => match result {
                        Ok(()) => debug!("connection ended"),
                        Err(error) => debug!(%error, "connection ended"),
                    },
                    // Dropped, it takes its stream offline, and the viewers are told.
                    () = shutdown.begun() => {}
                }
            };
            Box::pin(work.instrument(info_span!("rtmp", %peer, stream = field::Empty))).await;
        }
        Port::Http => {
            limit_unsent(&socket, context.unsent_bytes);
            let span = info_span!("http", %peer, tls = field::Empty, transport = field::Empty);
            serve_http(socket, &context, shutdown).instrument(span).await;
        }
    }
}

async fn serve_http(socket: TcpStream, context: &Context, mut shutdown: Shutdown) {
    let verdict = tokio::select! {
        verdict = timeout(context.limits.header_timeout, peek(&socket)) => verdict,
        () = shutdown.begun() => return,
    };
    match verdict {
        Ok(Ok(First::Http)) => Box::pin(connection::serve(socket, context, shutdown)).await,
        Ok(Ok(First::Tls)) => Box::pin(serve_tls(socket, context, shutdown)).await,
        Ok(Ok(First::Rtmp | First::Unknown)) => debug!("neither HTTP nor TLS"),
        Ok(Err(error)) => debug!(%error, "connection lost before its first byte"),
        Err(_) => debug!("no first byte in time"),
    }
}

async fn serve_tls(socket: TcpStream, context: &Context, mut shutdown: Shutdown) {
    Span::current().record("tls", true);
    let acceptor = TlsAcceptor::from(Arc::clone(&context.tls));
    let handshake = Box::pin(acceptor.accept_with(socket, |tls| tls.set_buffer_limit(Some(TLS_BUFFER))));
    let accepted = tokio::select! {
        accepted = timeout(context.limits.header_timeout, handshake) => accepted,
        () = shutdown.begun() => return,
    };
    match accepted {
        Ok(Ok(socket)) => Box::pin(connection::serve(socket, context, shutdown)).await,
        Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
        Err(_) => debug!("no TLS handshake in time"),
    }
}

/// Exactly one byte is asked for: with more, a connection that has sent fewer would be ready again and again.
async fn peek(socket: &TcpStream) -> io::Result<First> {
    let mut byte = [0];
    match socket.peek(&mut byte).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(detect::first_byte(byte[0])),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restarted gateway gets its port back while old connections linger. (Elsewhere it would let two of them share it.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn has_ipv6() -> bool {
    Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).is_ok()
}

/// Keeps what the kernel holds unsent small, since nothing there can be abandoned any more. Where the system has no such
/// option, delay under congestion is only worse.
fn limit_unsent(socket: &TcpStream, bytes: u32) {
    if let Err(error) = SockRef::from(socket).set_tcp_notsent_lowat(bytes) {
        debug!(%error, "can't bound the unsent bytes");
    }
}

/// Whether a failed accept says something about one connection only, and not about this machine (out of descriptors, out
/// of memory), which is everybody's and needs a pause. Linux passes a connection's network errors on: accept(2).
fn is_one_connections_own(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
        PermissionDenied, TimedOut, WouldBlock,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
            | WouldBlock
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn accept_failures_are_sorted_by_whose_they_are() {
        // ECONNABORTED, ECONNRESET, EHOSTUNREACH, EPERM (a firewall's rule) on Linux.
        for code in [103, 104, 113, 1] {
            assert!(is_one_connections_own(&io::Error::from_raw_os_error(code)), "{code}");
        }
        // EMFILE, ENFILE, ENOMEM, ENOBUFS.
        for code in [24, 23, 12, 105] {
            assert!(!is_one_connections_own(&io::Error::from_raw_os_error(code)), "{code}");
        }
    }

    #[tokio::test]
    async fn all_addresses_means_both_families() {
        let listener = bind("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_refused() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = bind(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn peeking_leaves_the_byte_where_it_is() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(&[0x16]).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(peek(&server).await.unwrap(), First::Tls);
        assert_eq!(peek(&server).await.unwrap(), First::Tls);
    }

    #[tokio::test]
    async fn a_connection_that_closes_before_its_first_byte_is_an_end() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        drop(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(peek(&server).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
