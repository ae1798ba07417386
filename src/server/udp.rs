//! UDP: QUIC connections, each served by what TLS has agreed upon (ALPN).
//!
//! | what | where |
//! |---|---|
//! | address validation, retry | RFC 9000 §8.1 |
//! | application protocols | RFC 9001 §8.1 |
//!
//! A stranger that claims another's address costs one answer: once many handshakes are under way, whoever has not shown that
//! it receives at its address is asked to come again with a token, for which nothing is remembered here. No 0-RTT: what comes
//! in it can be replayed. Connections move with their clients from address to address.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Connecting, Connection, Endpoint, EndpointConfig, Incoming, TokioRuntime, VarInt};
use socket2::{Protocol, Type};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tracing::{Instrument, Span, debug, field, info_span, warn};

use super::connections::Connections;
use super::detect::{self, Verdict};
use super::tls::TlsError;
use super::viewer::{self, Guest};
use super::{Context, Shutdown, h3, socket};
use crate::authority::Entrance;
use crate::delivery::Format;
use crate::transport::quic::{self, Quic};
use crate::transport::stream_link::StreamLink;

/// Handshakes at once, over one port. A flood of them must leave connections to others: what is beyond is not answered, and
/// comes again.
const MAX_HANDSHAKES: usize = 1000;

/// Handshakes at once from which on a client has to show that it receives at its address, which takes it a round trip.
const RETRY_ABOVE: usize = 100;

/// Clients whose first packet waits for the accepting loop, which takes it at once.
const MAX_INCOMING: usize = 256;

/// Bytes that are kept of such a client besides: the rest of a hello that needs more than one packet.
const INCOMING_BUFFER: u64 = 8 << 10;

/// Bytes that the kernel may hold of a port, each way, where the system lets it: a key frame for each of a hundred viewers. What
/// is beyond is lost on its way in, and waits on its way out. quinn bounds what lies here of one connection.
const SOCKET_BUFFER: usize = 4 << 20;

/// The longest that the packets which close connections may take to leave and be lost.
const FAREWELL: Duration = Duration::from_millis(500);

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Native QUIC.
    Native,
    /// HTTP/3, and WebTransport over it.
    Http3,
    /// Both.
    Unified,
}

impl Port {
    /// What TLS may agree upon there.
    pub fn protocols(self) -> &'static [detect::Protocol] {
        match self {
            Self::Native => &[detect::Protocol::Native],
            Self::Http3 => &[detect::Protocol::Http3],
            Self::Unified => &[detect::Protocol::Http3, detect::Protocol::Native],
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "quic",
            Self::Http3 => "http3",
            Self::Unified => "unified",
        })
    }
}

/// Takes a port; `[::]` means IPv4 too.
///
/// # Errors
/// The system's: the port is taken, needs a privilege, or the address is none of this machine's.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket::bind(Type::DGRAM, Protocol::UDP, address, |socket| {
        for result in [socket.set_recv_buffer_size(SOCKET_BUFFER), socket.set_send_buffer_size(SOCKET_BUFFER)] {
            if let Err(error) = result {
                debug!(%error, "can't have a larger socket buffer");
            }
        }
        Ok(())
    })?;
    Ok(socket.into())
}

/// How a port's connections are run.
///
/// # Errors
/// [`TlsError::Library`]: the cipher that QUIC begins with is missing (RFC 9001 §5.2).
pub fn server_config(
    tls: Arc<rustls::ServerConfig>,
    port: Port,
    config: &quic::Config,
) -> Result<quinn::ServerConfig, TlsError> {
    let transport = match port {
        Port::Native => config.native(),
        Port::Http3 | Port::Unified => config.http3(),
    };
    let tls = QuicServerConfig::try_from(tls)
        .map_err(|error| TlsError::Library(rustls::Error::General(error.to_string())))?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls));
    server
        .transport_config(Arc::new(transport))
        .migration(true)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFER * MAX_INCOMING as u64);
    Ok(server)
}

/// Accepts on one port until shutdown, each connection with the context of that moment, then waits for its connections to end. Dropping the future cuts them off.
pub async fn serve(
    socket: UdpSocket,
    (endpoint, server): (EndpointConfig, quinn::ServerConfig),
    port: Port,
    contexts: watch::Receiver<Arc<Context>>,
    mut shutdown: Shutdown,
) {
    let endpoint = match Endpoint::new(endpoint, Some(server), socket, Arc::new(TokioRuntime)) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            warn!(%error, %port, "can't accept");
            return;
        }
    };
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let mut connections = Connections::new(contexts.borrow().panics.clone());
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            Some(()) = connections.ended() => continue,
            () = shutdown.begun() => break,
        };
        let Some(incoming) = incoming else {
            warn!(%port, "can't accept");
            break;
        };
        let context = Arc::clone(&contexts.borrow());
        if let Some(connection) = admit(incoming, &handshakes, port, &context, &shutdown) {
            connections.spawn(connection);
        }
    }
    // Whoever comes now is refused.
    endpoint.set_server_config(None);
    connections.all_ended().await;
    let _ = timeout(FAREWELL, endpoint.wait_idle()).await;
}

