//! Nodes bring results, each with the receipt that proves it.

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::{JobReceiptError, JobTerms, SignedJobReceipt};

use super::bytes::Carried;
use super::machine::{Attempt, Event, Holder};
use super::settle::in_time;
use crate::error::{Error, JobError};
use crate::platform::Platform;
use crate::platform::blobs::Incoming;
use crate::store::jobs::{self, JobRow, Settlement};

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
            object: self.keep_object(&id, Carried::Result, bytes).await?,
        };
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let job = jobs::lock(&mut tx, &id).await?;
        let mut job = job.ok_or(JobError::NotFound(id))?;
        let event = Event::Proven(attempt);
        let changed = self.step_job(&mut tx, &mut job, event, Some(&settlement), now);
        let changed = changed.await?;
        self.commit_step(tx, event, &job, changed).await?;
        Ok(in_time(&job)?)
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
}
