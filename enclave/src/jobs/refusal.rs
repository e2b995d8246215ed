//! Why a job has no result. What is said here the host reads, so no word of it depends on a sealed input's content.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use nacre_protocol::control::JobRefusal;
use nacre_protocol::digest::Digest;
use nacre_protocol::job::JobSyntaxError;
use nacre_protocol::problem::Problem;
use nacre_protocol::sealed::{OpenError, SealError};

use crate::clock::ClockUnavailable;
use crate::http::{BodyError, reply};

/// One reason; the table of codes is [`JobRefusal`]'s.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("this job's content type must be {expected}")]
    MediaType { expected: &'static str },
    #[error("no function with the digest {0} serves here")]
    UnknownFunction(Digest),
    #[error("the deadline was {deadline_ms}, and it is {now_ms}")]
    DeadlinePassed { deadline_ms: u64, now_ms: u64 },
    #[error("as many jobs are running as may; try again, or elsewhere")]
    Busy,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Malformed(#[from] JobSyntaxError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the function did not answer")]
    Failed(&'static str),
    #[error("the result is longer than a job's may be")]
    ResultTooLarge,
    #[error(transparent)]
    Clock(#[from] ClockUnavailable),
    #[error("the result cannot be signed, so it is not given")]
    NoReceipt,
    #[error("the operating system gives no randomness")]
    NoRandomness,
}

/// A [`Refused`] on its way out. Any reason becomes one, so that `?` works where reasons arise.
#[derive(Debug)]
pub(super) struct Refusal(Refused);

impl<R: Into<Refused>> From<R> for Refusal {
    fn from(reason: R) -> Self {
        Self(reason.into())
    }
}

impl Refusal {
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let reason = &self.0;
        let problem = Problem::new(reason.status(), reason.code(), reason.title());
        let problem = match reason {
            // What exactly is wrong inside is not the host's to know.
            Refused::Open(OpenError::Content(_)) => problem,
            _ => problem.with_detail(reason.to_string()),
        };
        let refusal = JobRefusal {
            problem,
            retryable: reason.is_retryable(),
        };
        reply::problem_with(reason.status(), &refusal)
    }
}

impl Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::MediaType { .. } => "media-type",
            Self::UnknownFunction(_) => "unknown-function",
            Self::DeadlinePassed { .. } => "job-deadline-passed",
            Self::Busy => "jobs-busy",
            Self::Body(error) => error.code(),
            Self::Malformed(error) => error.code(),
            Self::Open(error) => error.code(),
            Self::Seal(error) => error.code(),
            Self::Failed(code) => code,
            Self::ResultTooLarge => "result-too-large",
            Self::Clock(_) => "clock-unavailable",
            Self::NoReceipt | Self::NoRandomness => "receipt-unavailable",
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::MediaType { .. } => 415,
            Self::UnknownFunction(_) => 404,
            Self::DeadlinePassed { .. } => 410,
            Self::Open(OpenError::NotARecipient) => 409,
            Self::Body(error) => error.status(),
            Self::Malformed(_) => 400,
            Self::Open(_) | Self::Seal(_) => 422,
            Self::Failed("inference-timeout") => 504,
            Self::Failed(_) | Self::ResultTooLarge => 500,
            Self::Busy | Self::Clock(_) | Self::NoReceipt | Self::NoRandomness => 503,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::MediaType { .. } | Self::Malformed(_) | Self::Body(_) => {
                "The job's input was not taken"
            }
            Self::UnknownFunction(_) => "The function does not serve here",
            Self::DeadlinePassed { .. } => "The job's deadline has passed",
            Self::Open(_) => "The job does not open here",
            Self::Seal(_) => "Nothing can be sealed to the result key",
            Self::Failed(_) | Self::ResultTooLarge => "The function gave no result",
            Self::Busy | Self::Clock(_) | Self::NoReceipt | Self::NoRandomness => {
                "The job cannot be run at the moment"
            }
        }
    }

    /// Whether another try, here or elsewhere, may have another outcome.
    fn is_retryable(&self) -> bool {
        match self {
            Self::MediaType { .. }
            | Self::DeadlinePassed { .. }
            | Self::Malformed(_)
            | Self::Seal(_) => false,
            Self::Open(error) => *error == OpenError::NotARecipient,
            _ => true,
        }
    }
}
