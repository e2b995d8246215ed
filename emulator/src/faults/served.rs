//! What an emulated module was asked, in numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nacre_telemetry::metrics::Metrics;

use super::module::Verdict;
use crate::nsm::Operation;

/// Counts by operation and outcome; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Served(Arc<[[AtomicU64; OUTCOMES.len()]; OPERATIONS.len()]>);

/// The last is of requests that are none.
const OPERATIONS: [(Option<Operation>, &str); 8] = [
    (Some(Operation::DescribeNsm), "DescribeNSM"),
    (Some(Operation::DescribePcr), "DescribePCR"),
    (Some(Operation::ExtendPcr), "ExtendPCR"),
    (Some(Operation::LockPcr), "LockPCR"),
    (Some(Operation::LockPcrs), "LockPCRs"),
    (Some(Operation::GetRandom), "GetRandom"),
    (Some(Operation::Attestation), "Attestation"),
    (None, "none"),
];
const OUTCOMES: [&str; 3] = ["module", "fault", "silence"];

impl Served {
    pub(super) fn note(&self, operation: Option<Operation>, verdict: Verdict) {
        let operation = OPERATIONS.iter().position(|(known, _)| *known == operation);
        let outcome = match verdict {
            Verdict::Serve => 0,
            Verdict::Refuse(_) | Verdict::Constant(_) => 1,
            Verdict::Silence => 2,
        };
        if let Some(operation) = operation {
            self.0[operation][outcome].fetch_add(1, Relaxed);
        }
    }

    /// Exposes them.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::of("emulator", env!("CARGO_PKG_VERSION"));
        let served = self.clone();
        metrics.observe(
            "nsm_requests",
            "Requests to the emulated module, by operation (none where it is no request) and by who decided the answer: the module, a fault, or a fault that is silence",
            ["operation", "outcome"],
            move || {
                let operations = OPERATIONS.iter().zip(&*served.0);
                let each = operations.flat_map(|((_, operation), outcomes)| {
                    let outcomes = OUTCOMES.into_iter().zip(outcomes);
                    outcomes.map(move |(outcome, count)| {
                        ([(*operation).into(), outcome.into()], count.load(Relaxed))
                    })
                });
                each.collect()
            },
        );
        metrics
    }
}
