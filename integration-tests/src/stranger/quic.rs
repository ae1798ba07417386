//! What strangers send to a port of QUIC before there is a connection: packets that begin handshakes, and no more.
//!
//! A QUIC client of quinn's makes the packets; what of them reaches the gateway, and what comes back, is decided here.
//!
//! | what | where |
//! |---|---|
//! | long headers, their types | RFC 9000 §17.2 |
//! | retry | RFC 9000 §8.1.2 |

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use quinn::{Connecting, Endpoint};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::bundle::quic_endpoint;
use crate::stage::LIMIT;

/// A client's first packet is at least this long, and no server's answer to it much longer.
const PACKET: usize = 2048;

/// What a packet is that has a long header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The begin of a handshake, by a client or a server.
    Initial,
    /// The server asks the client to come again, with a token.
    Retry,
    /// Anything else.
    Other,
}

impl Kind {
    /// By its first byte, in version 1.
    pub fn of(packet: &[u8]) -> Self {
        match packet.first().map(|first| first & 0xf0) {
            Some(0xc0) => Self::Initial,
            Some(0xf0) => Self::Retry,
            _ => Self::Other,
        }
    }
}

/// The first packets of so many connections.
///
/// # Errors
/// When no socket can be had.
pub async fn hellos(count: usize) -> Result<Vec<Vec<u8>>> {
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (_endpoint, _connecting) = clients(count, sink.local_addr()?)?;
    let (mut hellos, mut packet) = (HashMap::with_capacity(count), [0; PACKET]);
    while hellos.len() < count {
        let len = timeout(LIMIT, sink.recv(&mut packet)).await.context("no packet comes")??;
        let [_, _, _, _, _, length, rest @ ..] = &packet[..len] else { bail!("a packet of {len} bytes") };
        // By the number that the client has made up for the server. What was lost comes again.
        let number = rest.get(..usize::from(*length)).context("a short packet")?;
        hellos.insert(number.to_vec(), packet[..len].to_vec());
    }
    Ok(hellos.into_values().collect())
}

/// Clients that try to connect until they are dropped.
fn clients(count: usize, server: SocketAddr) -> Result<(Endpoint, Vec<Connecting>)> {
    let endpoint = quic_endpoint()?;
    let connecting = (0..count).map(|_| endpoint.connect(server, "localhost")).collect::<Result<_, _>>()?;
    Ok((endpoint, connecting))
}

/// Begins so many handshakes that never end: of what `server` answers, nothing but the wish to come again reaches the clients.
/// Gives the number of packets that were held back once `enough` of them were.
///
/// # Errors
/// When no socket can be had, or too few answers come.
pub async fn half_handshakes(server: SocketAddr, count: usize, enough: usize) -> Result<usize> {
    let (inside, outside) =
        (UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    outside.connect(server).await?;
    let (_endpoint, _connecting) = clients(count, inside.local_addr()?)?;
    let (mut from_client, mut from_server) = ([0; PACKET], [0; PACKET]);
    let mut client = None;
    let mut held_back = 0;
    while held_back < enough {
        tokio::select! {
            came = timeout(LIMIT, inside.recv_from(&mut from_client)) => {
                let (len, address) = came.context("the clients are silent")??;
                client = Some(address);
                outside.send(&from_client[..len]).await?;
            }
            came = outside.recv(&mut from_server) => {
                let len = came?;
                match (Kind::of(&from_server), client) {
                    (Kind::Retry, Some(client)) => drop(inside.send_to(&from_server[..len], client).await?),
                    _ => held_back += 1,
                }
            }
        }
    }
    Ok(held_back)
}
