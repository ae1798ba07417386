//! TCP: binding and accepting.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Protocol, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::connections::Connections;
use super::detect::Verdict;
use super::{Context, Shutdown, dispatch, socket};

/// Connections that the kernel keeps for us between two accepts.
const BACKLOG: i32 = 1024;

/// The pause after the first failure to accept that is not one connection's own; doubles up to [`MAX_BACK_OFF`].
const MIN_BACK_OFF: Duration = Duration::from_millis(10);

/// The longest pause between two attempts to accept: what is full now may have room a second later.
const MAX_BACK_OFF: Duration = Duration::from_secs(1);

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// RTMP in.
    Rtmp,
    /// Pages and WebSocket, plain and TLS.
    Http,
    /// Everything, told apart as it comes.
    Unified,
    /// The operator's.
    Admin,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtmp => "rtmp",
            Self::Http => "http",
            Self::Unified => "unified",
            Self::Admin => "admin",
        })
    }
}

/// Listens on `address`; `[::]` means IPv4 too, since `localhost` is `::1` for one browser and `127.0.0.1` for another.
///
/// # Errors
/// The system's: the port is taken, needs a privilege, or the address is none of this machine's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket::bind(Type::STREAM, Protocol::TCP, address, |socket| {
        // A restarted gateway gets its port back while old connections linger. (Elsewhere it would let two of them share it.)
        if cfg!(unix) { socket.set_reuse_address(true) } else { Ok(()) }
    })?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts on one port until shutdown, each connection with the context of that moment, then waits for its connections to end. Dropping the future cuts them off.
pub async fn serve(listener: TcpListener, port: Port, contexts: watch::Receiver<Arc<Context>>, mut shutdown: Shutdown) {
    let mut connections = Connections::new(contexts.borrow().panics.clone());
    let mut back_off = MIN_BACK_OFF;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(()) = connections.ended() => continue,
            () = shutdown.begun() => break,
        };
        match accepted {
            Ok((socket, peer)) => {
                back_off = MIN_BACK_OFF;
                let context = Arc::clone(&contexts.borrow());
                // On a port for both families, IPv4 comes as ::ffff:a.b.c.d.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let permits = if port == Port::Admin { &context.admin_connections } else { &context.connections };
                let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
                    debug!(%peer, %port, "connection limit reached");
                    context.verdicts.count(Verdict::Refused);
                    continue;
                };
                let Some(arrival) = context.authority.arrive(peer.ip(), context.clock.wall()) else {
                    debug!(%peer, %port, "too many connections from its address");
                    context.verdicts.count(Verdict::Refused);
                    continue;
                };
                let connection = dispatch::serve(socket, peer, port, Arc::clone(&context), shutdown.clone());
                // Awaited where it lies: the task would have room for it twice.
                let connection = Box::pin(connection);
                connections.spawn(async move {
                    connection.await;
                    drop((permit, arrival));
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
    connections.all_ended().await;
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
    use std::net::Ipv4Addr;

    use tokio::net::TcpStream;

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
}
