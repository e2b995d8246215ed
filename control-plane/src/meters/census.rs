//! What is in the database, as metrics.

use std::sync::{Arc, Mutex, PoisonError};

use nacre_telemetry::metrics::{Label, Metrics};

use crate::store::census::Census;

type Members = Vec<([Label; 1], f64)>;

/// Exposes what was last counted.
pub(super) fn expose(metrics: &mut Metrics, census: &Arc<Mutex<Census>>) {
    let read = |of: fn(&Census) -> Members| {
        let census = Arc::clone(census);
        move || of(&census.lock().unwrap_or_else(PoisonError::into_inner))
    };
    metrics.observe(
        "nodes",
        "Nodes that are known, by whether they report",
        ["state"],
        read(|census| counted(&census.nodes)),
    );
    metrics.observe(
        "leases",
        "Leases that hold, by the state of their function",
        ["state"],
        read(|census| counted(&census.leases)),
    );
    metrics.observe(
        "jobs",
        "Jobs that are kept, by state",
        ["state"],
        read(|census| counted(&census.jobs)),
    );
    metrics.observe(
        "queue_depth",
        "Pieces of work that wait for a control plane, by kind",
        ["kind"],
        read(|census| counted(&census.queue)),
    );
    metrics.observe(
        "queue_overdue_seconds",
        "How long the piece of work has been due that has been due the longest, by kind",
        ["kind"],
        read(|census| {
            let overdue = census.overdue_ms.iter();
            let seconds = overdue.map(|(kind, ms)| ([(*kind).into()], *ms as f64 / 1000.0));
            seconds.collect()
        }),
    );
    let of = Arc::clone(census);
    metrics.observe_one(
        "short_orders",
        "Orders that have fewer replicas than they ask for",
        move || {
            of.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .short_orders as f64
        },
    );
}

fn counted(counts: &[(&'static str, u64)]) -> Members {
    let members = counts.iter();
    members
        .map(|(name, count)| ([(*name).into()], *count as f64))
        .collect()
}
