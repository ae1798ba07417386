//! The ports: accepts connections, finds out what they speak and hands each to the module that serves it.
//!
//! Invariant: one task owns one connection, from its first byte to its last. Tasks are spawned in [`tcp`] and
//! [`udp`] only, each into a set that is drained at shutdown; the answers of one HTTP/2 connection are tasks too, in a set of that connection.
//! [`sources`] spawns those that call other servers.

pub mod admin;
mod admission;
pub mod client;
mod connection;
mod connections;
pub mod detect;
pub mod dialect;
mod dispatch;
mod h3;
pub mod hook;
pub mod hooks;
pub mod http;
mod http2;
pub mod player;
pub mod reset;
mod socket;
pub mod sources;
pub mod tcp;
pub mod tls;
pub mod udp;
pub mod upgrade;
pub mod upkeep;
pub mod verdicts;
mod viewer;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use axum::Router;
use prometheus_client::metrics::counter::Counter;
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::task::coop::unconstrained;

use self::tls::acme::Challenges;
use self::verdicts::Verdicts;
use crate::authority::{self, Authority};
use crate::broadcast::Registry;
use crate::clock::Clock;
use crate::transport::websocket;
use crate::{delivery, ingest, session};

/// What one stranger, or all of them together, may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once, over all ports; more are closed as they come. Default 10000: each takes a file descriptor, and
    /// running out of those stops everybody.
    pub connections: usize,
    /// From a connection's start to its first byte, then to the end of the TLS handshake, then to the first byte inside it,
    /// then to the end of each request's head. Default 10 s: browsers open connections in advance and leave them idle; strangers do it on purpose.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// How long a connection may neither publish nor view, once it might, over whatever it came; who waits for a publisher
    /// views. Default 2 min: time to choose another stream.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Bounds of everything together. Default none but those above.
    pub node: authority::Node,
    /// Bounds of each application: the first element of a path. Default none.
    pub tenant: authority::Tenant,
    /// Bounds of each stream. Default none.
    pub path: authority::Path,
    /// Bounds of each address.
    pub address: authority::Address,
    /// From the signal to stop until viewers are told to go elsewhere: time for a load balancer to see that `/api/v1/ready`
    /// says no. Default 0 s: nobody asks unless told so.
    #[serde(with = "humantime_serde")]
    pub drain_notice: Duration,
    /// From then until what is still connected is cut off. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let authority::Limits { idle_timeout, node, tenant, path, address } = authority::Limits::default();
        Self {
            connections: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout,
            node,
            tenant,
            path,
            address,
            drain_notice: Duration::ZERO,
            drain: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// Those that hold who wants in.
    pub fn of_authority(&self) -> authority::Limits {
        let Self { idle_timeout, node, tenant, path, address, .. } = self.clone();
        authority::Limits { idle_timeout, node, tenant, path, address }
    }
}

/// What every connection needs, shared by all of them.
#[derive(Debug, Clone)]
pub struct Context {
    /// The live streams.
    pub registry: Registry,
    /// Who may do what, who is here, and how they are cut off.
    pub authority: Authority,
    /// From request to response.
    pub http: Router,
    /// The same on the operator's port.
    pub admin: Router,
    /// For RTMP connections.
    pub ingest: ingest::Config,
    /// For RTMP connections: how they end, counted.
    pub publishers: ingest::Metrics,
    /// For viewers: what they are sent.
    pub delivery: delivery::Config,
    /// For viewers: what they are sent, counted.
    pub viewers: delivery::Metrics,
    /// For viewers: flows.
    pub session: session::Config,
    /// For viewers: WebSocket.
    pub websocket: websocket::Config,
    /// For TLS connections on the port for WebSocket.
    pub tls: Arc<ServerConfig>,
    /// For TLS connections on the port for everything.
    pub unified_tls: Arc<ServerConfig>,
    /// For TLS connections of a certificate authority.
    pub challenges: Arc<Challenges>,
    /// The UDP port that HTTP/3 is announced on by the port for everything.
    pub http3: Option<u16>,
    /// Bytes that the kernel may hold unsent for a viewer.
    pub unsent_bytes: u32,
    /// Bounds on strangers.
    pub limits: Limits,
    /// What connections have turned out to be.
    pub verdicts: Arc<Verdicts>,
    /// Connections that have ended by a panic, counted.
    pub panics: Counter,
    /// Permits for [`Limits::connections`].
    pub connections: Arc<Semaphore>,
    /// Permits on the operator's port, which is open when the others are full.
    pub admin_connections: Arc<Semaphore>,
    /// Time.
    pub clock: Clock,
}

/// Tells every task that the gateway is stopping.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// A signal, and what sets it off: sending `true`, or dropping the sender.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Waits until the gateway begins to stop. Cancel safe.
    pub async fn begun(&mut self) {
        let signal = self.0.clone();
        let mut waits = pin!(self.0.wait_for(|&stopping| stopping));
        let mut waker: Option<Waker> = None;
        // All who wait share one lock, which is none to take each time that one of them is woken for something else.
        poll_fn(|cx| {
            let is_waiting = waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            if is_waiting && signal.has_changed().is_ok_and(|changed| !changed) {
                return Poll::Pending;
            }
            waker = Some(cx.waker().clone());
            // Even when the task has had its turn: the waker would not be left, and this not be asked again.
            // An error is the sender's end, which means the same.
            pin!(unconstrained(waits.as_mut())).poll(cx).map(|_| ())
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{coop, yield_now};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_end_is_noticed_by_a_task_that_had_no_turn_left_when_it_began_to_wait() {
        let (stop, mut shutdown) = Shutdown::new();
        let waiting = tokio::spawn(async move {
            while coop::has_budget_remaining() {
                coop::consume_budget().await;
            }
            shutdown.begun().await;
        });
        // It waits, and has had its next turn, which tokio gives to whom it has refused one.
        for _ in 0..4 {
            yield_now().await;
        }
        stop.send_replace(true);
        timeout(Duration::from_secs(10), waiting).await.expect("it notices").unwrap();
    }
}
