//! What nodes do with jobs: take, run, bring results.

use core::time::Duration;

use nacre_protocol::api::jobs::{AssignedJob, Bytes32, JobFailure};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{JobId, NodeId};
use nacre_protocol::job::{JobReceiptError, JobTerms, SignedJobReceipt};
use tokio::time::Instant;

use super::machine::{Attempt, Event, Holder, Phase};
use super::settle::in_time;
use crate::error::{Error, JobError};
use crate::platform::blobs::Incoming;
use crate::platform::nodes::cut;
use crate::platform::{Changed, Platform, Principal, random_id};
use crate::store::jobs::{self, Incident, JobRow, Settlement};
use crate::store::{Transaction, nodes};
use crate::wakers::{MAX_WAIT_MS, Topic};

/// Longest between two looks at the queue of a node that waits: jobs also become due by time alone.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest line for people that is kept of a failure.
const MAX_MESSAGE: usize = 1024;
const MAX_CODE: usize = 64;
/// What a node says of a job that it has not run. Not one of the job's tries, but it may not go on for ever
/// ([`super::machine::MAX_ATTEMPTS`]).
const GIVEN_BACK: [&str; 8] = [
    "jobs-busy",
    "overloaded",
    "unknown-function",
    "not-a-recipient",
    "clock-unavailable",
    "receipt-unavailable",
    "enclave-unreachable",
    "node-draining",
];

/// A result on its way in.
pub(crate) struct ResultBody<B> {
    /// What `Content-Length` says.
    pub(crate) declared: Option<u64>,
    /// The bytes.
    pub(crate) body: B,
    /// `nacre-job-receipt`.
    pub(crate) receipt: String,
}

impl Platform {
    /// Gives the node a job of the functions that it runs; waits up to `wait_ms` for one.
    pub(crate) async fn next_job(
        &self,
        node: NodeId,
        token: &str,
        wait_ms: u64,
    ) -> Result<Option<AssignedJob>, Error> {
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

    /// The input of a job that the node has.
    pub(crate) async fn job_input(
        &self,
        attempt: Attempt,
        id: JobId,
    ) -> Result<(::bytes::Bytes, bool), Error> {
        let job = self.held(&attempt, &id).await?;
        let object = job.input.object.ok_or(JobError::AttemptOver)?;
        let bytes = match self.objects.read_job(&object).await {
            // It ended meanwhile.
            Err(object_store::Error::NotFound { .. }) => return Err(JobError::Ended.into()),
            read => read?,
        };
        Ok((bytes, job.result_key.is_some()))
    }

    /// The node runs the job, or still runs it.
    pub(crate) async fn job_started(&self, attempt: Attempt, id: JobId) -> Result<(), Error> {
        self.report(id, Event::Started(attempt), None).await
    }

    /// The node has no result.
    pub(crate) async fn job_failed(
        &self,
        attempt: Attempt,
        id: JobId,
        failure: JobFailure,
    ) -> Result<(), Error> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let code = &failure.code;
        if code.is_empty() || code.len() > MAX_CODE || !code.bytes().all(inner) {
            return Err(JobError::FailureCode.into());
        }
        let event = if GIVEN_BACK.contains(&code.as_str()) {
            Event::GivenBack(attempt)
        } else {
            Event::Failed(attempt)
        };
        let failure = JobFailure {
            message: cut(&failure.message, MAX_MESSAGE).to_owned(),
            ..failure
        };
        self.report(id, event, Some(failure)).await
    }

    /// The node has a result. Brought again, it is taken for the first time's.
    pub(crate) async fn job_done<B: Incoming>(
        &self,
        attempt: Attempt,
        id: JobId,
        result: ResultBody<B>,
    ) -> Result<(), Error> {
        let job = match self.held(&attempt, &id).await {
            Err(Error::Job(JobError::Ended)) => {
                return self.brought_before(&attempt, &id, &result.receipt).await;
            }
            held => held?,
        };
        let holder = job.progress.holder.ok_or(JobError::AttemptOver)?;
        let bytes = self
            .receive(result.declared, result.body, usize::MAX)
            .await?;
        let receipt = match self
            .check_receipt(&job, &holder, &result.receipt, &bytes)
            .await?
        {
            Ok(receipt) => receipt,
            Err(error) => {
                self.disproved(&attempt, &holder, &id, &error).await?;
                return Err(JobError::Receipt(error).into());
            }
        };
        let settlement = Settlement {
            holder,
            status: receipt.receipt.status,
            receipt: receipt.to_header(),
            size: bytes.len() as u64,
            digest: receipt.receipt.result_hash.to_string(),
            object: self.keep_object(&id, "result", bytes).await?,
        };
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let job = jobs::lock(&mut tx, &id).await?;
        let mut job = job.ok_or(JobError::NotFound(id))?;
        let event = Event::Proven(attempt);
        let changed = self.step_job(&mut tx, &mut job, event, Some(&settlement), now);
        let changed = changed.await?;
        self.commit(tx, changed).await?;
        Ok(in_time(&job)?)
    }

