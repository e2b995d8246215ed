//! Asynchronous jobs (DESIGN §6): what a job runs on, and what comes back.
//!
//! Input and result of a job are byte strings that everybody between the caller and an enclave only carries. Each has two
//! forms, which the media type tells apart: in the open, or sealed (see [`crate::sealed`]).
//!
//! | what | in the open | sealed |
//! |---|---|---|
//! | input | [`JobInput`], [`JOB_INPUT_TYPE`] | [`crate::sealed::SealedJob`], [`SEALED_JOB_TYPE`] |
//! | result | [`JobResult`], [`JOB_RESULT_TYPE`] | [`crate::sealed::SealedResult`], [`SEALED_RESULT_TYPE`] |
//!
//! **The id is the caller's.** A sealed input is bound to the job's id, so the id must be known before the platform has
//! seen the job: the caller draws 16 random bytes. Within one tenant it is also what makes a submission safe to repeat: the
//! same id with the same terms and input is the same job, with others it is an error. Two tenants' ids have nothing to do
//! with each other.
//!
//! **What a result proves, to whom.** The [`JobResult`] holds the same receipt as an answer over HTTP (DESIGN §3.3), whose
//! request is `POST` [`job_path`] with the input's headers and body: so it speaks of this job and no other. Its salt would
//! let others guess a small input, and so a sealed job's receipt is sealed with its result. For those who only carry, there
//! is the [`JobReceipt`]: the same enclave's signature over the id, the function and the hashes of what was carried in and
//! out. An operator cannot pass off another job's result, another function's, or one of its own making.

use crate::digest::Digest;
use crate::ids::JobId;

pub(crate) mod cbor;
mod input;
mod receipt;
mod result;
#[cfg(test)]
mod tests;

pub use cbor::JobSyntaxError;
pub use input::{InputCommitment, JobInput};
pub use receipt::{JobReceipt, JobReceiptError, SignedJobReceipt};
pub use result::JobResult;

/// Media type of [`JobInput`].
pub const JOB_INPUT_TYPE: &str = "application/vnd.nacre.job-input.v1+cbor";
/// Media type of [`crate::sealed::SealedJob`].
pub const SEALED_JOB_TYPE: &str = "application/vnd.nacre.sealed-job.v1+cbor";
/// Media type of [`JobResult`].
pub const JOB_RESULT_TYPE: &str = "application/vnd.nacre.job-result.v1+cbor";
/// Media type of [`crate::sealed::SealedResult`].
pub const SEALED_RESULT_TYPE: &str = "application/vnd.nacre.sealed-job-result.v1+cbor";

/// Longest encoded input or result, sealed or not, that anybody reads. A node may take less.
pub const MAX_JOB_BYTES: usize = 64 << 20;

/// Which job it is, what shall run it, and until when that has a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobTerms {
    /// The caller's id for it.
    pub job: JobId,
    /// The function that runs it.
    pub function: Digest,
    /// Unix milliseconds by the enclave's attested clock; a later start is refused.
    pub deadline_ms: u64,
}

/// The path in the request that a job's receipt speaks of; its method is `POST`.
pub fn job_path(job: &JobId) -> String {
    format!("/v1/jobs/{job}")
}
