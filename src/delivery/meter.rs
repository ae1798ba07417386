//! What viewers are sent, in figures: of all of them by transport, and of each.
//!
//! A viewer's task counts in plain numbers of its own, and adds them to what is shared once in [`EVERY`]: a frame costs no
//! lock and no shared memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};

use crate::authority::SessionId;
use crate::broadcast::StreamPath;
use crate::session::link::PathStats;
use crate::session::tally::{DELAYS, KINDS, Tally};

/// Between two reports of a viewer's: far less than between two looks at the figures.
const EVERY: Duration = Duration::from_secs(1);

/// Upper bounds, in seconds, of the round-trip times that are told apart.
const RTTS: [f64; 9] = [0.001, 0.003, 0.01, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0];

/// Names of the kinds of frames that may be abandoned.
const NAMES: [&str; KINDS] = ["audio", "video"];

/// The figures of all viewers. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    viewers: Family<Labels, Gauge>,
    sent_bytes: Family<Labels, Counter>,
    frames: Family<Labels, Counter>,
    delay: Family<Labels, Delays>,
    rtt: Family<Labels, Histogram, fn() -> Histogram>,
    abandoned: Family<Kind, Counter>,
    ended: Family<Reason, Counter>,
    here: Arc<Mutex<HashMap<SessionId, Arc<Figures>>>>,
}

/// Which viewers are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    transport: &'static str,
}

/// Which frames are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Why viewers are here no longer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// A histogram that takes in many values at once.
#[derive(Debug, Clone, Default)]
struct Delays(Arc<DelayCounts>);

#[derive(Debug, Default)]
struct DelayCounts {
    counts: [AtomicU64; DELAYS.len() + 1],
    micros: AtomicU64,
}

/// One viewer's figures, as of its last report.
#[derive(Debug, Default)]
struct Figures {
    bytes: AtomicU64,
    frames: AtomicU64,
    abandoned: AtomicU64,
    delay_micros: AtomicU64,
    rtt_micros: AtomicU64,
    stream: Mutex<Option<StreamPath>>,
}

/// What is known of one viewer at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Bytes of messages that it was sent.
    pub bytes: u64,
    /// Audio and video messages that it was sent.
    pub frames: u64,
    /// Those that it was not, being too late.
    pub abandoned: u64,
    /// Mean delay of the last second's frames, from their arrival to the transport.
    pub delay: Duration,
    /// Smoothed round-trip time, `None` until measured.
    pub rtt: Option<Duration>,
    /// What it plays.
    pub stream: Option<StreamPath>,
}

/// Counts for one viewer. Dropping it takes the viewer out of those that are counted.
#[derive(Debug)]
pub struct Meter {
    metrics: Metrics,
    id: SessionId,
    labels: Labels,
    figures: Arc<Figures>,
    due: Option<Instant>,
    stream: Option<StreamPath>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            viewers: Family::default(),
            sent_bytes: Family::default(),
            frames: Family::default(),
            delay: Family::default(),
            rtt: Family::new_with_constructor(|| Histogram::new(RTTS)),
            abandoned: Family::default(),
            ended: Family::default(),
            here: Arc::default(),
        }
    }
}

