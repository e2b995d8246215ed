//! What can go wrong, in the words that callers read. Codes are stable.

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{DeploymentId, FunctionName};
use nacre_protocol::problem::Problem;
use nacre_scheduler::Refusal;

use crate::store::StoreError;

mod bundle;
mod chain_keys;
mod commands;
mod jobs;
mod keys;
mod ledger;
mod nodes;
mod payouts;
mod request;
mod uptime;

pub use bundle::{UploadError, VersionError};
pub use chain_keys::ChainKeyError;
pub use commands::CommandError;
pub use jobs::JobError;
pub use keys::KeyRefused;
pub use ledger::LedgerError;
pub use nodes::{RegistrationError, ReportError};
pub use payouts::PayoutError;
pub use request::{MAX_JSON, RequestError};
pub use uptime::UptimeError;

/// Why a request is not answered as the caller hoped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path, query, header or body cannot be read.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No valid API key or node token.
    #[error(
        "send `Authorization: Bearer` with a valid API key (or, on a node's own paths, the node's token)"
    )]
    Unauthenticated,
    /// A valid token that does not open this door.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A valid key without the scope that this needs.
    #[error("this needs a key with the scope {0}")]
    ScopeMissing(String),
    /// More than the rate allows.
    #[error("too many requests: ask again in {after_s} s")]
    RateLimited {
        /// Seconds until the next one is taken.
        after_s: u64,
    },
    /// What is there is not what `If-Match` names.
    #[error("it was changed since: look at it again, then decide")]
    PreconditionFailed,
    /// A key that is not made, rotated or shown.
    #[error(transparent)]
    Key(#[from] KeyRefused),
    /// No such blob.
    #[error("no blob {0} is stored")]
    BlobNotFound(Digest),
    /// No such function.
    #[error("no function is named {0}")]
    FunctionNotFound(FunctionName),
    /// The function has no such version.
    #[error("function {0} has no version {1}")]
    VersionNotFound(FunctionName, Digest),
    /// Another organisation has a function of this name.
    #[error("the name {0} is taken: names are the platform's, choose another in nacre.toml")]
    FunctionNameTaken(FunctionName),
    /// The function has no live deployment.
    #[error("function {0} is not deployed")]
    NotDeployed(FunctionName),
    /// Another deployment ended meanwhile.
    #[error("it is deployment {0} that would end")]
    NotThatDeployment(DeploymentId),
    /// No such deployment.
    #[error("there is no deployment {0}")]
    DeploymentNotFound(DeploymentId),
    /// An upload that cannot be stored.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// Blobs that make no function.
    #[error(transparent)]
    Bundle(#[from] VersionError),
    /// `replicas` is out of range.
    #[error("replicas must be between 1 and 100, not {0}; with scaling, 0 to scaling.max_replicas")]
    Replicas(u32),
    /// `scaling.max_replicas` is not between 1 and 100.
    #[error("scaling.max_replicas must be between 1 and 100, not {0}")]
    MaxReplicas(u32),
    /// `cpu_milli` is not between 1 and 1000: a replica computes on one processor at a time.
    #[error("cpu_milli must be between 1 and 1000, not {0}")]
    Processors(u32),
    /// A time of `scaling` is too long.
    #[error("times of scaling are at most {0} milliseconds")]
    ScalingTimes(u64),
    /// The market does not take it.
    #[error(transparent)]
    Market(#[from] Refusal),
    /// `max_price` or `max_cpu_price` is beyond 2⁶³ − 1.
    #[error("max_price and max_cpu_price must be below 2^63")]
    MaxPrice,
    /// The idempotency key came before with another request.
    #[error(
        "this Idempotency-Key came before with another body or for another path: use a new key for a new request"
    )]
    IdempotencyKeyReused,
    /// A node that may not register so.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// An operator's command that changes nothing.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A receipt key that is not offered as it must be.
    #[error(transparent)]
    ChainKey(#[from] ChainKeyError),
    /// A report that cannot be taken.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A job, or a report of one.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A watcher's word, a dispute, a drain.
    #[error(transparent)]
    Uptime(#[from] UptimeError),
    /// Usage, or money.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Money for operators.
    #[error(transparent)]
    Payout(#[from] PayoutError),
    /// No such path.
    #[error("there is nothing at this path: GET /openapi.json lists what there is")]
    NoSuchPath,
    /// The path is there, the method is not.
    #[error("the path does not take this method: GET /openapi.json lists what it takes")]
    NoSuchMethod,
    /// The request took too long.
    #[error("the request was not done in time: try again")]
    TimedOut,
    /// The operating system gave no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The database.
    #[error("database: {0}")]
    Store(#[from] StoreError),
    /// The object store.
    #[error("object store: {0}")]
    Objects(#[from] object_store::Error),
    /// An entry that cannot be.
    #[error("ledger: {0}")]
    Entry(#[from] nacre_ledger::EntryError),
    /// A defect of ours.
    #[error("{0}")]
    Internal(&'static str),
}

impl Error {
    /// As it travels. What went wrong inside stays inside (it is logged where the answer is made).
    pub fn problem(&self) -> Problem {
        let (status, code, title) = self.kind();
        let problem = Problem::new(status, code, title);
        if self.is_ours() {
            problem
        } else {
            problem.with_detail(self.to_string())
        }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        self.kind().1
    }

    /// How the database failed, if it did: `passing` or `lasting`.
    pub(crate) fn database(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) if error.is_passing() => Some("passing"),
            Self::Store(_) => Some("lasting"),
            _ => None,
        }
    }

    /// Whether it is about our inside, not about the request.
    pub fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Randomness(_)
                | Self::Store(_)
                | Self::Objects(_)
                | Self::Entry(_)
                | Self::Internal(_)
        )
    }

    fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Request(error) => error.kind(),
            Self::Unauthenticated => (
                401,
                "unauthenticated",
                "No valid token came with the request.",
            ),
            Self::Forbidden(_) => (403, "forbidden", "The token does not allow this."),
            Self::ScopeMissing(_) => (403, "scope-missing", "The key lacks a scope."),
            Self::RateLimited { .. } => (429, "rate-limited", "Too many requests came."),
            Self::PreconditionFailed => (
                412,
                "precondition-failed",
                "It is not what the caller takes it for.",
            ),
            Self::Key(error) => error.kind(),
            Self::BlobNotFound(_) => (404, "blob-not-found", "There is no such blob."),
            Self::FunctionNotFound(_) => (404, "function-not-found", "There is no such function."),
            Self::VersionNotFound(..) => (404, "version-not-found", "There is no such version."),
            Self::FunctionNameTaken(_) => {
                (409, "function-name-taken", "The function's name is taken.")
            }
            Self::NotDeployed(_) => (409, "not-deployed", "The function is not deployed."),
            Self::NotThatDeployment(_) => (
                409,
                "not-that-deployment",
                "Another deployment would end than the one named.",
            ),
            Self::DeploymentNotFound(_) => {
                (404, "deployment-not-found", "There is no such deployment.")
            }
            Self::Upload(error) => error.kind(),
            Self::Bundle(error) => error.kind(),
            Self::Market(refusal) => market(*refusal),
            Self::ScalingTimes(_) => (422, "bad-scaling", "The scaling cannot be kept."),
            Self::Replicas(_) | Self::MaxReplicas(_) => (
                422,
                "replicas-out-of-range",
                "The number of replicas is out of range.",
            ),
            Self::Processors(_) => (
                422,
                "processors-out-of-range",
                "What a replica shall have of its node's processors is out of range.",
            ),
            Self::MaxPrice => (422, "price-out-of-range", "The price is out of range."),
            Self::IdempotencyKeyReused => (
                409,
                "idempotency-key-reused",
                "The idempotency key belongs to another request.",
            ),
            Self::Registration(error) => error.kind(),
            Self::Command(error) => error.kind(),
            Self::ChainKey(error) => error.kind(),
            Self::Report(error) => error.kind(),
            Self::Job(error) => error.kind(),
            Self::Uptime(error) => error.kind(),
            Self::Ledger(error) => error.kind(),
            Self::Payout(error) => error.kind(),
            Self::NoSuchPath => (404, "no-such-path", "There is nothing at this path."),
            Self::NoSuchMethod => (
                405,
                "method-not-allowed",
                "The path does not take this method.",
            ),
            Self::TimedOut => (503, "timeout", "The request was not done in time."),
            Self::Store(error) if error.is_passing() => (
                503,
                "database-unavailable",
                "The database does not answer; try again.",
            ),
            Self::Randomness(_)
            | Self::Store(_)
            | Self::Objects(_)
            | Self::Entry(_)
            | Self::Internal(_) => (
                500,
                "internal",
                "Something went wrong inside the control plane; its log says what.",
            ),
        }
    }
}

fn market(refusal: Refusal) -> (u16, &'static str, &'static str) {
    let status = match refusal {
        Refusal::UnknownNode | Refusal::UnknownFunction | Refusal::UnknownLease => 404,
        Refusal::ForeignLease | Refusal::Occupied | Refusal::NoOtherVersion => 409,
        Refusal::SameVersion => 409,
        _ => 422,
    };
    (status, refusal.code(), "The market does not take this.")
}
