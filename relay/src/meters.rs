//! What a relay counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nacre_telemetry::metrics::{Counter, Gauge, Label, Metrics};

use crate::follow::{Progress, now_ms};
use crate::node::Mined;

/// After how many seconds without a look at the chain a relay is not well: longer than any node is waited for.
const STALE: u64 = 60;

/// Numbers of one relay.
#[derive(Debug)]
pub struct Meters {
    blocks: Counter,
    taken_back: Counter,
    head: Gauge,
    behind: Gauge,
    /// Transactions that were sent for the first time.
    pub(crate) sent: Counter,
    /// Transactions that were replaced.
    pub(crate) replaced: Counter,
    /// Transactions that were sent for the draw.
    pub(crate) duties: Counter,
    mined: Counter,
    failed: Counter,
    gwei: Counter,
    /// Answers that another's was ahead of, at no cost.
    pub(crate) beaten: Counter,
    /// Times that the hour's gas was spent.
    pub(crate) capped: Counter,
    /// Times that platform, node, database or an enclave failed.
    pub(crate) failures: Counter,
    looked_ms: Arc<AtomicU64>,
    jobs: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Meters {
    /// Its numbers, and what exposes them.
    pub fn new() -> (Self, Metrics) {
        let mut metrics = Metrics::of("relay", env!("CARGO_PKG_VERSION"));
        let m = &mut metrics;
        let looked_ms = Arc::new(AtomicU64::new(0));
        let jobs: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
        let meters = Self {
            blocks: m.counter(
                "blocks",
                "Blocks that were followed; many final ones at once count as one",
            ),
            taken_back: m.counter("blocks_taken_back", "Blocks that were reorganised away"),
            head: m.gauge("head", "The highest block that was followed"),
            behind: m.gauge("behind", "Blocks that are not followed yet"),
            sent: m.counter(
                "transactions",
                "Transactions that were sent for the first time",
            ),
            replaced: m.counter("replacements", "Transactions that were replaced"),
            duties: m.counter("duties", "Transactions that were sent for the draw"),
            mined: m.counter("mined", "Transactions that were mined"),
            failed: m.counter("reverted", "Transactions that were mined and failed"),
            gwei: m.counter("spent_gwei", "Gas that was paid for, in gwei"),
            beaten: m.counter(
                "beaten",
                "Answers that the contract would not have taken, found out at no cost",
            ),
            capped: m.counter("capped", "Times that the hour's gas was spent"),
            failures: m.counter(
                "failures",
                "Times that platform, node, database or an enclave failed",
            ),
            looked_ms: Arc::clone(&looked_ms),
            jobs: Arc::clone(&jobs),
        };
        m.observe_one(
            "looked_seconds",
            "When the chain was followed last, Unix seconds",
            move || looked_ms.load(Ordering::Relaxed) as f64 / 1000.0,
        );
        m.observe(
            "jobs",
            "Jobs, by what this relay or the chain made of them",
            ["what"],
            move || {
                let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
                let row =
                    |(what, number): &(String, u64)| ([Label::known(what.clone())], *number as f64);
                jobs.iter().map(row).collect()
            },
        );
        (meters, metrics)
    }

    pub(crate) fn followed(&self, progress: &Progress) {
        self.blocks.inc_by(progress.followed);
        self.taken_back.inc_by(progress.taken_back);
        self.behind
            .set(i64::try_from(progress.behind).unwrap_or(i64::MAX));
        if let Some(head) = progress.head {
            self.head
                .set(i64::try_from(head.number).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn mined(&self, mined: &Mined) {
        self.mined.inc();
        if !mined.succeeded {
            self.failed.inc();
        }
        self.gwei
            .inc_by(u64::try_from(mined.cost / 1_000_000_000).unwrap_or(u64::MAX));
    }

    pub(crate) fn looked(&self, now_ms: u64) {
        self.looked_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether the chain was followed lately, without its address or anything else that is not everybody's.
    pub(crate) fn health(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let looked_ms = Arc::clone(&self.looked_ms);
        move || match looked_ms.load(Ordering::Relaxed) {
            0 => Err("the chain was not followed yet".to_owned()),
            looked => {
                let age = now_ms().saturating_sub(looked) / 1000;
                match age <= STALE {
                    true => Ok(()),
                    false => Err(format!("the chain was followed last {age} s ago")),
                }
            }
        }
    }

    pub(crate) fn census(&self, jobs: Vec<(String, u64)>) {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = jobs;
    }
}
