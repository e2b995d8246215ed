//! One function that answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nacre_protocol::control::{FunctionLoad, FunctionMetrics};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, LeaseId};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::blobs::Blob;
use super::memory::Reservation;
use super::slots::UidSlot;
use crate::histogram::Times;
use crate::kserve::ModelStatistics;
use crate::workers::FunctionRunner;

/// A loaded function. Requests hold it while they run, so that a replaced one answers what it had begun.
#[derive(Debug)]
pub struct Function {
    pub(super) name: FunctionName,
    pub(super) digest: Digest,
    pub(super) version: String,
    pub(super) runner: FunctionRunner,
    pub(super) labels: Arc<BTreeMap<String, Vec<String>>>,
    pub(super) statistics: Statistics,
    pub(super) lease: RwLock<Option<LeaseId>>,
    /// One job at a time, so that a caller who waits for an answer has at most one job before them.
    pub(super) jobs: Semaphore,
    pub(super) blobs: Vec<Arc<Blob>>,
    pub(super) _memory: Reservation,
    pub(super) _uid: UidSlot,
}

impl Function {
    /// Its name.
    pub fn name(&self) -> &FunctionName {
        &self.name
    }

    /// Digest of its bundle.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The version in KServe paths and answers: the digest's 64 hex digits.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What runs it.
    pub fn runner(&self) -> &FunctionRunner {
        &self.runner
    }

    /// Names of the classes of those outputs that have such, in their order.
    pub fn labels(&self) -> &Arc<BTreeMap<String, Vec<String>>> {
        &self.labels
    }

    /// The lease it runs under, if the host has named one.
    pub fn lease(&self) -> Option<LeaseId> {
        *self.lease.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_lease(&self, lease: Option<LeaseId>) {
        *self.lease.write().unwrap_or_else(PoisonError::into_inner) = lease;
    }

    /// The right to run a job on it; `None` while another job has it.
    pub fn job_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.jobs.try_acquire().ok()
    }

    /// What the host's metrics say of it.
    pub(crate) fn metrics(&self) -> FunctionMetrics {
        let statistics = self.statistics.snapshot();
        FunctionMetrics {
            name: self.name.clone(),
            succeeded: statistics.success_count,
            failed: statistics.fail_count,
            compute: self.statistics.computed.snapshot(),
        }
    }

    /// What it has to do, and has done.
    pub fn load(&self) -> FunctionLoad {
        let done = self.statistics.snapshot();
        let busy_ns = done.success_ns.saturating_add(done.fail_ns);
        FunctionLoad {
            in_flight: u32::try_from(self.runner.in_flight()).unwrap_or(u32::MAX),
            oldest_wait_ms: u64::try_from(self.runner.oldest_wait().as_millis())
                .unwrap_or(u64::MAX),
            requests: done.success_count.saturating_add(done.fail_count),
            busy_ms: busy_ns / 1_000_000,
        }
    }

    /// Its counters.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}

/// Counters of one function since it was loaded.
#[derive(Debug, Default)]
pub struct Statistics {
    success_count: AtomicU64,
    success_ns: AtomicU64,
    fail_count: AtomicU64,
    fail_ns: AtomicU64,
    compute_ns: AtomicU64,
    last_inference_ms: AtomicU64,
    computed: Times,
}

impl Statistics {
    /// An inference that was answered: when it came, how long it took in all, and in the model.
    pub fn succeeded(&self, at_ms: u64, took: Duration, compute_micros: u32) {
        self.success_count.fetch_add(1, Ordering::Relaxed);
        self.success_ns.fetch_add(nanos(took), Ordering::Relaxed);
        self.compute_ns
            .fetch_add(u64::from(compute_micros) * 1000, Ordering::Relaxed);
        self.last_inference_ms.fetch_max(at_ms, Ordering::Relaxed);
        self.computed
            .observe(Duration::from_micros(compute_micros.into()));
    }

    /// An inference that failed in the model.
    pub fn failed(&self, at_ms: u64, took: Duration) {
        self.fail_count.fetch_add(1, Ordering::Relaxed);
        self.fail_ns.fetch_add(nanos(took), Ordering::Relaxed);
        self.last_inference_ms.fetch_max(at_ms, Ordering::Relaxed);
    }

    /// The counters now. What was not computing was waiting for the model.
    pub fn snapshot(&self) -> ModelStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (success_ns, compute_ns) = (read(&self.success_ns), read(&self.compute_ns));
        ModelStatistics {
            success_count: read(&self.success_count),
            success_ns,
            fail_count: read(&self.fail_count),
            fail_ns: read(&self.fail_ns),
            queue_ns: success_ns.saturating_sub(compute_ns),
            compute_ns,
            execution_count: read(&self.success_count),
            last_inference_ms: read(&self.last_inference_ms),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
