//! How publishers' connections end, in figures.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::IngestError;

/// Counts ended RTMP connections. Cloning gives another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    ended: Family<Reason, Counter>,
}

/// Why a connection has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Metrics {
    /// Has them shown.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("rtmp_ended", "RTMP connections that are here no longer, by why", self.ended.clone());
    }

    /// Counts one.
    pub fn ended(&self, result: &Result<(), IngestError>) {
        let reason = match result {
            Ok(()) => "left",
            Err(IngestError::Io(_)) => "lost",
            Err(IngestError::Misbehaved(_)) => "misbehaved",
            Err(IngestError::UnsupportedCodec(_)) => "codec",
            Err(IngestError::Denied(_)) => "denied",
            Err(IngestError::TimedOut(_)) => "silent",
            Err(IngestError::Replaced(_)) => "replaced",
        };
        self.ended.get_or_create(&Reason { reason }).inc();
    }
}
