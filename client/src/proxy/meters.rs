//! What a proxy counts, for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use nacre_telemetry::metrics::{
    Counter, Family, Gauge, Histogram, Label, Metrics, SECONDS, status_label,
};

/// All that is counted. A function is named only where the proxy serves it.
#[derive(Debug)]
pub(super) struct Meters {
    requests: Family<Counter, 2>,
    seconds: Family<Histogram, 1>,
    refusals: Family<Counter, 1>,
    connections: Counter,
    open: Gauge,
    pub(super) exposed: Arc<Metrics>,
}

impl Meters {
    pub(super) fn new() -> Self {
        let mut metrics = Metrics::of("proxy", env!("CARGO_PKG_VERSION"));
        Self {
            requests: metrics.counters(
                "requests",
                "Callers' requests, by the function (none where they are for none that is served) and the answer's status",
                ["function", "status"],
            ),
            seconds: metrics.histograms(
                "request_seconds",
                "From a request's head to its answer, with attestation and proof",
                ["function"],
                &SECONDS,
            ),
            refusals: metrics.counters(
                "refusals",
                "Requests that the proxy itself refused, or whose answer it did not pass on, by the code of why",
                ["code"],
            ),
            connections: metrics.counter("connections", "Callers' connections"),
            open: metrics.gauge("open_connections", "Of them, those open now"),
            exposed: Arc::new(metrics),
        }
    }

    pub(super) fn answered(&self, function: Label, status: u16, took: Duration) {
        self.seconds
            .of([function.clone()])
            .observe(took.as_secs_f64());
        self.requests.of([function, status_label(status)]).inc();
    }

    pub(super) fn refused(&self, code: &'static str) {
        self.refusals.of([code.into()]).inc();
    }

    /// A connection, open until what this gives is dropped.
    pub(super) fn connected(&self) -> Open {
        self.connections.inc();
        self.open.inc();
        Open(self.open.clone())
    }
}

/// Counted as open while it lives.
#[derive(Debug)]
pub(super) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
