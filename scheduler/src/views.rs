//! The state as others may read it.

use nacre_protocol::ids::{FunctionName, LeaseId, NodeId};

use crate::action::{Share, Shortage};
use crate::order::{Ask, Tenant, Terms, Timestamp, Version};
use crate::rows::{LeaseRow, NodeRow, OrderRow, Phase, Presence};
use crate::scheduler::Scheduler;

/// A lease that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease<'a> {
    /// Its id.
    pub id: LeaseId,
    /// For which function.
    pub function: &'a FunctionName,
    /// Which version of it.
    pub version: Version,
    /// On which node.
    pub node: NodeId,
    /// What is paid until the term ends.
    pub price: Ask,
    /// How far it has come.
    pub phase: Phase,
    /// When the term ends.
    pub until: Timestamp,
    /// Whether its replica is about to move to a node that is cheaper or of another operator.
    pub moving: bool,
}

/// A node that has offered and not failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Memory that leases hold.
    pub held_memory_bytes: u64,
    /// Processors that leases hold, thousandths.
    pub held_cpu_milli: u32,
    /// Leases that it holds.
    pub leases: usize,
    /// Its standing ask.
    pub ask: Ask,
    /// Whether it reports.
    pub online: bool,
    /// When it leaves, if it said so.
    pub leaves: Option<Timestamp>,
}

/// An order that is not withdrawn, or still holds leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing<'a> {
    /// What it asks.
    pub terms: &'a Terms,
    /// What all replicas run once nothing is in progress.
    pub target: Version,
    /// What going back would turn to.
    pub previous: Option<Version>,
    /// What is on trial, with its weight.
    pub canary: Option<(Version, u32)>,
    /// Replicas wanted, the canary's included.
    pub wanted: u32,
    /// The same apart: of the target, and of the canary.
    pub parts: (u32, u32),
    /// Why replicas are missing.
    pub shortage: Option<&'a Shortage>,
    /// Where its requests go.
    pub shares: &'a [Share],
    /// Whether it only waits for its leases to end.
    pub withdrawn: bool,
    /// Its leases, oldest first.
    pub leases: Vec<Lease<'a>>,
}

impl Scheduler {
    /// A lease that has not ended.
    pub fn lease(&self, id: &LeaseId) -> Option<Lease<'_>> {
        let lease = self.lease_ids.get(id)?;
        Some(self.view_lease(&self.leases[*lease]))
    }

    /// All leases that have not ended, by id.
    pub fn leases(&self) -> impl Iterator<Item = Lease<'_>> {
        let all = self.lease_ids.values();
        all.map(|lease| self.view_lease(&self.leases[*lease]))
    }

    /// A node's leases: what it shall run.
    pub fn leases_of(&self, node: &NodeId) -> Vec<Lease<'_>> {
        let node = self.node_ids.get(node);
        let leases = node
            .into_iter()
            .flat_map(|n| self.nodes[*n].leases.values());
        leases
            .map(|lease| self.view_lease(&self.leases[*lease]))
            .collect()
    }

    /// A node.
    pub fn node(&self, id: &NodeId) -> Option<Node> {
        let node = self.node_ids.get(id)?;
        Some(view_node(&self.nodes[*node]))
    }

    /// All nodes, by id.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.node_ids
            .values()
            .map(|node| view_node(&self.nodes[*node]))
    }

    /// A function's order.
    pub fn order(&self, function: &FunctionName) -> Option<Standing<'_>> {
        let order = self.functions.get(function)?;
        Some(self.view_order(&self.orders[*order]))
    }

    /// All orders, by function.
    pub fn orders(&self) -> impl Iterator<Item = (&FunctionName, Standing<'_>)> {
        let all = self.functions.iter();
        all.map(|(name, order)| (name, self.view_order(&self.orders[*order])))
    }

    /// All tenants that ever ordered or were weighed, by name, with their weights and what they hold, KiB (a processor as
    /// 4 GiB).
    pub fn tenants(&self) -> impl Iterator<Item = (&Tenant, u32, u64)> {
        self.waiting.tenants()
    }

    /// The latest time that an event came with.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn view_lease(&self, row: &LeaseRow) -> Lease<'_> {
        Lease {
            id: row.id,
            function: &self.orders[row.order].function,
            version: row.version,
            node: self.nodes[row.node].id,
            price: row.price,
            phase: row.phase,
            until: row.until,
            moving: row.moving,
        }
    }

    fn view_order<'a>(&'a self, row: &'a OrderRow) -> Standing<'a> {
        let (target, canary) = row.wanted();
        let leases = row.leases.iter();
        Standing {
            terms: &row.terms,
            target: row.target,
            previous: row.previous,
            canary: row.canary,
            wanted: target + canary,
            parts: (target, canary),
            shortage: row.shortage.as_ref(),
            shares: &row.shares,
            withdrawn: row.withdrawn,
            leases: leases.map(|l| self.view_lease(&self.leases[*l])).collect(),
        }
    }
}

fn view_node(row: &NodeRow) -> Node {
    Node {
        id: row.id,
        held_memory_bytes: row.held_memory,
        held_cpu_milli: row.held_cpu,
        leases: row.leases.len(),
        ask: row.ask,
        online: row.presence == Presence::Online,
        leaves: row.leaves,
    }
}
