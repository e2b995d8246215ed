//! Placement as a reverse auction: the lowest standing ask among the nodes that fit wins the lease (DESIGN §6).
//!
//! Pure: a [`Market`] in, a [`Plan`] out; the same market, in whatever order its parts are listed, gives the same plan.
//! Applying a plan leaves a market whose plan is empty.
//!
//! The rules, in the order in which they are applied:
//!
//! 1. A node whose leases outgrow its offer (it registered again with less memory) loses its youngest leases.
//! 2. A deployment that is wholly ready ends the leases of those it replaced.
//! 3. Orders are served oldest first. Each wants its replicas on as many online nodes; a node qualifies when the memory
//!    fits, the ask is within the order's ceiling, and it runs no replica of the order yet. Lowest ask first, then
//!    lowest node id.
//! 4. A node runs one version of a function: a replica placed where a replaced deployment of the same function still
//!    runs takes that lease's place and its memory at once. Elsewhere the old leases stay until rule 2.
//! 5. A lease on a node that is offline moves: it ends when another node takes its replica, and stays when none does,
//!    so that the node continues where it was if it comes back first.

mod market;
mod shortage;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::ids::{DeploymentId, LeaseId, NodeId};

pub use market::{Lease, Market, Node, Order};
pub use shortage::Shortage;

/// What to change so that the orders run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Leases that end; to be applied before the grants.
    pub end: Vec<LeaseId>,
    /// New leases, in the order they were won.
    pub grants: Vec<Grant>,
    /// For every order: why replicas are missing, or `None` when all are placed.
    pub shortages: BTreeMap<DeploymentId, Option<Shortage>>,
}

/// One lease to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// For which order.
    pub deployment: DeploymentId,
    /// The winner.
    pub node: NodeId,
    /// Its ask, micro-units per GiB-second.
    pub price: u64,
}

/// Matches orders with asks.
pub fn plan(market: &Market) -> Plan {
    let mut auction = Auction::new(market);
    auction.evict();
    auction.retire();
    // A grant may free more than it takes (rule 4); an older order may fit there. Each round but the last makes a
    // grant, and grants are bounded by the replicas ordered.
    while auction.serve_orders() {}
    auction.plan
}

/// The market while it is being planned.
struct Auction<'a> {
    /// By ask, then id: the first that fits has won.
    nodes: Vec<&'a Node>,
    online: BTreeSet<NodeId>,
    orders: Vec<&'a Order>,
    /// What would run if the plan so far were applied; grants have no lease yet.
    running: Vec<Running<'a>>,
    free: BTreeMap<NodeId, i128>,
    plan: Plan,
}

/// A lease, or a grant of this plan.
#[derive(Clone, Copy)]
struct Running<'a> {
    lease: Option<&'a Lease>,
    deployment: DeploymentId,
    node: NodeId,
}

impl<'a> Auction<'a> {
    fn new(market: &'a Market) -> Self {
        let mut nodes: Vec<_> = market.nodes.iter().collect();
        nodes.sort_by_key(|node| (node.price, node.id));
        let mut orders: Vec<_> = market.orders.iter().collect();
        orders.sort_by_key(|order| (order.created_ms, order.deployment));
        let mut leases: Vec<_> = market.leases.iter().collect();
        leases.sort_by_key(|lease| (lease.granted_ms, lease.id));
        let mut free: BTreeMap<_, _> = nodes
            .iter()
            .map(|node| (node.id, i128::from(node.memory_bytes)))
            .collect();
        for lease in &leases {
            *free.entry(lease.node).or_default() -= i128::from(lease.memory_bytes);
        }
        let running = leases
            .into_iter()
            .map(|lease| Running {
                lease: Some(lease),
                deployment: lease.deployment,
                node: lease.node,
            })
            .collect();
        let online = nodes.iter().filter(|node| node.online);
        Self {
            online: online.map(|node| node.id).collect(),
            nodes,
            orders,
            running,
            free,
            plan: Plan::default(),
        }
    }

    /// Rule 1.
    fn evict(&mut self) {
        let over = self.free.iter().filter(|(_, free)| **free < 0);
        for node in over.map(|(node, _)| *node).collect::<Vec<_>>() {
            while self.free.get(&node).is_some_and(|free| *free < 0) {
                let Some(youngest) = self.running.iter().rposition(|run| run.node == node) else {
                    break;
                };
                self.end(youngest);
            }
        }
    }

    /// Rule 2.
    fn retire(&mut self) {
        let done: Vec<&Order> = self
            .orders
            .iter()
            .filter(|order| self.ready_replicas(order) >= order.replicas)
            .copied()
            .collect();
        for order in done {
            let old = |run: &Running<'_>| run.lease.is_some_and(|lease| replaces(order, lease));
            while let Some(old) = self.running.iter().position(old) {
                self.end(old);
            }
        }
    }

