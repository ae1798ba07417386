//! How many connections have turned out to be what.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::detect::Verdict;

/// A counter for each [`Verdict`], over all ports that detect, since the gateway began.
#[derive(Debug, Default)]
pub struct Verdicts([AtomicU64; Verdict::ALL.len()]);

impl Verdicts {
    /// Counts one connection.
    pub fn count(&self, verdict: Verdict) {
        self.0[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections had this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.0[verdict as usize].load(Ordering::Relaxed)
    }

    /// All verdicts and their counts. Not of one moment: connections come while it is read.
    pub fn snapshot(&self) -> [(Verdict, u64); Verdict::ALL.len()] {
        Verdict::ALL.map(|verdict| (verdict, self.of(verdict)))
    }
}

impl Collector for Verdicts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Connections to ports that detect, by what they turned out to be; refused: beyond limits";
        let mut shown = encoder.encode_descriptor("connections", help, None, MetricType::Counter)?;
        for (verdict, count) in self.snapshot() {
            ConstCounter::new(count).encode(shown.encode_family(&[("verdict", verdict.name())])?)?;
        }
        Ok(())
    }
}

/// Those that there were, as `rtmp:1,silent:20`.
impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.snapshot().into_iter().filter(|(_, count)| *count > 0);
        for (number, (verdict, count)) in seen.enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{}:{count}", verdict.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_is_counted_by_itself() {
        let verdicts = Verdicts::default();
        verdicts.count(Verdict::Rtmps);
        verdicts.count(Verdict::Refused);
        verdicts.count(Verdict::Refused);
        let seen = verdicts.snapshot().into_iter().filter(|(_, count)| *count > 0);
        assert_eq!(seen.collect::<Vec<_>>(), [(Verdict::Rtmps, 1), (Verdict::Refused, 2)]);
        assert_eq!(verdicts.to_string(), "rtmps:1,refused:2");
    }
}
