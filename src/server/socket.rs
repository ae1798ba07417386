//! Sockets on an address: of both families where it names none, as people expect of `[::]`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Binds a nonblocking socket to `address`, set up by `prepare` before. A machine without IPv6 still has all of its IPv4 addresses.
pub(super) fn bind(
    kind: Type,
    protocol: Protocol,
    address: SocketAddr,
    prepare: impl Fn(&Socket) -> io::Result<()>,
) -> io::Result<Socket> {
    let open = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        prepare(&socket)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    let has_ipv6 = || Socket::new(Domain::IPV6, kind, Some(protocol)).is_ok();
    match open(address) {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() && !has_ipv6() => {
            open((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        result => result,
    }
}
