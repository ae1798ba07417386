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
//! | `headwater_viewers_ended` | counter | `reason`: left, lost, misbehaved, silent, idle, cut_off, shutdown | Viewers that are here no longer, by why |
//! | `headwater_sent_bytes` | counter | `transport` | Bytes of messages given to viewers' transports, framing not counted |
//! | `headwater_sent_frames` | counter | `transport` | Audio and video messages given to viewers' transports |
//! | `headwater_delay_seconds` | histogram | `transport` | From a frame's arrival from its publisher until its last byte is given to a viewer's transport |
//! | `headwater_rtt_seconds` | histogram | `transport` | Viewers' smoothed round-trip times, each once a second |
//! | `headwater_abandoned_frames` | counter | `kind`: audio, video | Audio and video messages that viewers were not sent, being too late |
//! | `headwater_skipped_frames` | counter | | Messages that lagging viewers left out to go on with the newest group |
//! | `headwater_connections` | counter | `verdict` | Connections to ports that detect, by what they turned out to be; refused: beyond limits |
//! | `headwater_panics` | counter | | Connections that were ended by a mistake of the gateway's own, which the log tells |
//! | `headwater_tasks` | gauge | | What runs at once: a few for each port, and one or two for each connection |
//! | `headwater_log_lines_lost` | counter | | Lines of the log that could not be written, or not as fast as they came |
//! | `headwater_certificate_orders` | counter | `outcome`: issued, failed | Certificates ordered from an authority, by how that ended |
//!
//! A counter's samples are called `…_total`. `transport` is one of `rtwebsocket`, `websocketstream`, `websocket`, `webtransport`
//! and `quic`; `verdict` is a [`Verdict`](crate::server::detect::Verdict). Viewers' figures are up to a second old.

mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, LazyLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tracing::error;
use tracing_subscriber::EnvFilter;

pub use self::writer::Log;
use self::writer::Writer;
use crate::authority::Authority;
use crate::server::tls::Certificates;
use crate::server::verdicts::Verdicts;
use crate::{broadcast, delivery, ingest};

/// The log is the whole process's, and so is what it has lost.
static LOST_LINES: LazyLock<Counter> = LazyLock::new(Counter::default);

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
/// (default `info`). Panics are told there too. Nobody waits for whoever reads it: some thousands of lines are kept for that one,
/// and what is beyond is lost. Later calls change nothing.
///
/// # Errors
/// When there can't be another thread.
pub fn log_to_stderr(config: &Config) -> io::Result<Log> {
    let (writer, written) = Writer::start(io::stderr(), LOST_LINES.clone())?;
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    // A log that can't be written is nothing to say on standard error, which is the log.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || writer.clone())
        .log_internal_errors(false);
    let _ = match config.format {
        Format::Text => log.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => log.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    panic::set_hook(Box::new(log_panic));
    Ok(written)
}

/// The runtime's tasks.
#[derive(Debug)]
struct Tasks;

impl Collector for Tasks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let alive = Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        let gauge = ConstGauge::new(i64::try_from(alive).unwrap_or(i64::MAX));
        let help = "What runs at once: a few for each port, and one or two for each connection";
        gauge.encode(encoder.encode_descriptor("tasks", help, None, gauge.metric_type())?)
    }
}

/// In the log's form, and with the connection in whose task it is.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let reason = panic.payload_as_str().unwrap_or_default();
    error!(reason, location, backtrace, "a mistake of the gateway's own, please report it");
}

/// All figures, to be shown.
pub fn figures(
    streams: &broadcast::Registry,
    publishers: &ingest::Metrics,
    viewers: &delivery::Metrics,
    authority: &Authority,
    verdicts: &Arc<Verdicts>,
    panics: &Counter,
    certificates: &Certificates,
) -> Registry {
    let mut registry = Registry::with_prefix("headwater");
    streams.register(&mut registry);
    publishers.register(&mut registry);
    viewers.register(&mut registry);
    registry.register_collector(Box::new(authority.clone()));
    registry.register_collector(Box::new(Arc::clone(verdicts)));
    let help = "Connections that were ended by a mistake of the gateway's own, which the log tells";
    registry.register("panics", help, panics.clone());
    registry.register_collector(Box::new(Tasks));
    let help = "Lines of the log that could not be written, or not as fast as they came";
    registry.register("log_lines_lost", help, LOST_LINES.clone());
    certificates.register(&mut registry);
    registry
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::panic::catch_unwind;
    use std::sync::Mutex;

    use tracing::info_span;
    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_one_line_of_the_log_with_its_connection() {
        let written = Written::default();
        let log = tracing_subscriber::fmt().json().flatten_event(true).with_writer({
            let written = written.clone();
            move || written.clone()
        });
        // Other tests' panics are told by the hook that was there.
        let before = Arc::new(panic::take_hook());
        let others = Arc::clone(&before);
        let this = std::thread::current().id();
        panic::set_hook(Box::new(
            move |panic| {
                if std::thread::current().id() == this { log_panic(panic) } else { others(panic) }
            },
        ));
        with_default(log.finish(), || {
            let _span = info_span!("tcp", peer = "192.0.2.7:1").entered();
            assert!(catch_unwind(|| panic!("a mistake")).is_err());
        });
        panic::set_hook(Box::new(move |panic| before(panic)));
        let written = written.0.lock().unwrap();
        let line: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!((&line["level"], &line["reason"]), (&"ERROR".into(), &"a mistake".into()));
        assert_eq!(line["span"]["peer"], "192.0.2.7:1");
        assert!(line["location"].as_str().unwrap().contains("telemetry.rs"), "{line}");
    }
}
