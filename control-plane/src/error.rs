//! What can go wrong, in the words that callers read. Codes are stable.

use nacre_attestation_verifier::VerifyError;
use nacre_protocol::bundle::BundleError;
use nacre_protocol::digest::Digest;
use nacre_protocol::evidence::MAX_EVIDENCE_JSON;
use nacre_protocol::identity::StatementError;
use nacre_protocol::ids::{DeploymentId, FunctionName, NodeId};
use nacre_protocol::manifest::ManifestError;
use nacre_protocol::merkle::InclusionError;
use nacre_protocol::problem::Problem;
use nacre_scheduler::Refusal;

use crate::store::StoreError;

mod commands;
mod jobs;
mod keys;
mod ledger;
mod uptime;

pub use commands::CommandError;
pub use jobs::JobError;
pub use keys::KeyRefused;
pub use ledger::LedgerError;
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
    /// A time of `scaling` is too long.
    #[error("times of scaling are at most {0} milliseconds")]
    ScalingTimes(u64),
    /// The market does not take it.
    #[error(transparent)]
    Market(#[from] Refusal),
    /// `max_price` is beyond 2⁶³ − 1.
    #[error("max_price must be below 2^63")]
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

/// A request whose form is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A path parameter.
    #[error("in the path: {0}")]
    Path(String),
    /// The query string.
    #[error("in the query: {0}")]
    Query(String),
    /// `after` is not the `next` of a page.
    #[error("after must be `next` of the page before, of the same list")]
    Cursor,
    /// `If-Match` is no list of entity tags.
    #[error("If-Match must be `*` or entity tags in quotes, separated by commas")]
    IfMatch,
    /// Not `application/json`.
    #[error("the body must have `Content-Type: application/json`")]
    ContentType,
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    Syntax(String),
    /// JSON of another shape.
    #[error("in the body: {0}")]
    Shape(String),
    /// Longer than any request of the API is.
    #[error("a JSON body may have {} KiB", MAX_JSON / 1024)]
    TooLong,
    /// The body broke off.
    #[error("the body broke off before its end")]
    Incomplete,
    /// `Idempotency-Key` is not 1 to 255 visible ASCII characters.
    #[error("Idempotency-Key must be 1 to 255 visible ASCII characters, given once")]
    IdempotencyKey,
}

/// Longest JSON body that is read.
pub const MAX_JSON: usize = 1 << 20;
const _: () = assert!(MAX_JSON > 2 * MAX_EVIDENCE_JSON);

/// An upload that leaves nothing behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The bytes hash to something else.
    #[error("the bytes that arrived hash to {got}, not to {expected}")]
    Mismatch {
        /// The digest in the path.
        expected: Digest,
        /// The digest of what arrived.
        got: Digest,
    },
    /// Larger than this control plane stores.
    #[error("a blob may have {0} bytes here")]
    TooLarge(u64),
    /// The connection ended early.
    #[error("the upload broke off: send it again")]
    Incomplete,
    /// No byte came for too long.
    #[error("no byte came for {0} s: send the blob again")]
    Stalled(u64),
}

/// Blobs that are stored but make no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// The manifest or layers are not all there.
    #[error("not uploaded yet: {0}; PUT /v1/blobs/{{digest}} first")]
    Missing(String),
    /// A layer has another length than the manifest says.
    #[error("layer {name:?} has {stored} bytes, the manifest says {claimed}")]
    Size {
        /// The file.
        name: String,
        /// Bytes stored.
        stored: u64,
        /// Bytes in the manifest.
        claimed: u64,
    },
    /// Not a bundle's manifest.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A `nacre.toml` that describes no function.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// `[model] file` is not in the bundle.
    #[error("the bundle has no file {0:?}, which [model] file names")]
    ModelMissing(String),
}