impl Metrics {
    /// Has them shown.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("viewers", "Viewers connected now", self.viewers.clone());
        registry.register_with_unit(
            "sent",
            "Bytes of messages given to viewers' transports, framing not counted",
            Unit::Bytes,
            self.sent_bytes.clone(),
        );
        registry.register("sent_frames", "Audio and video messages given to viewers' transports", self.frames.clone());
        registry.register_with_unit(
            "delay",
            "From a frame's arrival from its publisher until its last byte is given to a viewer's transport",
            Unit::Seconds,
            self.delay.clone(),
        );
        registry.register_with_unit(
            "rtt",
            "Viewers' smoothed round-trip times, each once a second",
            Unit::Seconds,
            self.rtt.clone(),
        );
        registry.register(
            "abandoned_frames",
            "Audio and video messages that viewers were not sent, being too late",
            self.abandoned.clone(),
        );
        registry.register("viewers_ended", "Viewers that are here no longer, by why", self.ended.clone());
    }

    /// A meter for the viewer `id`, which comes over `transport`.
    pub fn viewer(&self, id: SessionId, transport: &'static str) -> Meter {
        let labels = Labels { transport };
        let figures = Arc::<Figures>::default();
        self.viewers.get_or_create(&labels).inc();
        self.here().insert(id, Arc::clone(&figures));
        Meter { metrics: self.clone(), id, labels, figures, due: None, stream: None }
    }

    /// The figures of one viewer, up to a second old, while it is here.
    pub fn of(&self, id: SessionId) -> Option<Snapshot> {
        self.here().get(&id).map(|figures| figures.snapshot())
    }

    fn here(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Figures>>> {
        // Every critical section leaves the map whole, also when it panics.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    /// Takes in why the viewer is here no longer, by a name that is one of few.
    pub fn ended(&self, reason: &'static str) {
        self.metrics.ended.get_or_create(&Reason { reason }).inc();
    }

    /// Whether it is time for a report.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        *self.due.get_or_insert(now + EVERY) <= now
    }

    /// Takes in what the viewer plays; whether that is news.
    pub(super) fn plays(&mut self, stream: Option<&StreamPath>) -> bool {
        if self.stream.as_ref() == stream {
            return false;
        }
        self.stream = stream.cloned();
        *self.figures.stream.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.clone();
        true
    }

    /// Takes in what became of messages since the last report.
    pub fn report(&mut self, tally: &Tally, path: PathStats, now: Instant) {
        self.due = Some(now + EVERY);
        let Metrics { sent_bytes, frames, delay, rtt, abandoned, .. } = &self.metrics;
        sent_bytes.get_or_create(&self.labels).inc_by(tally.bytes);
        frames.get_or_create(&self.labels).inc_by(tally.messages);
        delay.get_or_create(&self.labels).add(tally);
        for (kind, count) in NAMES.into_iter().zip(tally.abandoned) {
            abandoned.get_or_create(&Kind { kind }).inc_by(count);
        }
        let figures = &self.figures;
        if let Some(time) = path.rtt {
            rtt.get_or_create(&self.labels).observe(time.as_secs_f64());
            figures.rtt_micros.store(micros(time), Ordering::Relaxed);
        }
        figures.bytes.fetch_add(tally.bytes, Ordering::Relaxed);
        figures.frames.fetch_add(tally.messages, Ordering::Relaxed);
        figures.abandoned.fetch_add(tally.abandoned.iter().sum(), Ordering::Relaxed);
        let mean = micros(tally.delay).checked_div(tally.messages).unwrap_or_default();
        figures.delay_micros.store(mean, Ordering::Relaxed);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.metrics.viewers.get_or_create(&self.labels).dec();
        self.metrics.here().remove(&self.id);
    }
}

impl Figures {
    fn snapshot(&self) -> Snapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let rtt = read(&self.rtt_micros);
        Snapshot {
            bytes: read(&self.bytes),
            frames: read(&self.frames),
            abandoned: read(&self.abandoned),
            delay: Duration::from_micros(read(&self.delay_micros)),
            rtt: (rtt > 0).then(|| Duration::from_micros(rtt)),
            stream: self.stream.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Delays {
    fn add(&self, tally: &Tally) {
        for (count, more) in self.0.counts.iter().zip(tally.delays).filter(|(_, more)| *more > 0) {
            count.fetch_add(more.into(), Ordering::Relaxed);
        }
        self.0.micros.fetch_add(micros(tally.delay), Ordering::Relaxed);
    }
}

impl TypedMetric for Delays {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Delays {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        let bounds = DELAYS.iter().map(|micros| f64::from(*micros) / 1e6).chain([f64::MAX]);
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = Duration::from_micros(self.0.micros.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn a_report_is_added_to_the_transports_figures_and_to_the_viewers() {
        let metrics = Metrics::default();
        let mut meter = metrics.viewer(SessionId(7), "quic");
        let mut tally = Tally { bytes: 10, messages: 2, delay: Duration::from_millis(4), ..Tally::default() };
        tally.abandoned[1] = 3;
        tally.delays[3] = 2;
        let rtt = Some(Duration::from_millis(20));
        meter.report(&tally, PathStats { rtt, ..PathStats::default() }, Instant::now());
        let expected =
            Snapshot { bytes: 10, frames: 2, abandoned: 3, delay: Duration::from_millis(2), rtt, stream: None };
        assert_eq!(metrics.of(SessionId(7)), Some(expected));
        let text = shown(&metrics);
        for line in [
            "viewers{transport=\"quic\"} 1",
            "sent_bytes_total{transport=\"quic\"} 10",
            "abandoned_frames_total{kind=\"video\"} 3",
            "delay_seconds_bucket{le=\"0.001\",transport=\"quic\"} 0",
            "delay_seconds_bucket{le=\"0.002\",transport=\"quic\"} 2",
            "delay_seconds_sum{transport=\"quic\"} 0.004",
            "rtt_seconds_count{transport=\"quic\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        drop(meter);
        assert_eq!(metrics.of(SessionId(7)), None);
        assert!(shown(&metrics).contains("viewers{transport=\"quic\"} 0"));
    }
}
