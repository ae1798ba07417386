//! What the gateway tells about itself: the log, and the figures at `/metrics` on the operator's port.
//!
//! | metric | type | labels | what |
//! |---|---|---|---|
//! | `headwater_streams` | gauge | | Streams published now |
//! | `headwater_received_bytes` | counter | | Bytes of messages that came from publishers |
//! | `headwater_received_frames` | counter | | Messages that came from publishers |
//! | `headwater_publishers_refused` | counter | | Publishers refused since another one had the path |
//! | `headwater_rtmp_ended` | counter | `reason`: left, lost, misbehaved, codec, silent, replaced | RTMP connections that are here no longer, by why |
//! | `headwater_denied` | counter | `reason` | Wishes to publish or view that were denied |
//! | `headwater_viewers` | gauge | `transport` | Viewers connected now |
//! | `headwater_viewers_ended` | counter | `reason`: left, lost, misbehaved, silent, cut_off, shutdown | Viewers that are here no longer, by why |
//! | `headwater_sent_bytes` | counter | `transport` | Bytes of messages given to viewers' transports, framing not counted |
//! | `headwater_sent_frames` | counter | `transport` | Audio and video messages given to viewers' transports |
//! | `headwater_delay_seconds` | histogram | `transport` | From a frame's arrival from its publisher until its last byte is given to a viewer's transport |
//! | `headwater_rtt_seconds` | histogram | `transport` | Viewers' smoothed round-trip times, each once a second |
//! | `headwater_abandoned_frames` | counter | `kind`: audio, video | Audio and video messages that viewers were not sent, being too late |
//! | `headwater_skipped_frames` | counter | | Messages that lagging viewers left out to go on with the newest group |
//! | `headwater_connections` | counter | `verdict` | Connections to ports that detect, by what they turned out to be; refused: beyond limits |
//!
//! A counter's samples are called `…_total`. `transport` is one of `rtwebsocket`, `websocketstream`, `websocket`, `webtransport`
//! and `quic`; `verdict` is a [`Verdict`](crate::server::detect::Verdict). Viewers' figures are up to a second old.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::authority::Authority;
use crate::server::verdicts::Verdicts;
use crate::{broadcast, delivery, ingest};

/// How the log is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// For people, or for programs. Default `text`.
    pub format: Format,
}

/// A form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A line for each event, in colour on a terminal.
    #[default]
    Text,
    /// A JSON object a line: `timestamp`, `level`, `message`, the event's own fields, and in `span` those of the connection:
    /// `peer`, `transport`, `stream`.
    Json,
}

/// Sends the log to standard error, so that standard output holds only what was asked for. `RUST_LOG` chooses the levels
/// (default `info`). Later calls do nothing.
pub fn log_to_stderr(config: &Config) {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    // A log that can't be written is nothing to say on standard error, which is the log.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    let _ = match config.format {
        Format::Text => log.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => log.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
}

/// All figures, to be shown.
pub fn figures(
    streams: &broadcast::Registry,
    publishers: &ingest::Metrics,
    viewers: &delivery::Metrics,
    authority: &Authority,
    verdicts: &Arc<Verdicts>,
) -> Registry {
    let mut registry = Registry::with_prefix("headwater");
    streams.register(&mut registry);
    publishers.register(&mut registry);
    viewers.register(&mut registry);
    registry.register_collector(Box::new(authority.clone()));
    registry.register_collector(Box::new(Arc::clone(verdicts)));
    registry
}
