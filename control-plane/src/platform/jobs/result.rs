//! Nodes bring results, each with the receipt that proves it, and with what is signed for the contract that asked for it.

use nacre_protocol::chain_job::{CarriedHashes, ChainResultError, ChainTerms, SignedChainResult};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::{JobReceiptError, JobResult, JobTerms, SignedJobReceipt};

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
    /// `nacre-chain-result`.
    pub(crate) chain_result: Option<String>,
}

/// What a result came with, checked.
struct Proofs {
    receipt: SignedJobReceipt,
    chain_result: Option<SignedChainResult>,
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
        let said = (result.receipt.as_str(), result.chain_result.as_deref());
        let proofs = match self.check_proofs(&job, &holder, said, &bytes).await? {
            Ok(proofs) => proofs,
            Err(error) => {
                self.disproved(&attempt, &holder, &id, &error).await?;
                return Err(JobError::Receipt(error).into());
            }
        };
        let settlement = Settlement {
            holder,
            status: proofs.receipt.receipt.status,
            receipt: proofs.receipt.to_header(),
            chain_result: proofs.chain_result.map(|chain| chain.to_header()),
            size: bytes.len() as u64,
            digest: proofs.receipt.receipt.result_hash.to_string(),
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

    /// Whether the enclave that the job was given to signed exactly this result of exactly this job, for the platform and for
    /// the contract that asked.
    async fn check_proofs(
        &self,
        job: &JobRow,
        holder: &Holder,
        (receipt, chain_result): (&str, Option<&str>),
        bytes: &[u8],
    ) -> Result<Result<Proofs, JobReceiptError>, Error> {
        let mut tx = self.store.read().await?;
        let key = jobs::boot_keys(&mut tx, &holder.boot).await?;
        drop(tx);
        let key = key.ok_or(Error::Internal("a boot without keys was given a job"))?;
        let terms = JobTerms {
            job: job.id,
            function: job.digest,
            deadline_ms: job.progress.deadline_ms,
        };
        let receipt = match check_receipt(job, &key, &terms, receipt, bytes) {
            Ok(receipt) => receipt,
            Err(error) => return Ok(Err(error)),
        };
        let Some(chain) = job.chain else {
            return Ok(Ok(Proofs {
                receipt,
                chain_result: None,
            }));
        };
        let carried = carried_hashes(job, bytes, receipt.receipt.status);
        let checked = check_chain_result(job, &key, chain, chain_result, carried);
        Ok(checked
            .map(|chain_result| Proofs {
                receipt,
                chain_result: Some(chain_result),
            })
            .map_err(Into::into))
    }
}

fn check_receipt(
    job: &JobRow,
    key: &[u8; 64],
    terms: &JobTerms,
    header: &str,
    bytes: &[u8],
) -> Result<SignedJobReceipt, JobReceiptError> {
    let receipt = SignedJobReceipt::from_header(header)?;
    receipt.verify(key, terms, &job.input.digest, &Digest::of(bytes))?;
    Ok(receipt)
}

/// What the contract's hashes must be; none where the result is none.
fn carried_hashes(job: &JobRow, result: &[u8], status: u16) -> Option<CarriedHashes> {
    let output = match job.result_key {
        Some(_) => result,
        None => JobResult::decode(result).ok()?.body,
    };
    Some(CarriedHashes {
        input: job.input.digest,
        output: Digest::of(output),
        status,
    })
}

fn check_chain_result(
    job: &JobRow,
    key: &[u8; 64],
    chain: ChainTerms,
    header: Option<&str>,
    carried: Option<CarriedHashes>,
) -> Result<SignedChainResult, ChainResultError> {
    let signed = SignedChainResult::from_header(header.ok_or(ChainResultError::Missing)?)?;
    let carried = carried.ok_or(ChainResultError::Output)?;
    signed.verify(key, chain, job.digest, &carried)?;
    Ok(signed)
}
