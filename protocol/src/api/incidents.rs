//! Shapes of what nodes did that honest ones do not.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/incidents?node={id}&after={cursor}` | a page of [`Incident`], the latest first |
//! | `GET /v1/conduct?after={cursor}` | a page of [`Conduct`], by node |

use serde::{Deserialize, Serialize};

use crate::ids::{BootId, JobId, NodeId};

/// Something that an honest node does not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Incident {
    /// Its id.
    pub id: String,
    /// The node.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// The run of its enclave.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub boot_id: BootId,
    /// What it was: a stable kebab-case code.
    pub code: String,
    /// The job that it was about, where that is the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub job: Option<JobId>,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// What it takes off the node's [`Conduct::score`] on its first day; a seventh less each day after.
    pub points: u32,
}

/// How a node has behaved in the last seven days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Conduct {
    /// The node.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// 10,000 less what is left of the points of its incidents; not below 0.
    pub score: u32,
    /// How many there were.
    pub incidents: u64,
    /// The score that the market places by, hundredths of a percent: the uptime score (10,000 where nobody has seen the node
    /// yet) times `score`, rounded down. Equal bids go to the higher, and no order's `min_score` is above it.
    #[serde(default)]
    pub placed_by: u32,
}