/// Begins a handshake, unless there are too many of them or of connections.
fn admit(
    incoming: Incoming,
    handshakes: &Arc<Semaphore>,
    port: Port,
    context: &Arc<Context>,
    shutdown: &Shutdown,
) -> Option<impl Future<Output = ()> + Send + use<>> {
    let peer = incoming.remote_address();
    // On a port for both families, IPv4 comes as ::ffff:a.b.c.d.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let Ok(handshake) = Arc::clone(handshakes).try_acquire_owned() else {
        context.verdicts.count(Verdict::Refused);
        incoming.ignore();
        return None;
    };
    if handshakes.available_permits() < MAX_HANDSHAKES - RETRY_ABOVE && incoming.may_retry() {
        if let Err(error) = incoming.retry() {
            debug!(%peer, %error, "can't ask for the address to be shown");
        }
        return None;
    }
    let Ok(permit) = Arc::clone(&context.connections).try_acquire_owned() else {
        debug!(%peer, "connection limit reached");
        context.verdicts.count(Verdict::Refused);
        incoming.refuse();
        return None;
    };
    let connecting = match incoming.accept() {
        Ok(connecting) => connecting,
        Err(error) => {
            debug!(%peer, %error, "QUIC handshake failed");
            context.verdicts.count(Verdict::NoTls);
            return None;
        }
    };
    let (context, shutdown) = (Arc::clone(context), shutdown.clone());
    let span = info_span!("udp", %peer, %port, transport = field::Empty, stream = field::Empty);
    Some(
        async move {
            serve_connection(connecting, peer, handshake, context, shutdown).await;
            drop(permit);
        }
        .instrument(span),
    )
}

/// Each stage of a connection is in a box of its own: a task is as large as its largest stage, for all of its life.
async fn serve_connection(
    connecting: Connecting,
    peer: SocketAddr,
    handshake: OwnedSemaphorePermit,
    context: Arc<Context>,
    mut shutdown: Shutdown,
) {
    let connected = tokio::select! {
        connected = timeout(context.limits.header_timeout, Box::pin(connecting)) => connected,
        () = shutdown.begun() => return,
    };
    drop(handshake);
    let connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            context.verdicts.count(Verdict::NoTls);
            return debug!(%error, "QUIC handshake failed");
        }
        Err(_) => {
            context.verdicts.count(Verdict::Silent);
            return debug!("no QUIC handshake in time");
        }
    };
    // Only now has it shown that it is at its address.
    let Some(_arrival) = context.authority.arrive(peer.ip(), context.clock.wall()) else {
        context.verdicts.count(Verdict::Refused);
        debug!("too many connections from its address");
        return connection.close(VarInt::from_u32(0), b"");
    };
    let verdict = detect::quic(protocol(&connection).as_deref());
    context.verdicts.count(verdict);
    match verdict {
        Verdict::Native => Box::pin(serve_native(connection, peer, &context, shutdown)).await,
        Verdict::Http3 => Box::pin(h3::serve(connection, peer, &context, shutdown)).await,
        // Nothing else is agreed upon.
        _ => connection.close(VarInt::from_u32(0), b""),
    }
}

fn serve_native(
    connection: Connection,
    peer: SocketAddr,
    context: &Context,
    shutdown: Shutdown,
) -> impl Future<Output = ()> + Send {
    Span::current().record("transport", "quic");
    let link = StreamLink::new(Quic::new(connection), context.session.clone(), context.clock);
    let guest = Guest { peer, entrance: Entrance::Quic, credential: None, format: Format::Raw };
    viewer::serve(link, guest, context, shutdown)
}

/// What TLS has agreed upon.
fn protocol(connection: &Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn all_addresses_means_both_families() {
        let socket = bind("[::]:0".parse().unwrap()).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"x", (Ipv4Addr::LOCALHOST, socket.local_addr().unwrap().port())).unwrap();
        socket.set_nonblocking(false).unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1);
    }

    #[test]
    fn a_taken_port_is_refused() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = bind(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
