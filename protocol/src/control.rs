//! The control channel: how the host tells its enclave which functions to run.
//!
//! HTTP/1.1 with JSON over the transport, not TLS: everything the host sends is hostile input, checked by digest, and
//! nothing secret travels here. Errors are [`crate::problem::Problem`].
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | [`EnclaveStatus`] |
//! | `POST /v1/evidence` with [`crate::evidence::RegistrationChallenge`] | [`crate::evidence::Evidence`] |
//! | `POST /v1/consent` with [`AskConsent`] | [`Consent`] |
//! | `HEAD /v1/blobs/{digest}` | 200 or 404 |
//! | `PUT /v1/blobs/{digest}` with the bytes | 201, or 422 `digest-mismatch` |
//! | `PUT /v1/functions/{name}` with [`LoadFunction`] | [`FunctionStatus`] when the worker is ready, or 4xx |
//! | `DELETE /v1/functions/{name}` | 204 |
//! | `GET /v1/events?after={seq}&wait_ms={n}` | [`EventPage`], long-polled |
//! | `POST` [`RunJob::path_and_query`] with the input as carried, its `content-type` saying which form | the result as carried, with `nacre-job-receipt`, and `nacre-chain-result` where a contract asked; or [`JobRefusal`] |
//! | `GET /v1/usage?after={seq}&wait_ms={n}` | [`UsagePage`], long-polled |
//! | `PUT /v1/usage/acknowledged` with [`AcknowledgeUsage`] | 204 |

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::{BootId, FunctionName, LeaseId};
use crate::problem::Problem;
use crate::usage::SignedUsage;

mod consent;
mod metrics;
mod run_job;

pub use consent::{AskConsent, Consent};
pub use metrics::{EnclaveMetrics, FunctionMetrics, HISTOGRAM_ENDS, Histogram};
pub use run_job::{RunJob, RunJobSyntaxError};

/// Body of `PUT /v1/functions/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadFunction {
    /// Digest of the bundle's OCI manifest; that blob and its layers must have been put before.
    pub digest: Digest,
    /// The lease it runs under: what it does from now on is billed to that. Putting a function again with another lease and
    /// the same digest changes nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
}

/// What the enclave runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnclaveStatus {
    /// This run of the enclave.
    pub boot_id: BootId,
    /// Version of the enclave program.
    pub version: String,
    /// Bytes of blobs and workers it may hold.
    pub memory_bytes: u64,
    /// Processors that its workers share; an enclave that does not say has one.
    #[serde(default = "one_processor")]
    pub processors: u32,
    /// Every function it was told to run.
    pub functions: Vec<FunctionStatus>,
    /// Counters since boot.
    pub counters: Counters,
    /// More of them, for the host's metrics.
    #[serde(default)]
    pub metrics: EnclaveMetrics,
}

fn one_processor() -> u32 {
    1
}

/// Counters since boot; they never fall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// TLS connections that finished their handshake.
    pub connections: u64,
    /// Evidence answered to clients.
    pub attestations: u64,
    /// Requests other than evidence and probes, of which at least the head arrived.
    pub requests: u64,
    /// Bytes of request bodies that arrived.
    pub request_bytes: u64,
    /// Receipts signed.
    pub receipts: u64,
    /// Workers started.
    pub workers_started: u64,
    /// How often the secure module's time was found to be stepped against monotonic time.
    #[serde(default)]
    pub clock_steps: u64,
}

/// One function in the enclave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionStatus {
    /// Its name, as callers say it.
    pub name: FunctionName,
    /// The version.
    pub digest: Digest,
    /// Whether it answers.
    pub state: FunctionState,
    /// The lease that its usage is billed to; absent where it does not answer yet, or the host named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    /// Why it failed: a code and a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it has to do.
    #[serde(default)]
    pub load: FunctionLoad,
}

/// What a function has to do, and has done since it was loaded. Says nothing of what is in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionLoad {
    /// Requests that run or wait for their turn.
    pub in_flight: u32,
    /// How long the first of those that wait has waited, milliseconds.
    pub oldest_wait_ms: u64,
    /// Requests that have ended.
    pub requests: u64,
    /// How long they took together, milliseconds.
    pub busy_ms: u64,
}

/// Whether a function answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FunctionState {
    /// Being fetched, hashed or loaded.
    Loading,
    /// Answers.
    Ready,
    /// Will not answer until it is put again; see the error.
    Failed,
}

/// Something that happened to a function. Never holds a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Rises by one per boot id.
    pub seq: u64,
    /// Unix milliseconds by the enclave's clock.
    pub at_ms: u64,
    /// The function it happened to.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub function: FunctionName,
    /// Stable kebab-case code, such as `ready`, `worker-crashed`, `inference-timeout`.
    pub code: String,
    /// One line for people.
    pub message: String,
}

/// Events after a sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPage {
    /// The run of the enclave that `seq` counts in.
    pub boot_id: BootId,
    /// In order; the enclave keeps a bounded number, so that a gap in `seq` means lost ones.
    pub events: Vec<Event>,
}

/// Why a job has no result. Not signed: what the host makes of it is between the host and whoever gave it the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRefusal {
    /// What was wrong. Its codes:
    ///
    /// | code | retryable | why |
    /// |---|---|---|
    /// | `unknown-function` | yes | no function with this digest serves here |
    /// | `not-a-recipient` | yes | the job is sealed to other enclaves |
    /// | `job-deadline-passed` | no | attested time is past the deadline |
    /// | `cannot-open` | no | changed, or sealed for another job, function, result key or deadline |
    /// | `job-malformed`, `sealed-content-malformed`, `sealing-key-invalid`, `media-type` | no | not what its type says |
    /// | `body-too-large`, `result-too-large` | yes | more than this node takes or gives |
    /// | `inference-timeout`, `memory-limit`, `worker-crashed`, and the workers' other codes | yes | the machine's failure |
    /// | `jobs-busy`, `overloaded`, `clock-unavailable`, `receipt-unavailable`, `body-timeout`, `body-incomplete` | yes | not now |
    #[serde(flatten)]
    pub problem: Problem,
    /// Whether another try, here or on another node, may have another outcome. Only what terms and input determine is final.
    #[serde(default)]
    pub retryable: bool,
}

/// Usage receipts after a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsagePage {
    /// The run of the enclave that `seq` counts in.
    pub boot_id: BootId,
    /// In order and without a gap, at most 256. The enclave keeps each until it is acknowledged, and signs no more than so
    /// many before that: what is done meanwhile is in a later one.
    pub receipts: Vec<SignedUsage>,
}

/// Body of `PUT /v1/usage/acknowledged`: the host has stored all receipts up to this number, and the enclave forgets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeUsage {
    /// The last `seq` that was stored.
    pub through: u64,
}
