//! Shapes of the control plane's REST API, shared by server, node agent and command line.
//!
//! Paths, status codes and errors are in the server's OpenAPI document (`GET /openapi.json`).

pub mod audit;
pub mod chain;
pub mod commands;
pub mod incidents;
pub mod jobs;
pub mod keys;
pub mod ledger;
pub mod market;
pub mod payouts;

use serde::{Deserialize, Serialize};

use crate::control::{Event, FunctionState};
use crate::digest::Digest;
use crate::evidence::Evidence;
use crate::ids::{BootId, DeploymentId, FunctionName, LeaseId, NodeId, OperatorId};
use crate::uptime::NodeUptime;
use market::{DEFAULT_REGION, Placement, Route, Scaling};

/// Header of every POST that creates: the same key and body give the same answer, without a second effect.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// `POST /v1/functions`: makes a version of a function out of blobs that were put before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateVersion {
    /// Digest of the bundle's OCI manifest.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
}

/// One version of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Version {
    /// The function's name, read from its `nacre.toml`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub function: FunctionName,
    /// Rises by one with each new digest.
    pub version: u32,
    /// The function digest.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// Memory that a replica reserves on its node.
    pub memory_bytes: u64,
    /// Unix milliseconds.
    pub created_ms: u64,
}

/// `POST /v1/deployments`: an order to run a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateDeployment {
    /// Which function.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub function: FunctionName,
    /// Which version of it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// How many nodes run it, 1 to 100; with `scaling` the fewest, and 0 lets the function sleep.
    pub replicas: u32,
    /// What each replica shall have of its node's processors, thousandths of one, 1 to 1000. It is kept for the replica;
    /// what others leave idle it may use as well.
    #[serde(default = "market::cpu_milli")]
    #[cfg_attr(feature = "openapi", schema(default = 100))]
    pub cpu_milli: u32,
    /// The most that is paid for memory: micro-units per GiB-second. Absent: any price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<u64>,
    /// The most that is paid for processors: micro-units per CPU-second. Absent: any price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cpu_price: Option<u64>,
    /// When more replicas than `replicas` run. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// Where they run.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
}

/// A deployment and where it stands. A function has one live deployment; a new one replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deployment {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: DeploymentId,
    /// Which function.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub function: FunctionName,
    /// Which version.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// How many replicas are ordered; with `scaling` the fewest.
    pub replicas: u32,
    /// What each replica has of its node's processors, thousandths of one; 0 for one from before they were counted.
    #[serde(default)]
    pub cpu_milli: u32,
    /// How many are wanted now: what `scaling` makes of the load, or of `replicas` this version's part.
    #[serde(default)]
    pub wanted: u32,
    /// When more than `replicas` run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// Where they run.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
    /// Its part of the requests while it is on trial beside the live deployment, hundredths of a percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_weight: Option<u32>,
    /// `ready` when every wanted replica answers; `failed` when any replica failed and none answers.
    pub state: FunctionState,
    /// Why it is not ready: no node fits, a model was refused, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The replicas that are placed.
    pub leases: Vec<Lease>,
    /// Unix milliseconds.
    pub created_ms: u64,
}

/// One replica on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lease {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: LeaseId,
    /// The node that runs it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// Where callers reach the enclave: `host:port`; TLS ends in the enclave.
    pub endpoint: String,
    /// What the node last said of it.
    pub state: FunctionState,
    /// The price agreed for this term, micro-units per GiB-second.
    pub price: u64,
    /// The same for processors, micro-units per CPU-second. A replica computes on one processor at a time.
    #[serde(default)]
    pub cpu_price: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether it only finishes what it has begun: no new request goes there.
    #[serde(default)]
    pub draining: bool,
}

/// `GET /v1/functions` and `GET /v1/functions/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Function {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: FunctionName,
    /// All versions, newest first.
    pub versions: Vec<Version>,
    /// The live deployment, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
    /// The deployment on trial beside it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Deployment>,
    /// Where its requests go. A version is listed before it answers and until its last replica has gone.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// A list with nothing beside it; every list of the API is wrapped so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A line of a function's log: an event with the node and boot it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// Cursor for `after`.
    pub id: u64,
    /// The node it comes from.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// The run of the enclave.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub boot_id: BootId,
    /// What happened.
    pub event: Event,
}

