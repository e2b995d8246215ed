//! What the supervisor has seen of its enclave.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nacre_protocol::control::EnclaveStatus;
use nacre_telemetry::metrics::Metrics;
use tokio::time::Instant;

use crate::health::Cause;

/// What is known of the enclave, and what was counted over all of its runs.
#[derive(Debug, Default)]
pub struct Seen {
    launches: AtomicU64,
    ends: [AtomicU64; Cause::ALL.len()],
    run: Mutex<Run>,
}

/// What is known of the present run.
#[derive(Debug, Clone, Default)]
struct Run {
    launched: Option<Instant>,
    open: bool,
    boot: Option<Duration>,
    answered: Option<Instant>,
    attested: Option<Instant>,
    status: Option<EnclaveStatus>,
}

impl Seen {
    pub(crate) fn launched(&self) {
        self.launches.fetch_add(1, Relaxed);
        let launched = Some(Instant::now());
        self.with(|run| {
            *run = Run {
                launched,
                ..Run::default()
            }
        });
    }

    pub(crate) fn answered(&self, status: EnclaveStatus) {
        self.with(|run| {
            run.answered = Some(Instant::now());
            run.status = Some(status);
        });
    }

    pub(crate) fn attested(&self) {
        self.with(|run| run.attested = Some(Instant::now()));
    }

    /// Callers reach it.
    pub(crate) fn opened(&self) {
        self.with(|run| {
            run.open = true;
            run.boot = run.launched.map(|at| at.elapsed());
        });
    }

    pub(crate) fn closed(&self) {
        self.with(|run| run.open = false);
    }

    pub(crate) fn ended(&self, why: Cause) {
        self.ends[why as usize].fetch_add(1, Relaxed);
        self.with(|run| *run = Run::default());
    }

    /// What the enclave last said, if it runs.
    pub(super) fn status(&self) -> Option<EnclaveStatus> {
        self.run().status
    }

    fn run(&self) -> Run {
        self.run
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn with(&self, change: impl FnOnce(&mut Run)) {
        change(&mut self.run.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Exposes it.
pub(super) fn expose(metrics: &mut Metrics, seen: &Arc<Seen>) {
    let of = Arc::clone(seen);
    metrics.observe_one(
        "enclave_launches",
        "Enclaves that were launched",
        move || of.launches.load(Relaxed),
    );
    let of = Arc::clone(seen);
    metrics.observe(
        "enclave_ends",
        "Enclaves that are no more although nobody stopped the node, by why",
        ["cause"],
        move || {
            let each = Cause::ALL.map(|why| {
                let ends = of.ends[why as usize].load(Relaxed);
                ([why.code().into()], ends)
            });
            each.into()
        },
    );
    let read = |one: fn(&Run) -> Option<f64>| {
        let seen = Arc::clone(seen);
        move || {
            one(&seen.run())
                .map(|value| ([], value))
                .into_iter()
                .collect()
        }
    };
    metrics.observe("enclave_up", "Whether callers reach an enclave", [], {
        read(|run| Some(f64::from(u8::from(run.open))))
    });
    metrics.observe(
        "enclave_boot_seconds",
        "From the enclave's launch until callers reached it",
        [],
        read(|run| run.boot.map(|boot| boot.as_secs_f64())),
    );
    metrics.observe(
        "enclave_answer_age_seconds",
        "Time since the enclave last answered its host",
        [],
        read(|run| run.answered.map(|at| at.elapsed().as_secs_f64())),
    );
    metrics.observe(
        "enclave_attestation_age_seconds",
        "Time since the enclave last brought a fresh attestation document",
        [],
        read(|run| run.attested.map(|at| at.elapsed().as_secs_f64())),
    );
}
