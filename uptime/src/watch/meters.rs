//! What a watcher counts, for Prometheus.

use std::sync::{Arc, Mutex, PoisonError};

use nacre_telemetry::metrics::{Counter, Family, Gauge, Metrics};
use tokio::time::Instant;

use super::round::SlotSeen;

/// All that is counted.
#[derive(Debug)]
pub struct Meters {
    slots: Counter,
    nodes: Gauge,
    probes: Family<Counter, 1>,
    posts: Family<Counter, 2>,
    looked: Arc<Mutex<Option<Instant>>>,
}

impl Meters {
    /// Nothing has happened yet; and what exposes it.
    pub fn new() -> (Arc<Self>, Metrics) {
        let mut metrics = Metrics::of("watcher", env!("CARGO_PKG_VERSION"));
        let looked: Arc<Mutex<Option<Instant>>> = Arc::default();
        let meters = Self {
            slots: metrics.counter("slots", "Slots in which nodes were looked at"),
            nodes: metrics.gauge("nodes", "Nodes that were looked at in the last slot"),
            probes: metrics.counters(
                "probes",
                "Nodes in slots, by what was seen: up, or the code of why not",
                ["outcome"],
            ),
            posts: metrics.counters(
                "posts",
                "Commitments and reveals, by what became of them: taken, failed (and tried again) or too-late",
                ["step", "outcome"],
            ),
            looked: Arc::clone(&looked),
        };
        metrics.observe(
            "slot_age_seconds",
            "Time since the last slot was looked at",
            [],
            move || {
                let at = *looked.lock().unwrap_or_else(PoisonError::into_inner);
                at.map(|at| ([], at.elapsed().as_secs_f64()))
                    .into_iter()
                    .collect()
            },
        );
        (Arc::new(meters), metrics)
    }

    pub(super) fn seen(&self, round: &SlotSeen) {
        self.slots.inc();
        self.nodes
            .set(i64::try_from(round.nodes.len()).unwrap_or(i64::MAX));
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        for (_, seen) in &round.nodes {
            let outcome = match seen {
                Ok(_) => "up",
                Err(reason) => reason.code(),
            };
            self.probes.of([outcome.into()]).inc();
        }
    }

    pub(super) fn posted(&self, step: &'static str, outcome: &'static str) {
        self.posts.of([step.into(), outcome.into()]).inc();
    }
}
