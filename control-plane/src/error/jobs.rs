//! What can go wrong with jobs.

use nacre_protocol::ids::JobId;
use nacre_protocol::job::{JobReceiptError, JobSyntaxError};

/// Why a job, or a report of one, is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// No such job.
    #[error("there is no job {0}")]
    NotFound(JobId),
    /// The id came before with another request.
    #[error("job {0} came before with another body: draw a new id for a new job")]
    IdReused(JobId),
    /// The deadline has passed, or is too far away.
    #[error("deadline_ms must be later than now, {now_ms}, and within 7 days of it")]
    Deadline {
        /// The control plane's time.
        now_ms: u64,
    },
    /// More bytes than a job may have here.
    #[error("a job's input or result may have {0} bytes here")]
    TooLarge(usize),
    /// A sealed input that is none.
    #[error("{0}")]
    Input(#[from] JobSyntaxError),
    /// A webhook that nothing is posted to.
    #[error(
        "webhook must be an https:// URL of at most 2048 characters, with a public host and without user name or fragment"
    )]
    Webhook,
    /// The input came with the job, or has come.
    #[error("job {0} does not wait for an input")]
    InputNotExpected(JobId),
    /// Not as long as was said.
    #[error("the job was made for an input of {expected} bytes, {got} came")]
    InputSize {
        /// What the job says.
        expected: u64,
        /// What came.
        got: u64,
    },
    /// The job has no result, or none yet.
    #[error("job {0} has no result")]
    NoResult(JobId),
    /// The result was deleted.
    #[error("the result of job {0} was deleted")]
    ResultDeleted(JobId),
    /// A report of an attempt that is over.
    #[error("this attempt at the job is over: somebody else was given it, or it was given back")]
    AttemptOver,
    /// The job has ended.
    #[error("the job has ended")]
    Ended,
    /// A result without a receipt.
    #[error("send the result with exactly one header nacre-job-receipt")]
    NoReceipt,
    /// A receipt that proves nothing.
    #[error(transparent)]
    Receipt(#[from] JobReceiptError),
    /// Not a failure's code.
    #[error("a failure's code is 1 to 64 of a-z, 0-9 and `-`")]
    FailureCode,
}

impl JobError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::NotFound(_) => (404, "job-not-found", "There is no such job."),
            Self::IdReused(_) => (409, "job-id-reused", "The id belongs to another job."),
            Self::Deadline { .. } => (
                422,
                "deadline-out-of-range",
                "The deadline is out of range.",
            ),
            Self::TooLarge(_) => (413, "job-too-large", "The input or result is too large."),
            Self::Input(_) => (422, "job-malformed", "The input cannot be read."),
            Self::Webhook => (422, "webhook-invalid", "The webhook is refused."),
            Self::InputNotExpected(_) => (
                409,
                "job-input-not-expected",
                "The job does not wait for an input.",
            ),
            Self::InputSize { .. } => (
                422,
                "job-input-size",
                "The input has another length than was said.",
            ),
            Self::NoResult(_) => (409, "job-no-result", "The job has no result."),
            Self::ResultDeleted(_) => (410, "job-result-deleted", "The result was deleted."),
            Self::AttemptOver => (409, "job-attempt-over", "The attempt at the job is over."),
            Self::Ended => (409, "job-ended", "The job has ended."),
            Self::NoReceipt => (400, "job-receipt-missing", "The result has no receipt."),
            Self::Receipt(error) => (422, error.code(), "The receipt does not prove the result."),
            Self::FailureCode => (422, "failure-code-invalid", "The code cannot be read."),
        }
    }
}
