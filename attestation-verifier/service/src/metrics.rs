//! Numbers for Prometheus. Every label has a fixed, small set of values: none is made of what a caller sent.

use std::sync::Arc;
use std::time::Duration;

use nacre_attestation_verifier::{RootKind, Verifier};
use nacre_telemetry::metrics::{Counter, Family, Gauge, Histogram, Label, Metrics as Exposed};

pub use nacre_telemetry::metrics::OPENMETRICS;

use crate::judge::Judge;

/// Upper ends of the latency histogram in seconds, around what a verification takes: 0.2 ms to 2 ms.
const BUCKETS: [f64; 11] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0,
];

/// All that is counted.
#[derive(Debug)]
pub struct Metrics {
    exposed: Exposed,
    requests: Family<Counter, 2>,
    verdicts: Family<Counter, 2>,
    limited: Family<Counter, 1>,
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

impl Metrics {
    /// Nothing has happened yet.
    pub fn new(judge: &Arc<Judge>) -> Self {
        let roots = judge.verifier().roots();
        let kind = match roots.kind() {
            RootKind::Aws => "aws",
            RootKind::Development => "development",
        };
        let mut metrics = Exposed::built(
            "verifier",
            "Version, trusted root and crypto backend",
            vec![
                ("version", env!("CARGO_PKG_VERSION").to_owned()),
                ("root_sha256", roots.fingerprint()),
                ("root_kind", kind.to_owned()),
                ("backend", format!("{:?}", judge.verifier().backend())),
            ],
        );
        let of = Arc::clone(judge);
        metrics.observe_one(
            "chain_cache_hits",
            "Certificates whose signature was known to hold",
            move || Verifier::cache_stats(of.verifier()).hits,
        );
        let of = Arc::clone(judge);
        metrics.observe_one(
            "chain_cache_misses",
            "Certificates whose signature was verified",
            move || Verifier::cache_stats(of.verifier()).misses,
        );
        Self {
            requests: metrics.counters(
                "requests",
                "Answers by path and status",
                ["path", "status"],
            ),
            verdicts: metrics.counters(
                "verdicts",
                "Documents by result code and rule; rule is trusted where one was signed for",
                ["result", "rule"],
            ),
            limited: metrics.counters(
                "rate_limited",
                "Requests refused by a token bucket",
                ["scope"],
            ),
            latency: metrics.histogram(
                "verify_seconds",
                "Time to verify a document and to sign, without waiting",
                &BUCKETS,
            ),
            connections: metrics.counter("connections", "Connections whose handshake succeeded"),
            open: metrics.gauge("open_connections", "Of them, open now"),
            overloaded: metrics.counter("overloaded", "Documents refused because too many waited"),
            exposed: metrics,
        }
    }

    /// All of it in OpenMetrics' text, which Prometheus reads.
    pub fn encode(&self) -> String {
        self.exposed.encode()
    }

    pub(crate) fn answered(&self, path: &'static str, status: u16) {
        let status = nacre_telemetry::metrics::status_label(status);
        self.requests.of([path.into(), status]).inc();
    }

    pub(crate) fn verdict(&self, result: u8, rule: &'static str, took: Duration) {
        let result = Label::known(result.to_string());
        self.verdicts.of([result, rule.into()]).inc();
        self.latency.observe(took.as_secs_f64());
    }

    pub(crate) fn limited(&self, scope: Scope) {
        let scope = match scope {
            Scope::Connection => "connection",
            Scope::All => "all",
        };
        self.limited.of([scope.into()]).inc();
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
