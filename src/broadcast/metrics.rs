//! What comes from publishers, in figures.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{self, Unit};

use super::Registry;

/// Counters of all streams together. Single streams are in the API: their names are chosen by who publishes, and each would
/// be kept by whoever collects these.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) received_bytes: Counter,
    pub(super) received_frames: Counter,
    pub(super) refused: Counter,
    pub(super) skipped: Counter,
}

impl Registry {
    /// Has the streams' figures shown.
    pub fn register(&self, registry: &mut registry::Registry) {
        let Metrics { received_bytes, received_frames, refused, skipped } = self.metrics();
        registry.register_with_unit(
            "received",
            "Bytes of messages that came from publishers",
            Unit::Bytes,
            received_bytes.clone(),
        );
        registry.register("received_frames", "Messages that came from publishers", received_frames.clone());
        registry.register("publishers_refused", "Publishers refused since another one had the path", refused.clone());
        registry.register(
            "skipped_frames",
            "Messages that lagging viewers left out to go on with the newest group",
            skipped.clone(),
        );
        registry.register_collector(Box::new(self.clone()));
    }
}

impl Collector for Registry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let streams = ConstGauge::new(i64::try_from(self.published()).unwrap_or(i64::MAX));
        let shown = encoder.encode_descriptor("streams", "Streams published now", None, streams.metric_type())?;
        streams.encode(shown)
    }
}