/// A node as the platform sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Node {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: NodeId,
    /// Who rents it out.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operator: OperatorId,
    /// Where callers reach its enclave.
    pub endpoint: String,
    /// Where it stands, in its operator's words.
    #[serde(default = "default_region")]
    pub region: String,
    /// Standing ask and capacity.
    pub offer: Offer,
    /// When it leaves, Unix milliseconds, if it said so: its leases move before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_ms: Option<u64>,
    /// Memory that leases reserve.
    pub reserved_bytes: u64,
    /// Processors that leases reserve, thousandths of one.
    #[serde(default)]
    pub reserved_cpu_milli: u32,
    /// Whether it reported within the last lease period.
    pub online: bool,
    /// Whether it was registered for the asker's organisation.
    #[serde(default)]
    pub own: bool,
    /// The run of the enclave that it last registered.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub boot_id: BootId,
    /// Unix milliseconds of its last report.
    pub seen_ms: u64,
    /// What watchers say of it.
    #[serde(default)]
    pub uptime: NodeUptime,
}

fn default_region() -> String {
    DEFAULT_REGION.to_owned()
}

/// What a node offers and asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Offer {
    /// Memory for functions, bytes.
    pub memory_bytes: u64,
    /// Processors for functions, thousandths of one; at most 100,000,000.
    pub cpu_milli: u32,
    /// The ask for memory, micro-units per GiB-second.
    pub price: u64,
    /// The ask for processors, micro-units per CPU-second.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(default = 0))]
    pub cpu_price: u64,
}

/// `POST /v1/nodes/challenges`: a nonce for one registration. No body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Challenge {
    /// 32 random bytes, base64url; taken once, within a minute.
    #[serde(with = "crate::encoding::base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: [u8; 32],
}

/// `POST /v1/nodes`: registers a node, or its enclave's new boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterNode {
    /// The node.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: NodeId,
    /// Its operator.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operator: OperatorId,
    /// `host:port` where callers reach the enclave.
    pub endpoint: String,
    /// Where it stands, in its operator's words: 1 to 64 bytes, such as `eu-central-1`. `default` if absent.
    #[serde(default = "default_region")]
    #[cfg_attr(feature = "openapi", schema(default = "default"))]
    pub region: String,
    /// Capacity and ask.
    pub offer: Offer,
    /// The challenge's nonce.
    #[serde(with = "crate::encoding::base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: [u8; 32],
    /// Evidence whose leaf is [`crate::evidence::register_leaf`].
    pub evidence: Evidence,
    /// The operator's Ed25519 signature over [`crate::evidence::registration_message`], base64url.
    #[serde(with = "crate::encoding::base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: [u8; 64],
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Registered {
    /// Bearer token for this boot; a new registration of the node ends it.
    pub token: String,
    /// How often the node reports at least, milliseconds.
    pub report_every_ms: u64,
}

/// `GET /v1/nodes/{id}/desired?after={revision}&wait_ms={n}`: what the node shall run; long-polled until the revision
/// is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DesiredState {
    /// Changes whenever `functions` does; never used twice for different lists.
    pub revision: u64,
    /// One entry a lease on this node.
    pub functions: Vec<DesiredFunction>,
}

/// One function that a node shall run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DesiredFunction {
    /// The lease it runs under.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub lease: LeaseId,
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: FunctionName,
    /// Its digest; manifest and layers are at `GET /v1/blobs/{digest}`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
}

/// `POST /v1/nodes/{id}/observed`: what the node runs, and what happened since the last report. Answered with 204.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObservedState {
    /// The run of the enclave that is reported.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub boot_id: BootId,
    /// Every function the node runs or tried to.
    pub functions: Vec<ObservedFunction>,
    /// New events, at most 256.
    pub events: Vec<Event>,
}

/// One function on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObservedFunction {
    /// The lease it runs under.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub lease: LeaseId,
    /// Its digest.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// Whether it answers.
    pub state: FunctionState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Requests that it worked on at once since the report before, on average and rounded up, or works on now, whichever
    /// is more. Absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// How long the oldest request in it has waited for its turn, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_wait_ms: Option<u64>,
}
