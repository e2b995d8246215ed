//! What nodes ask and say about jobs that they have.

use nacre_protocol::api::jobs::JobFailure;
use nacre_protocol::ids::JobId;

use super::machine::{Attempt, Event, Holder, Phase};
use super::settle::in_time;
use crate::error::{Error, JobError};
use crate::platform::nodes::cut;
use crate::platform::{Platform, incidents};
use crate::store::Transaction;
use crate::store::incidents::NewIncident;
use crate::store::jobs::{self, JobRow};

/// Longest line for people that is kept of a failure.
const MAX_MESSAGE: usize = 1024;
const MAX_CODE: usize = 64;
/// The enclave does not serve the function that the job is of.
const UNKNOWN_FUNCTION: &str = "unknown-function";
/// What a node says of a job that it has not run. Not one of the job's tries, but it may not go on for ever
/// ([`super::machine::MAX_ATTEMPTS`]).
const GIVEN_BACK: [&str; 8] = [
    "jobs-busy",
    "overloaded",
    UNKNOWN_FUNCTION,
    "not-a-recipient",
    "clock-unavailable",
    "receipt-unavailable",
    "enclave-unreachable",
    "node-draining",
];

impl Platform {
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
        self.report(&attempt, id, Event::Started(attempt), None)
            .await
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
        self.report(&attempt, id, event, Some(failure)).await
    }

    async fn report(
        &self,
        attempt: &Attempt,
        id: JobId,
        event: Event,
        failure: Option<JobFailure>,
    ) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        must_have_had(&mut tx, &id, attempt).await?;
        let job = jobs::lock(&mut tx, &id).await?;
        let mut job = job.ok_or(JobError::NotFound(id))?;
        let before = job.failure.take();
        job.failure = failure.or(before);
        let holder = job.progress.holder;
        let changed = self.step_job(&mut tx, &mut job, event, None, now).await?;
        if let (Event::GivenBack(_), Some(holder), Some(failure)) = (event, holder, &job.failure)
            && failure.code == UNKNOWN_FUNCTION
        {
            note_false_state(&mut tx, &job, &holder, now).await?;
        }
        self.commit_step(tx, event, &job, changed).await?;
        Ok(in_time(&job)?)
    }

    /// The job, if this attempt is the last one and has not been ended.
    pub(super) async fn held(&self, attempt: &Attempt, id: &JobId) -> Result<JobRow, Error> {
        let mut tx = self.store.read().await?;
        must_have_had(&mut tx, id, attempt).await?;
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
}

/// A node that has said since it took the job that it serves the function, and now says that it does not.
async fn note_false_state(
    tx: &mut Transaction,
    job: &JobRow,
    holder: &Holder,
    now_ms: u64,
) -> Result<(), Error> {
    let since = jobs::leased_ms(tx, job).await?.unwrap_or(now_ms);
    if !jobs::says_ready(tx, holder, &job.digest, since).await? {
        return Ok(());
    }
    let incident = NewIncident {
        node: holder.node,
        boot: holder.boot,
        code: incidents::STATE_FALSE,
        job: Some(job.id),
    };
    incidents::note(tx, incident, now_ms).await
}

/// A job that the node was never given is not there for it.
async fn must_have_had(tx: &mut Transaction, id: &JobId, attempt: &Attempt) -> Result<(), Error> {
    if jobs::was_given(tx, id, &attempt.node).await? {
        Ok(())
    } else {
        Err(JobError::NotFound(*id).into())
    }
}
