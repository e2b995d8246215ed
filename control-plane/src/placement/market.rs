//! What the auction sees.

use nacre_protocol::ids::{DeploymentId, FunctionName, LeaseId, NodeId};

/// Everything that bears on placement at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Market {
    /// Every node that ever registered.
    pub nodes: Vec<Node>,
    /// Every lease that has not ended, those of replaced deployments included.
    pub leases: Vec<Lease>,
    /// Every live deployment.
    pub orders: Vec<Order>,
}

/// A node's standing ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The node.
    pub id: NodeId,
    /// Whether it reports. Only online nodes win leases.
    pub online: bool,
    /// Memory it offers, leases included.
    pub memory_bytes: u64,
    /// Its ask, micro-units per GiB-second.
    pub price: u64,
}

/// A replica that has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The lease.
    pub id: LeaseId,
    /// For which deployment; a live one or one that was replaced.
    pub deployment: DeploymentId,
    /// The deployment's function.
    pub function: FunctionName,
    /// On which node.
    pub node: NodeId,
    /// Memory it reserves there.
    pub memory_bytes: u64,
    /// Whether the node last said that it answers.
    pub ready: bool,
    /// Unix milliseconds.
    pub granted_ms: u64,
}

/// A live deployment's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The deployment.
    pub deployment: DeploymentId,
    /// What it runs.
    pub function: FunctionName,
    /// Memory of one replica.
    pub memory_bytes: u64,
    /// On how many nodes.
    pub replicas: u32,
    /// Highest ask it takes, micro-units per GiB-second.
    pub max_price: Option<u64>,
    /// Unix milliseconds; the oldest order is served first.
    pub created_ms: u64,
}
