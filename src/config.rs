//! The gateway's configuration: composes every module's own `Config`; [`load`] reads it and explains what is wrong.
//!
//! What is read is resolved in the same step: below this module there are no options to combine and no strings to parse.
//! `config/headwater.yml` shows every key at its default, with the reason; a test keeps the two equal.

mod address;
mod changes;
mod former;
mod load;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::address::Address;
pub use self::changes::Changes;
pub use self::load::{ConfigError, Loaded, load};
use crate::broadcast::{PublisherRules, Takeover};
use crate::transport::{quic, websocket};
use crate::{authority, delivery, ingest, server, session, telemetry};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// RTMP in.
    pub rtmp: Rtmp,
    /// Viewers over WebSocket, and the pages beside it.
    pub websocket: WebSocket,
    /// Viewers over native QUIC, and what every QUIC connection is run with.
    pub quic: Quic,
    /// Viewers over WebTransport.
    pub webtransport: WebTransport,
    /// The one port for everything.
    pub unified: Unified,
    /// The operator's port.
    pub admin: Admin,
    /// Paths that are pulled from other servers.
    pub sources: server::sources::Config,
    /// Who is told what happens to streams.
    pub hooks: server::hooks::Config,
    /// The log.
    pub log: telemetry::Config,
    /// Certificates.
    pub tls: server::tls::Config,
    /// Who may publish and view.
    pub authority: authority::Config,
    /// What one stranger, or all of them together, may take.
    pub limits: server::Limits,
    /// How viewers are served.
    pub delivery: delivery::Config,
    /// How one viewer's flows share its connection.
    pub session: session::Config,
}

/// RTMP in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rtmp {
    /// Where publishers connect. Default `[::]:1935`, the port that every encoder assumes.
    pub address: Address,
    /// Who has a path that two publish, whichever way they come in. Default `newest`: an encoder whose connection died
    /// without a word is back before that is noticed.
    pub takeover: Takeover,
    /// Whether decoders are told that pictures are shown in the order in which they come, where the encoder of an H.264
    /// stream left that out and none is seen out of order. Default true: decoders that are told nothing may keep
    /// pictures back.
    pub declare_picture_order: bool,
    /// What a publisher may take.
    pub limits: ingest::Config,
}

impl Rtmp {
    /// What every publisher is held to, whichever way it comes in.
    pub fn publisher_rules(&self) -> PublisherRules {
        PublisherRules {
            takeover: self.takeover,
            idle_timeout: self.limits.idle_timeout,
            declare_picture_order: self.declare_picture_order,
        }
    }
}

impl Default for Rtmp {
    fn default() -> Self {
        Self {
            address: Address::everywhere(1935),
            takeover: Takeover::default(),
            declare_picture_order: true,
            limits: ingest::Config::default(),
        }
    }
}

/// Viewers over WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSocket {
    /// WebSocket and HTTP, plain and TLS told apart by the first byte. Default `[::]:4446`.
    pub address: Address,
    /// Bytes that the kernel may hold unsent for a viewer, on every port that takes WebSocket. Default 16384: what is there
    /// can't be abandoned any more, and a few packets are enough to keep the network busy.
    pub unsent_bytes: u32,
    /// How viewers that are gone without a word are found.
    pub keep_alive: websocket::Config,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self { address: Address::everywhere(4446), unsent_bytes: 16 * 1024, keep_alive: websocket::Config::default() }
    }
}

/// Viewers over native QUIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quic {
    /// QUIC under the name `headwater/1`. Default `[::]:4444`.
    pub address: Address,
    /// How connections are run, WebTransport's too.
    pub connection: quic::Config,
    /// Holds the secret by which clients are told, after a restart, that their connection is no more; made if there is none. Default
    /// `certs/quic-reset.key`.
    pub reset_key: PathBuf,
}

impl Default for Quic {
    fn default() -> Self {
        Self {
            address: Address::everywhere(4444),
            connection: quic::Config::default(),
            reset_key: "certs/quic-reset.key".into(),
        }
    }
}

/// Viewers over WebTransport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebTransport {
    /// HTTP/3, for players that decode by themselves. Default `[::]:4443`.
    pub address: Address,
    /// HTTP/3, for players that use Media Source Extensions. Default `[::]:4445`.
    pub fmp4_address: Address,
}

impl Default for WebTransport {
    fn default() -> Self {
        Self { address: Address::everywhere(4443), fmp4_address: Address::everywhere(4445) }
    }
}

/// The one port for everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Unified {
    /// RTMP, HTTP/1.1 and WebSocket, in the clear (for localhost; other names are sent to https) and inside TLS, HTTP/2:
    /// told apart by the first byte and by what TLS agrees upon. RTMPS is here and nowhere else. Default `off`: port 443
    /// needs a privilege on most systems, and a gateway that is started without it should start.
    pub address: Address,
}

impl Default for Unified {
    fn default() -> Self {
        Self { address: Address::Off }
    }
}

/// The operator's port: figures, the API, and the page that shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// HTTP/1.1 in the clear. Default `127.0.0.1:9446`: whoever can connect may do everything, so it is out of others' reach.
    pub address: Address,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: Address::local(9446) }
    }
}
