//! Nodes take jobs.

use core::time::Duration;

use nacre_protocol::api::jobs::{AssignedJob, Bytes32};
use nacre_protocol::ids::NodeId;
use nacre_telemetry::trace;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::machine::{Event, Holder, Phase};
use crate::error::Error;
use crate::platform::{Platform, Principal};
use crate::store::jobs::{self, Candidate};
use crate::store::{Transaction, nodes};
use crate::traces;
use crate::wakers::{MAX_WAIT_MS, Topic};

/// Longest between two looks at the queue of a node that waits: jobs also become due by time alone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Platform {
    /// Gives the node a job of the functions that it runs, with the trace that it goes on with; waits up to `wait_ms` for
    /// one.
    pub(crate) async fn next_job(
        &self,
        node: NodeId,
        token: &str,
        wait_ms: u64,
    ) -> Result<Option<(AssignedJob, Option<String>)>, Error> {
        let until = Instant::now() + Duration::from_millis(wait_ms.min(MAX_WAIT_MS));
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let look = u64::try_from(left.min(LOOK_EVERY).as_millis()).unwrap_or(0);
            let mut wait = self.wakers.wait(Topic::Work(node), look);
            if self.authenticate(token).await? != Principal::Node(node) {
                return Err(Error::Forbidden("a node's token opens its own paths only"));
            }
            if let Some(job) = self.lease_job(node).await? {
                return Ok(Some(job));
            }
            let woken = wait.again().await;
            if !woken && (self.wakers.is_stopping() || until <= Instant::now()) {
                return Ok(None);
            }
        }
    }

    /// Gives the oldest job away that the node may have.
    async fn lease_job(
        &self,
        node: NodeId,
    ) -> Result<Option<(AssignedJob, Option<String>)>, Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.read().await?;
        let boot = nodes::boot(&mut tx, &node).await?;
        let holder = Holder {
            node,
            boot: boot.ok_or(Error::Unauthenticated)?,
        };
        // Whoever only looks takes no turn among those who write.
        let any = jobs::any_candidate(&mut tx, &holder, now).await?;
        drop(tx);
        if !any {
            return Ok(None);
        }
        let mut tx = self.store.write_alone().await?;
        let Some(candidate) = jobs::candidate(&mut tx, &holder, now).await? else {
            return Ok(None);
        };
        // Seen in the trace of whoever laid it in, not of the node that asked.
        let kept = candidate.job.trace.clone();
        let span = trace::work("dispatch job", &traces::headers(kept.as_deref()));
        let job = self.lease_to(tx, candidate, holder, now);
        let job = job.instrument(span.clone()).await?;
        let goes_on = span.in_scope(traces::current).or(kept);
        Ok(job.map(|job| (job, goes_on)))
    }

    async fn lease_to(
        &self,
        mut tx: Transaction,
        candidate: Candidate,
        holder: Holder,
        now_ms: u64,
    ) -> Result<Option<AssignedJob>, Error> {
        let mut job = candidate.job;
        let event = Event::Take(holder);
        let changed = self
            .step_job(&mut tx, &mut job, event, None, now_ms)
            .await?;
        let Phase::Leased { until_ms } = job.progress.phase else {
            self.commit_step(tx, event, &job, changed).await?;
            return Ok(None);
        };
        jobs::insert_attempt(&mut tx, &job, &holder, now_ms).await?;
        self.commit_step(tx, event, &job, changed).await?;
        Ok(Some(AssignedJob {
            id: job.id,
            attempt: job.progress.attempt,
            lease: candidate.lease,
            digest: job.digest,
            deadline_ms: job.progress.deadline_ms,
            result_key: job.result_key.map(Bytes32),
            chain: job.chain,
            input_size: job.input.size,
            lease_until_ms: until_ms,
        }))
    }
}