/// Why a node is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// Not `host:port`.
    #[error(
        "endpoint must be host:port with a DNS name, an IPv4 address or an IPv6 address in brackets, not {0:?}"
    )]
    Endpoint(String),
    /// Memory or price beyond what the market takes.
    #[error(
        "the offer's memory must be at most 2^50 bytes, and its price at most 10^12 micro-units"
    )]
    Offer,
    /// A region's name that is none.
    #[error("region must be 1 to 64 bytes")]
    Region,
    /// Never given out, used before, or older than a minute.
    #[error(
        "the nonce was not given out here within the last minute, or was used: take a new one from POST /v1/nodes/challenges"
    )]
    Nonce,
    /// The operator did not sign this registration.
    #[error("the signature is not the operator's over this registration")]
    Signature,
    /// The document is not evidence, or of an enclave that the policy does not name.
    #[error("{0} (rule {rule})", rule = .0.rule())]
    Evidence(#[from] VerifyError),
    /// Not an identity statement.
    #[error("the statement cannot be read: {0}")]
    Statement(#[from] StatementError),
    /// The document does not vouch for this statement.
    #[error("the document does not vouch for this identity statement: {0}")]
    Unvouched(VerifyError),
    /// The document was not made for this registration.
    #[error("the document was not made for this registration: {0}")]
    Leaf(#[from] InclusionError),
    /// The document has no nonce at all.
    #[error("the document was not made for this registration: it has no nonce")]
    NoNonce,
    /// Somebody else registered the node first.
    #[error("node {0} belongs to another operator")]
    Operator(NodeId),
    /// The boot registered as another node.
    #[error("this boot of the enclave is registered as another node")]
    BootTaken,
}

/// Why a node's report is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The enclave was started anew.
    #[error("the report is of another boot than the registered one: register the new boot")]
    Boot,
    /// More than a report holds.
    #[error("a report holds at most 256 events and 4096 functions")]
    TooLong,
    /// A code that is not one.
    #[error("an event's code is 1 to 64 of a-z, 0-9 and `-`, not {0:?}")]
    EventCode(String),
    /// Numbers beyond 2⁶³ − 1.
    #[error("an event's seq and at_ms must be below 2^63")]
    EventNumber,
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
            Self::MaxPrice => (422, "price-out-of-range", "The price is out of range."),
            Self::IdempotencyKeyReused => (
                409,
                "idempotency-key-reused",
                "The idempotency key belongs to another request.",
            ),
            Self::Registration(error) => error.kind(),
            Self::Command(error) => error.kind(),
            Self::Report(error) => error.kind(),
            Self::Job(error) => error.kind(),
            Self::Uptime(error) => error.kind(),
            Self::Ledger(error) => error.kind(),
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

impl RequestError {
    fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Path(_) => (400, "path-invalid", "The path cannot be read."),
            Self::Query(_) => (400, "query-invalid", "The query cannot be read."),
            Self::Cursor => (400, "cursor-invalid", "The cursor is none of this list."),
            Self::IfMatch => (400, "if-match-invalid", "If-Match cannot be read."),
            Self::ContentType => (415, "content-type", "The body is not declared as JSON."),
            Self::Syntax(_) => (400, "json-syntax", "The body is not JSON."),
            Self::Shape(_) => (422, "json-invalid", "The body's JSON has another shape."),
            Self::TooLong => (413, "body-too-long", "The body is too long."),
            Self::Incomplete => (400, "body-incomplete", "The body broke off."),
            Self::IdempotencyKey => (
                400,
                "idempotency-key-invalid",
                "The idempotency key cannot be read.",
            ),
        }
    }
}

impl UploadError {
    fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Mismatch { .. } => (
                422,
                "digest-mismatch",
                "The bytes are not those of the digest.",
            ),
            Self::TooLarge(_) => (413, "blob-too-large", "The blob is too large."),
            Self::Incomplete => (400, "upload-incomplete", "The upload broke off."),
            Self::Stalled(_) => (408, "upload-stalled", "The upload stalled."),
        }
    }
}

impl VersionError {
    fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Missing(_) => (
                422,
                "blob-missing",
                "Blobs of the function are not uploaded.",
            ),
            Self::Size { .. } => (
                422,
                "layer-size",
                "A layer has another size than the manifest says.",
            ),
            Self::Bundle(_) => (
                422,
                "bundle-invalid",
                "The blob is no function's OCI manifest.",
            ),
            Self::Manifest(_) => (
                422,
                "manifest-invalid",
                "The nacre.toml describes no function.",
            ),
            Self::ModelMissing(_) => (422, "model-missing", "The model file is not in the bundle."),
        }
    }
}

impl RegistrationError {
    fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Endpoint(_) => (422, "endpoint-invalid", "The endpoint is not host:port."),
            Self::Offer => (422, "offer-out-of-range", "The offer is out of range."),
            Self::Region => (422, "bad-name", "The region has no name that can be kept."),
            Self::Nonce => (
                403,
                "nonce-invalid",
                "The nonce is unknown, used or too old.",
            ),
            Self::Signature => (
                403,
                "signature-invalid",
                "The operator's signature is wrong.",
            ),
            Self::Evidence(_) => (
                403,
                "evidence-refused",
                "The enclave's evidence is refused.",
            ),
            Self::Statement(_) | Self::Unvouched(_) | Self::Leaf(_) | Self::NoNonce => (
                403,
                "evidence-not-bound",
                "The evidence is not bound to this registration.",
            ),
            Self::Operator(_) => (
                403,
                "operator-mismatch",
                "The node belongs to another operator.",
            ),
            Self::BootTaken => (409, "boot-id-taken", "The boot belongs to another node."),
        }
    }
}

impl ReportError {
    fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Boot => (409, "boot-changed", "The report is of another boot."),
            Self::TooLong => (422, "report-too-long", "The report is too long."),
            Self::EventCode(_) | Self::EventNumber => {
                (422, "event-invalid", "An event cannot be read.")
            }
        }
    }
}
