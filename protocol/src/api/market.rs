//! What an order asks of the market beside its replicas, and where a function's requests go.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::{DeploymentId, FunctionName, NodeId};

/// The region of a node that names none.
pub const DEFAULT_REGION: &str = "default";

/// What a replica has of its node's processors where its order does not say, thousandths of one.
pub const DEFAULT_CPU_MILLI: u32 = 100;

/// [`DEFAULT_CPU_MILLI`], for an order that does not say.
pub(super) fn cpu_milli() -> u32 {
    DEFAULT_CPU_MILLI
}

/// When replicas come and go with the load. Up at once; down after a while of less load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Scaling {
    /// Most replicas, at least `replicas`, 1 to 100.
    pub max_replicas: u32,
    /// Requests in flight that one replica should carry, at least 1.
    #[serde(default = "target_in_flight")]
    #[cfg_attr(feature = "openapi", schema(default = 8))]
    pub target_in_flight: u32,
    /// A request that waits longer for a replica asks for one more than answer, milliseconds.
    #[serde(default = "max_queue_ms")]
    #[cfg_attr(feature = "openapi", schema(default = 1000))]
    pub max_queue_ms: u64,
    /// How long the load must stay below before replicas go, milliseconds.
    #[serde(default = "stable_ms")]
    #[cfg_attr(feature = "openapi", schema(default = 60000))]
    pub stable_ms: u64,
    /// With `replicas` 0: how long no request must come before the last replica goes, milliseconds.
    #[serde(default = "idle_ms")]
    #[cfg_attr(feature = "openapi", schema(default = 300_000))]
    pub idle_ms: u64,
}

fn target_in_flight() -> u32 {
    8
}

fn max_queue_ms() -> u64 {
    1000
}

fn stable_ms() -> u64 {
    60_000
}

fn idle_ms() -> u64 {
    300_000
}

impl Scaling {
    /// Up to this many replicas, and the defaults.
    pub fn up_to(max_replicas: u32) -> Self {
        Self {
            max_replicas,
            target_in_flight: target_in_flight(),
            max_queue_ms: max_queue_ms(),
            stable_ms: stable_ms(),
            idle_ms: idle_ms(),
        }
    }
}

/// Where replicas may run, and who goes first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Placement {
    /// Regions that replicas may run in, at most 16 of 1 to 64 bytes; none: anywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// Most replicas with one operator, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_operator: Option<u32>,
    /// Lowest score that is taken, hundredths of a percent, at most 10000: a node's uptime score times what its conduct
    /// leaves of it (`placed_by` of `GET /v1/conduct`).
    pub min_score: u32,
    /// Higher goes first where capacity is short.
    pub priority: u8,
}

impl Placement {
    /// Whether nothing is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `GET /v1/routes?after={cursor}` gives a page of these: where the requests of a function that is deployed go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FunctionRoutes {
    /// The function.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub function: FunctionName,
    /// Its versions that answer, or did last.
    pub routes: Vec<Route>,
}

/// One version's part of a function's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Route {
    /// The function digest. A client's policy lists those of all routes.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// The newest deployment of it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub deployment: DeploymentId,
    /// Hundredths of a percent; all routes of a function add up to 10000, or to 0 when none answers.
    pub weight: u32,
    /// Where it answers new requests.
    pub nodes: Vec<RouteNode>,
}

/// A node that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RouteNode {
    /// The node.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// `host:port`; TLS ends in the enclave.
    pub endpoint: String,
}

/// `POST /v1/functions/{name}/canary`: part of the requests goes to another version; its replicas come beside those in
/// force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetCanary {
    /// The version on trial.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// Its part of the requests, hundredths of a percent, 1 to 9999.
    pub weight: u32,
}

/// `POST /v1/functions/{name}/promote`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Promote {}

/// `POST /v1/functions/{name}/rollback`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RollBack {
    /// The deployment that ends: on trial, or live. Absent: whichever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub from: Option<DeploymentId>,
}

/// `POST /v1/functions/{name}/demand`: callers that wait at a gateway because no replica answers, in place of what that
/// gateway said before; it counts for 10 seconds. Answered with 204.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Demand {
    /// Which gateway: 1 to 64 visible ASCII characters of its own choice.
    pub source: String,
    /// Callers.
    pub waiting: u32,
    /// How long the first of them has waited, milliseconds.
    pub oldest_wait_ms: u64,
}
