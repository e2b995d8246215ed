//! What happens to the market. Events are what is logged; all else follows from them.

use nacre_protocol::ids::{FunctionName, LeaseId, NodeId, OperatorId};
use serde::{Deserialize, Serialize};

use crate::action::Grant;
use crate::order::{Ask, Order, Region, Tenant, Timestamp, Version};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A node registered, or its offer changed. It is online, and not failed any more.
    NodeOffered(Offer),
    /// A node's standing ask changed. Leases keep their price until their term ends.
    AskChanged {
        /// Whose.
        node: NodeId,
        /// The new ask.
        ask: Ask,
    },
    /// A node's score changed.
    NodeScored {
        /// Whose.
        node: NodeId,
        /// Hundredths of a percent.
        score: u32,
    },
    /// A node that was offline reports again.
    NodeOnline {
        /// Which.
        node: NodeId,
    },
    /// A node fell silent. Its leases are replaced; what is not replaced when it comes back goes on.
    NodeOffline {
        /// Which.
        node: NodeId,
    },
    /// A node is known to be dead, or was thrown out. Its leases end, and it is forgotten until it offers again.
    NodeFailed {
        /// Which.
        node: NodeId,
    },
    /// A node wants to leave. Its leases move, then end; those that cannot move end at `until`.
    NodeDrained {
        /// Which.
        node: NodeId,
        /// When it leaves.
        until: Timestamp,
    },
    /// A node that wanted to leave stays.
    NodeKept {
        /// Which.
        node: NodeId,
    },
    /// A function is ordered, anew or with other terms or another version.
    Ordered(Order),
    /// Part of a function's traffic goes to another version; its replicas come beside those in force.
    CanarySet {
        /// Which function.
        function: FunctionName,
        /// The version on trial.
        version: Version,
        /// Its part of the traffic, hundredths of a percent, 1 to 9999.
        weight: u32,
    },
    /// The canary takes over by a rolling update.
    CanaryPromoted {
        /// Which function.
        function: FunctionName,
    },
    /// Back to the version before: ends the canary if there is one, and turns the last update around if not.
    RolledBack {
        /// Which function.
        function: FunctionName,
    },
    /// An order is withdrawn; its leases drain.
    Withdrawn {
        /// Which function.
        function: FunctionName,
    },
    /// A lease that was granted before there was this market: its node runs it already and goes on.
    LeaseAdopted(Grant),
    /// What a node says of one of its leases.
    LeaseReported {
        /// Who says it.
        node: NodeId,
        /// Of which.
        lease: LeaseId,
        /// What.
        report: Report,
    },
    /// A function's load, over all replicas and those who wait at the gateway.
    Load {
        /// Which function.
        function: FunctionName,
        /// Requests in flight, those that wait included.
        in_flight: u32,
        /// How long the oldest request has waited for a replica, milliseconds; 0 when none waits.
        oldest_wait_ms: u64,
    },
    /// A tenant's weight when capacity is shared; 1 unless said.
    TenantWeighted {
        /// Whose.
        tenant: Tenant,
        /// 1 to 10000; twice the weight, twice the share.
        weight: u32,
    },
    /// Time passed, or the last event left work to do. See [`crate::Scheduler::next_wake`].
    Tick,
}

/// A node's offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The node.
    pub node: NodeId,
    /// Who rents it out.
    pub operator: OperatorId,
    /// Where it stands.
    pub region: Region,
    /// Memory for functions, leases included.
    pub memory_bytes: u64,
    /// Processors for functions, thousandths, leases included.
    pub cpu_milli: u32,
    /// Its standing ask.
    pub ask: Ask,
    /// Its score, hundredths of a percent: what its uptime and its conduct come to.
    pub score: u32,
}

/// What a node says of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The function is being fetched or loaded, the first time or again.
    Loading,
    /// It answers.
    Ready,
    /// It was refused or crashed.
    Failed,
    /// A draining lease has no request left.
    Drained,
}