    fn ready_replicas(&self, order: &Order) -> u32 {
        let ready = self.running.iter().filter(|run| {
            run.deployment == order.deployment
                && run.lease.is_some_and(|lease| lease.ready)
                && self.is_online(run.node)
        });
        u32::try_from(ready.count()).unwrap_or(u32::MAX)
    }

    /// Rule 3. Says whether any lease was granted.
    fn serve_orders(&mut self) -> bool {
        let before = self.plan.grants.len();
        for order in self.orders.clone() {
            let shortage = self.serve(order);
            self.plan.shortages.insert(order.deployment, shortage);
        }
        self.plan.grants.len() > before
    }

    fn serve(&mut self, order: &'a Order) -> Option<Shortage> {
        let mine = |run: &&Running<'_>| run.deployment == order.deployment;
        let holders: Vec<NodeId> = self
            .running
            .iter()
            .filter(mine)
            .map(|run| run.node)
            .collect();
        let (mut taken, mut placed) = (BTreeSet::new(), 0);
        for node in holders {
            placed += u32::from(self.is_online(node));
            taken.insert(node);
        }
        // A grant changes this map only where the order is then placed.
        let replaced = self.replaced(order);
        while placed < order.replicas {
            match self.cheapest(order, &taken, &replaced) {
                Ok(node) => {
                    self.grant(order, node);
                    taken.insert(node.id);
                    placed += 1;
                }
                Err(mut shortage) => {
                    shortage.placed = placed;
                    return Some(shortage);
                }
            }
        }
        None
    }

    fn cheapest(
        &self,
        order: &Order,
        taken: &BTreeSet<NodeId>,
        replaced: &BTreeMap<NodeId, u64>,
    ) -> Result<&'a Node, Shortage> {
        let mut shortage = Shortage::new(order);
        for node in self.nodes.iter().filter(|node| node.online) {
            let held = replaced.get(&node.id).copied().unwrap_or_default();
            let room = self.free.get(&node.id).copied().unwrap_or_default() + i128::from(held);
            let fits = room >= i128::from(order.memory_bytes);
            let affordable = order.max_price.is_none_or(|max| node.price <= max);
            if taken.contains(&node.id) {
                shortage.saw_taken();
            } else if fits && affordable {
                return Ok(node);
            } else {
                shortage.saw(node.price, room, fits);
            }
        }
        Err(shortage)
    }

    /// Memory that leases of replaced deployments of the order's function hold; it is the order's to take.
    fn replaced(&self, order: &Order) -> BTreeMap<NodeId, u64> {
        let old = self.running.iter().filter_map(|run| run.lease);
        old.filter(|lease| replaces(order, lease))
            .map(|lease| (lease.node, lease.memory_bytes))
            .collect()
    }

    /// Rules 4 and 5.
    fn grant(&mut self, order: &Order, node: &Node) {
        let here = |lease: &Lease| lease.node == node.id && replaces(order, lease);
        if let Some(replaced) = self
            .running
            .iter()
            .position(|run| run.lease.is_some_and(here))
        {
            self.end(replaced);
        }
        *self.free.entry(node.id).or_default() -= i128::from(order.memory_bytes);
        self.running.push(Running {
            lease: None,
            deployment: order.deployment,
            node: node.id,
        });
        self.end_surplus(order);
        self.plan.grants.push(Grant {
            deployment: order.deployment,
            node: node.id,
            price: node.price,
        });
    }

    /// Ends a lease on an offline node when the order holds more than its replicas.
    fn end_surplus(&mut self, order: &Order) {
        let mine = |run: &&Running<'_>| run.deployment == order.deployment;
        if self.running.iter().filter(mine).count() > order.replicas as usize {
            let stranded = |run: &Running<'_>| mine(&run) && !self.is_online(run.node);
            if let Some(stranded) = self.running.iter().position(stranded) {
                self.end(stranded);
            }
        }
    }

    fn end(&mut self, at: usize) {
        let run = self.running.remove(at);
        if let Some(lease) = run.lease {
            *self.free.entry(lease.node).or_default() += i128::from(lease.memory_bytes);
            self.plan.end.push(lease.id);
        }
    }

    fn is_online(&self, node: NodeId) -> bool {
        self.online.contains(&node)
    }
}

/// Whether the order's deployment took the place of the lease's.
fn replaces(order: &Order, lease: &Lease) -> bool {
    lease.function == order.function && lease.deployment != order.deployment
}