    /// Gives the oldest job away that the node may have.
    async fn lease_job(&self, node: NodeId) -> Result<Option<AssignedJob>, Error> {
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
        let mut job = candidate.job;
        let event = Event::Take(holder);
        let changed = self.step_job(&mut tx, &mut job, event, None, now).await?;
        let Phase::Leased { until_ms } = job.progress.phase else {
            self.commit(tx, changed).await?;
            return Ok(None);
        };
        jobs::insert_attempt(&mut tx, &job, &holder, now).await?;
        self.commit(tx, changed).await?;
        Ok(Some(AssignedJob {
            id: job.id,
            attempt: job.progress.attempt,
            lease: candidate.lease,
            digest: job.digest,
            deadline_ms: job.progress.deadline_ms,
            result_key: job.result_key.map(Bytes32),
            input_size: job.input.size,
            lease_until_ms: until_ms,
        }))
    }

    async fn report(
        &self,
        id: JobId,
        event: Event,
        failure: Option<JobFailure>,
    ) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let job = jobs::lock(&mut tx, &id).await?;
        let mut job = job.ok_or(JobError::NotFound(id))?;
        let before = job.failure.take();
        job.failure = failure.or(before);
        let changed = self.step_job(&mut tx, &mut job, event, None, now).await?;
        self.commit(tx, changed).await?;
        Ok(in_time(&job)?)
    }

    /// The job, if this attempt is the last one and has not been ended.
    async fn held(&self, attempt: &Attempt, id: &JobId) -> Result<JobRow, Error> {
        let mut tx = self.store.read().await?;
        let job = jobs::get(&mut tx, id).await?;
        let job = job.ok_or(JobError::NotFound(*id))?;
        if matches!(job.progress.phase, Phase::Ended(_)) {
            return Err(JobError::Ended.into());
        }
        let holds = job
            .progress
            .holder
            .is_some_and(|holder| holder.node == attempt.node);
        if holds && job.progress.attempt == attempt.number {
            Ok(job)
        } else {
            Err(JobError::AttemptOver.into())
        }
    }

    /// The answer to a result may be lost; the result is brought again then.
    async fn brought_before(
        &self,
        attempt: &Attempt,
        id: &JobId,
        receipt: &str,
    ) -> Result<(), Error> {
        let mut tx = self.store.read().await?;
        match jobs::settlement(&mut tx, id).await? {
            Some(done) if done.holder.node == attempt.node && done.receipt == receipt => Ok(()),
            _ => Err(JobError::Ended.into()),
        }
    }

    /// Whether the enclave that the job was given to signed exactly this result of exactly this job.
    async fn check_receipt(
        &self,
        job: &JobRow,
        holder: &Holder,
        header: &str,
        bytes: &[u8],
    ) -> Result<Result<SignedJobReceipt, JobReceiptError>, Error> {
        let mut tx = self.store.read().await?;
        let key = jobs::boot_keys(&mut tx, &holder.boot).await?;
        drop(tx);
        let key = key.ok_or(Error::Internal("a boot without keys was given a job"))?;
        let terms = JobTerms {
            job: job.id,
            function: job.digest,
            deadline_ms: job.progress.deadline_ms,
        };
        let receipt = match SignedJobReceipt::from_header(header) {
            Ok(receipt) => receipt,
            Err(error) => return Ok(Err(error.into())),
        };
        let verified = receipt.verify(&key, &terms, &job.input.digest, &Digest::of(bytes));
        Ok(verified.map(|()| receipt))
    }

    /// A result that its receipt does not prove: the attempt is over, the node does not get this job again, and it is noted.
    async fn disproved(
        &self,
        attempt: &Attempt,
        holder: &Holder,
        id: &JobId,
        error: &JobReceiptError,
    ) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let incident = Incident {
            node: holder.node,
            boot: holder.boot,
            code: error.code(),
            job: *id,
        };
        jobs::insert_incident(&mut tx, random_id()?, incident, now).await?;
        let changed = self.end_disproved(&mut tx, attempt, id, error, now).await?;
        self.commit(tx, changed).await?;
        tracing::warn!(node = %holder.node, boot = %holder.boot, job = %id, code = error.code(), "incident: a result without proof");
        Ok(())
    }

    async fn end_disproved(
        &self,
        tx: &mut Transaction,
        attempt: &Attempt,
        id: &JobId,
        error: &JobReceiptError,
        now_ms: u64,
    ) -> Result<Changed, Error> {
        let Some(mut job) = jobs::lock(tx, id).await? else {
            return Ok(Changed::default());
        };
        job.failure = Some(JobFailure {
            code: error.code().to_owned(),
            message: error.to_string(),
            retryable: true,
        });
        match self
            .step_job(tx, &mut job, Event::Failed(*attempt), None, now_ms)
            .await
        {
            // Over already, and noted all the same.
            Err(Error::Job(_)) => Ok(Changed::default()),
            step => step,
        }
    }
}
