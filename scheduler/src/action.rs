//! What the scheduler decides.

use core::fmt;

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{DeploymentId, FunctionName, LeaseId, NodeId};
use serde::{Deserialize, Serialize};

use crate::order::{Ask, Timestamp, Version};

/// One decision. Actions of one event are to be carried out in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// A lease was won: the node shall load the function.
    Grant(Grant),
    /// A lease's term began anew, at the node's ask of today.
    Renew {
        /// Which lease.
        lease: LeaseId,
        /// The price from now on.
        price: Ask,
        /// When the new term ends.
        until: Timestamp,
    },
    /// No new request goes there; the node reports when the last is answered.
    Drain {
        /// Which lease.
        lease: LeaseId,
        /// When it ends at the latest.
        until: Timestamp,
        /// Why.
        why: Why,
    },
    /// A draining lease is wanted again and answers already.
    Resume {
        /// Which lease.
        lease: LeaseId,
    },
    /// The lease is over: the node shall unload the function, unless a grant for the same function follows.
    End {
        /// Which lease.
        lease: LeaseId,
        /// Why.
        why: Why,
    },
    /// Where a function's requests go. Policies list all of the digests: one is named before it answers and until its
    /// last lease has ended.
    Route {
        /// Which function.
        function: FunctionName,
        /// By digest; the weights add up to 10000, or to 0 when none answers.
        shares: Vec<Share>,
    },
    /// How many replicas an order wants from now on.
    Scaled {
        /// Which function.
        function: FunctionName,
        /// Of the version in force; 0 while the function sleeps.
        target: u32,
        /// Of the version on trial.
        canary: u32,
    },
    /// Why an order lacks replicas, or `None` when it lacks none any more.
    Short {
        /// Which function.
        function: FunctionName,
        /// What is short.
        shortage: Option<Shortage>,
    },
    /// A node that wanted to leave holds no lease any more.
    NodeEmpty {
        /// Which.
        node: NodeId,
    },
}

/// A lease that was won.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The lease.
    pub lease: LeaseId,
    /// For which function.
    pub function: FunctionName,
    /// Which version of it.
    pub version: Version,
    /// The winner.
    pub node: NodeId,
    /// Its ask; stays until the term ends.
    pub price: Ask,
    /// When the term ends.
    pub until: Timestamp,
}

/// A digest's part of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share {
    /// The function digest.
    pub digest: Digest,
    /// The newest deployment of it.
    pub deployment: DeploymentId,
    /// Hundredths of a percent.
    pub weight: u32,
}

/// Why a lease drains or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Fewer replicas are wanted.
    Surplus,
    /// Another version took its place.
    Replaced,
    /// Its replica runs elsewhere now: cheaper, or because the node leaves or is offline.
    Moved,
    /// The term ended, and the node no longer meets the order's terms.
    Unfit,
    /// The term ended, and who waits has the better claim.
    Yielded,
    /// The node failed.
    NodeFailed,
    /// The node left before the replica could move.
    NodeLeft,
    /// The node offers less than it holds.
    Shrunk,
    /// The node could not run the function, or not in time.
    Failed,
    /// A draining lease has no request left, or no time.
    Drained,
}

/// An order with fewer replicas than it wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Replicas wanted.
    pub wanted: u32,
    /// Replicas of the wanted versions that have a place on an online node.
    pub placed: u32,
    /// What stood in the way of the next one.
    pub cause: Cause,
}

/// What stood in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cause {
    /// No node is online.
    NoNode,
    /// No node is online in the order's regions.
    NoRegion,
    /// The cheapest node that otherwise qualifies asks more than the order takes.
    Price {
        /// Its ask.
        lowest: Ask,
    },
    /// Only operators that hold as many replicas as the order allows have room.
    Spread,
    /// Only nodes below the order's score have room.
    Score,
    /// Every node with room runs the function already.
    Taken,
    /// No node has room.
    Room {
        /// The most memory that any node has free.
        memory_bytes: u64,
        /// The most processor share that any node has free.
        cpu_milli: u32,
    },
    /// The update may neither add a replica elsewhere nor end one that answers; it goes on when one is ready.
    Update,
    /// The function failed on several nodes; the next try is later.
    Backoff {
        /// When.
        until: Timestamp,
    },
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} replicas placed: ", self.placed, self.wanted)?;
        match &self.cause {
            Cause::NoNode => f.write_str("no node is online"),
            Cause::NoRegion => f.write_str("no node is online in the regions ordered"),
            Cause::Price { lowest } => write!(
                f,
                "the lowest ask of a node with room is {} micro-units per GiB-second and {} per CPU-second, above the limit",
                lowest.memory, lowest.cpu
            ),
            Cause::Spread => f.write_str(
                "only operators that hold as many replicas as allowed have room; more replicas need more operators",
            ),
            Cause::Score => f.write_str("only nodes below the minimum score have room"),
            Cause::Taken => f.write_str(
                "every online node with room runs a replica already; more replicas need more nodes",
            ),
            Cause::Room {
                memory_bytes,
                cpu_milli,
            } => write!(
                f,
                "no online node has room; the most free is {memory_bytes} bytes of memory and {cpu_milli} thousandths of a processor"
            ),
            Cause::Update => f.write_str(
                "the update waits for a replica to be ready, as its bounds demand",
            ),
            Cause::Backoff { until } => write!(
                f,
                "the function failed on several nodes; the next try is at {} (Unix milliseconds)",
                until.0
            ),
        }
    }
}
