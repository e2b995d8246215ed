//! What the enclave has done since boot, for its host's status page. Nothing here depends on a payload's content.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nacre_protocol::control::EnclaveMetrics;

use crate::clock::AttestedClock;
use crate::histogram::Times;

/// The counters; see [`nacre_protocol::control::Counters`] for what each counts.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    attestations: AtomicU64,
    requests: AtomicU64,
    request_bytes: AtomicU64,
    receipts: AtomicU64,
    workers_started: AtomicU64,
    answers: [AtomicU64; 5],
    requests_took: Times,
}

impl Counters {
    pub(crate) fn connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn attestation(&self) {
        self.attestations.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_bytes(&self, bytes: usize) {
        self.request_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A request was answered with this status, so long after its head came.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        if let Some(count) = self.answers.get(usize::from(status / 100).wrapping_sub(1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.requests_took.observe(took);
    }

    pub(crate) fn receipt(&self) {
        self.receipts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn worker_started(&self) {
        self.workers_started.fetch_add(1, Ordering::Relaxed);
    }

    /// What is known here of the host's metrics.
    pub(crate) fn metrics(&self) -> EnclaveMetrics {
        EnclaveMetrics {
            answers: self
                .answers
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
            requests: self.requests_took.snapshot(),
            ..EnclaveMetrics::default()
        }
    }

    /// The counters now, with the clock's own.
    pub fn snapshot(&self, clock: &AttestedClock) -> nacre_protocol::control::Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        nacre_protocol::control::Counters {
            connections: read(&self.connections),
            attestations: read(&self.attestations),
            requests: read(&self.requests),
            request_bytes: read(&self.request_bytes),
            receipts: read(&self.receipts),
            workers_started: read(&self.workers_started),
            clock_steps: clock.steps(),
        }
    }
}
