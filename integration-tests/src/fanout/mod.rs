//! The fan-out benchmark's parts: the viewers' process, other servers, and servers that do nothing but send.
//!
//! ```text
//! this process: publisher ── RTMP ──▶ gateway   ── as they ask ────────────▶ viewers' process
//!               publisher ── RTMP ──▶ rival     ── RTMP, FLV, MoQ ─────────▶ viewers' process
//!               publisher ── TCP ───▶ baseline  ── length and message ─────▶ viewers' process
//! ```

mod bare_quic;
pub mod baseline;
mod rival;
pub mod viewers;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use headwater::delivery::Format;
use serde::{Deserialize, Serialize};

use crate::tlv::Dialect;
use crate::transport::Transport;

/// Behind the name of a transport: fragmented MP4 over it.
const FMP4: &str = "-fmp4";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The gateway, its viewers over this transport, in this form.
    Gateway(Transport, Format),
    /// The gateway, its viewers without flows.
    Flowless(Dialect),
    /// Another server.
    Rival(Rival),
    /// What the transport alone costs.
    Baseline(Baseline),
}

/// A server that people use for the same, where its own package can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// nginx with its RTMP module, viewers over RTMP.
    NginxRtmp,
    /// Node-Media-Server, viewers over a WebSocket that carries FLV.
    NodeMediaServer,
    /// The same over TLS.
    NodeMediaServerTls,
    /// Media over QUIC's relay, behind `moq`, which takes RTMP for it; each viewer is a `moq` of its own that gives FLV.
    MoqRelay,
}

/// A server that only sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// A write a frame, and no more.
    Tcp,
    /// The frames of [`baseline::GATHER`] in one write.
    TcpGathered,
    /// A TLS write a frame.
    Tls,
    /// QUIC, all of a viewer's on one stream.
    Quic,
    /// QUIC, a stream for each group of video and one for audio.
    QuicGroups,
}

impl Baseline {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::TcpGathered, Self::Tls, Self::Quic, Self::QuicGroups];

    fn name(self) -> &'static str {
        match self {
            Baseline::Tcp => "tcp",
            Baseline::TcpGathered => "tcp-gathered",
            Baseline::Tls => "tls",
            Baseline::Quic => "bare-quic",
            Baseline::QuicGroups => "bare-quic-groups",
        }
    }
}

impl Rival {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NginxRtmp, Self::NodeMediaServer, Self::NodeMediaServerTls, Self::MoqRelay];

    fn name(self) -> &'static str {
        match self {
            Rival::NginxRtmp => "nginx-rtmp",
            Rival::NodeMediaServer => "node-media-server",
            Rival::NodeMediaServerTls => "node-media-server-wss",
            Rival::MoqRelay => "moq-relay",
        }
    }
}

impl Subject {
    /// What is delivered, if it's the gateway that does.
    pub fn format(self) -> Option<Format> {
        match self {
            Subject::Gateway(_, format) => Some(format),
            Subject::Flowless(_) => Some(Format::Fmp4),
            Subject::Rival(_) | Subject::Baseline(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Gateway(transport, Format::Raw) => transport.fmt(f),
            Subject::Gateway(transport, Format::Fmp4) => f.pad(&format!("{transport}{FMP4}")),
            Subject::Flowless(dialect) => dialect.fmt(f),
            Subject::Rival(rival) => f.pad(rival.name()),
            Subject::Baseline(baseline) => f.pad(baseline.name()),
        }
    }
}

impl FromStr for Baseline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|baseline| baseline.name() == text);
        known.ok_or_else(|| format!("{text} is none of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl FromStr for Rival {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|rival| rival.name() == text);
        known.ok_or_else(|| format!("{text} is none of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(transport) = text.strip_suffix(FMP4) {
            return transport.parse().map(|transport| Subject::Gateway(transport, Format::Fmp4));
        }
        let of_gateway = text.parse().map(|transport| Subject::Gateway(transport, Format::Raw));
        let flowless = |_| text.parse().map(Subject::Flowless);
        let rival = |_| text.parse().map(Subject::Rival);
        of_gateway.or_else(flowless).or_else(rival).or_else(|_: String| text.parse().map(Subject::Baseline))
    }
}

/// What the viewers' process has measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Watched {
    /// Frames that were sent inside the window and came, of all viewers together.
    pub frames_received: u64,
    /// Bytes of the messages that they came in.
    pub bytes_received: u64,
    /// From the publisher's write to the viewer's read, ms.
    pub delay_ms_p50: f64,
    /// As above.
    pub delay_ms_p99: f64,
    /// From the viewer's connect to its first key frame, ms.
    pub join_ms_p50: f64,
    /// If some of them stalled. All the above is of the others then.
    pub stalled: Option<Stalled>,
}

/// When some viewers stop reading, on the stamps' clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// They stop.
    pub from: Duration,
    /// They go on.
    pub to: Duration,
}

/// What the viewers' process has seen of a [`Stall`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stalled {
    /// The others' delay before the stall, ms.
    pub delay_ms_p50_before: f64,
    /// As above.
    pub delay_ms_p99_before: f64,
    /// The others' delay during the stall, ms.
    pub delay_ms_p50_during: f64,
    /// As above.
    pub delay_ms_p99_during: f64,
    /// Frames that had been sent before a stalled viewer read again, and came after it did; of the viewer that got most.
    pub stale_bytes: u64,
    /// For each viewer that stalled: the first key frame that was sent after it read again. `None`: none came.
    pub first_keys: Vec<Option<FirstKey>>,
}

/// The first key frame of a viewer that reads again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct FirstKey {
    /// The frame's number on its track.
    pub sequence: u32,
    /// From reading again to this frame, ms.
    pub after_ms: f64,
    /// From the publisher's write to the viewer's read, ms.
    pub delay_ms: f64,
}
