//! Who was denied what, in figures.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::Authority;

impl Collector for Authority {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Wishes to publish or view that were denied";
        let mut shown = encoder.encode_descriptor("denied", help, None, MetricType::Counter)?;
        for (reason, count) in self.denials() {
            ConstCounter::new(count).encode(shown.encode_family(&[("reason", reason)])?)?;
        }
        Ok(())
    }
}
