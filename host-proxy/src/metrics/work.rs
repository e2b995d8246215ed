//! What the agent has done.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use nacre_protocol::api::ObservedFunction;
use nacre_protocol::control::FunctionState;
use nacre_telemetry::metrics::Metrics;
use tokio::time::Instant;

/// How a job that this node took has ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// Its result was brought.
    Done,
    /// It has no result here.
    Failed,
    /// It is somebody else's, or nobody's, by now.
    Dropped,
}

impl JobEnd {
    const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::Dropped];

    fn code(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// What an agent has done, in numbers.
#[derive(Debug, Default)]
pub struct Work {
    registered: AtomicBool,
    reports: AtomicU64,
    failed_reports: AtomicU64,
    reported: Mutex<Option<Instant>>,
    jobs: [AtomicU64; JobEnd::ALL.len()],
    functions: Mutex<[u64; 3]>,
}

const STATES: [(FunctionState, &str); 3] = [
    (FunctionState::Loading, "loading"),
    (FunctionState::Ready, "ready"),
    (FunctionState::Failed, "failed"),
];

impl Work {
    pub(crate) fn registered(&self, is: bool) {
        self.registered.store(is, Relaxed);
    }

    pub(crate) fn reported(&self, taken: bool, functions: &[ObservedFunction]) {
        match taken {
            true => {
                self.reports.fetch_add(1, Relaxed);
                *lock(&self.reported) = Some(Instant::now());
            }
            false => {
                self.failed_reports.fetch_add(1, Relaxed);
            }
        }
        *lock(&self.functions) = STATES.map(|(state, _)| {
            let these = functions.iter().filter(|function| function.state == state);
            these.count() as u64
        });
    }

    pub(crate) fn job(&self, end: JobEnd) {
        self.jobs[end as usize].fetch_add(1, Relaxed);
    }
}

/// Exposes it.
pub(super) fn expose(metrics: &mut Metrics, work: &Arc<Work>) {
    let of = Arc::clone(work);
    metrics.observe_one(
        "registered",
        "Whether the control plane knows this run of the enclave",
        move || f64::from(u8::from(of.registered.load(Relaxed))),
    );
    let of = Arc::clone(work);
    metrics.observe(
        "reports",
        "Reports to the control plane, its signs of life: taken or failed",
        ["outcome"],
        move || {
            vec![
                (["taken".into()], of.reports.load(Relaxed)),
                (["failed".into()], of.failed_reports.load(Relaxed)),
            ]
        },
    );
    let of = Arc::clone(work);
    metrics.observe(
        "report_age_seconds",
        "Time since the control plane last took a report",
        [],
        move || {
            let at = *lock(&of.reported);
            at.map(|at| ([], at.elapsed().as_secs_f64()))
                .into_iter()
                .collect()
        },
    );
    let of = Arc::clone(work);
    metrics.observe(
        "jobs",
        "Jobs that this node took, by how they ended here",
        ["outcome"],
        move || {
            let each = JobEnd::ALL.map(|end| {
                let count = of.jobs[end as usize].load(Relaxed);
                ([end.code().into()], count)
            });
            each.into()
        },
    );
    let of = Arc::clone(work);
    metrics.observe(
        "functions",
        "Functions that the control plane wants here, by state",
        ["state"],
        move || {
            let counts = *lock(&of.functions);
            let states = STATES.iter().zip(counts);
            states
                .map(|((_, state), count)| ([(*state).into()], count as f64))
                .collect()
        },
    );
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
