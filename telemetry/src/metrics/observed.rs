//! Numbers that are kept elsewhere.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Label;
use super::family::named;

/// What can be read when somebody asks: a `u64` is a counter, an `f64` a gauge, a [`Distribution`] a histogram.
pub trait Observed: 'static {
    /// What it is to Prometheus.
    const TYPE: MetricType;

    /// Writes it.
    ///
    /// # Errors
    ///
    /// Those of the encoder.
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error>;
}

impl Observed for u64 {
    const TYPE: MetricType = MetricType::Counter;

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_counter::<NoLabelSet, _, Self>(self, None)
    }
}

impl Observed for f64 {
    const TYPE: MetricType = MetricType::Gauge;

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_gauge(self)
    }
}

/// Upper ends of a histogram's buckets, rising; what is above the last is counted too.
#[derive(Debug, Clone, Copy)]
pub struct Buckets(pub &'static [f64]);

/// How often something had which size.
#[derive(Debug, Clone)]
pub struct Distribution {
    counts: Vec<(f64, u64)>,
    sum: f64,
}

impl Distribution {
    /// How many were in each bucket and, last, above them all. `None` where there are more or fewer counts.
    pub fn new(ends: Buckets, counts: &[u64], sum: f64) -> Option<Self> {
        if counts.len() != ends.0.len() + 1 {
            return None;
        }
        let ends = ends.0.iter().copied().chain([f64::INFINITY]);
        let counts = ends.zip(counts.iter().copied()).collect();
        Some(Self { counts, sum })
    }
}

impl Observed for Distribution {
    const TYPE: MetricType = MetricType::Histogram;

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let all = self.counts.iter().map(|(_, count)| count);
        let all = all.fold(0, |sum: u64, count| sum.saturating_add(*count));
        encoder.encode_histogram::<NoLabelSet>(self.sum, all, &self.counts, None)
    }
}

/// Reads whenever it is encoded.
pub(super) struct Read<F, const N: usize> {
    labels: [&'static str; N],
    read: F,
}

impl<F, const N: usize> Read<F, N> {
    pub(super) fn new(labels: [&'static str; N], read: F) -> Self {
        Self { labels, read }
    }
}

impl<F, const N: usize> fmt::Debug for Read<F, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Read").field(&self.labels).finish()
    }
}

impl<V: Observed, F: Fn() -> Vec<([Label; N], V)>, const N: usize> EncodeMetric for Read<F, N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let read = (self.read)();
        if N == 0 {
            return match read.first() {
                Some((_, value)) => value.encode(encoder),
                None => Ok(()),
            };
        }
        for (values, value) in &read {
            let set = named(&self.labels, values);
            value.encode(encoder.encode_family(&set)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        V::TYPE
    }
}
