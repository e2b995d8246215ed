//! Numbers for Prometheus. Every label has a fixed, small set of values: none is made of what a caller sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nacre_attestation_verifier::{RootKind, Verifier};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::judge::Judge;

/// Media type of [`Metrics::encode`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper ends of the latency histogram in seconds, around what a verification takes: 0.2 ms to 2 ms.
const BUCKETS: [f64; 11] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0,
];

/// All that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    verdicts: Family<VerdictLabels, Counter>,
    limited: Family<LimitLabels, Counter>,
    latency: Histogram,
    connections: Counter,
    open: Gauge,
    overloaded: Counter,
}

/// Which bucket was empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The connection's own.
    Connection,
    /// The one that all share.
    All,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    path: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    result: u8,
    rule: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    scope: &'static str,
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new(judge: &Arc<Judge>) -> Self {
        let mut registry = Registry::with_prefix("nacre_verifier");
        let roots = judge.verifier().roots();
        let kind = match roots.kind() {
            RootKind::Aws => "aws",
            RootKind::Development => "development",
        };
        let build = Info::new(vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("root_sha256", roots.fingerprint()),
            ("root_kind", kind.to_owned()),
            ("backend", format!("{:?}", judge.verifier().backend())),
        ]);
        registry.register("build", "Version, trusted root and crypto backend", build);
        for (name, help, hits) in [
            (
                "chain_cache_hits",
                "Certificates whose signature was known to hold",
                true,
            ),
            (
                "chain_cache_misses",
                "Certificates whose signature was verified",
                false,
            ),
        ] {
            let judge = Arc::clone(judge);
            registry.register(name, help, CacheCounter { judge, hits });
        }
        let metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            verdicts: Family::default(),
            limited: Family::default(),
            latency: Histogram::new(BUCKETS),
            connections: Counter::default(),
            open: Gauge::default(),
            overloaded: Counter::default(),
        };
        registry.register(
            "requests",
            "Answers by path and status",
            metrics.requests.clone(),
        );
        registry.register(
            "verdicts",
            "Documents by result code and rule; rule is trusted where one was signed for",
            metrics.verdicts.clone(),
        );
        registry.register(
            "rate_limited",
            "Requests refused by a token bucket",
            metrics.limited.clone(),
        );
        registry.register(
            "verify_seconds",
            "Time to verify a document and to sign, without waiting",
            metrics.latency.clone(),
        );
        registry.register(
            "connections",
            "Connections whose handshake succeeded",
            metrics.connections.clone(),
        );
        registry.register(
            "open_connections",
            "Of them, open now",
            metrics.open.clone(),
        );
        registry.register(
            "overloaded",
            "Documents refused because too many waited",
            metrics.overloaded.clone(),
        );
        Self {
            registry,
            ..metrics
        }
    }

    /// All of it in OpenMetrics' text, which Prometheus reads.
    ///
    /// # Errors
    ///
    /// None: a text takes everything.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    pub(crate) fn answered(&self, path: &'static str, status: u16) {
        let labels = RequestLabels { path, status };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn verdict(&self, result: u8, rule: &'static str, took: Duration) {
        let labels = VerdictLabels { result, rule };
        self.verdicts.get_or_create(&labels).inc();
        self.latency.observe(took.as_secs_f64());
    }

    pub(crate) fn limited(&self, scope: Scope) {
        let scope = match scope {
            Scope::Connection => "connection",
            Scope::All => "all",
        };
        self.limited.get_or_create(&LimitLabels { scope }).inc();
    }

    pub(crate) fn overloaded(&self) {
        self.overloaded.inc();
    }

    /// A connection, open until what this gives is dropped.
    pub(crate) fn connected(&self) -> OpenConnection {
        self.connections.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }
}

/// Counted as open while it lives.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What the verifier counts itself.
#[derive(Debug)]
struct CacheCounter {
    judge: Arc<Judge>,
    hits: bool,
}

impl EncodeMetric for CacheCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = Verifier::cache_stats(self.judge.verifier());
        let count = if self.hits { stats.hits } else { stats.misses };
        encoder.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
