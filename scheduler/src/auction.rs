//! The reverse auction: the lowest eligible ask wins; ties go to the better score, then to the lower node id.

use core::cmp::Reverse;

use crate::action::Cause;
use crate::ladder::{Need, Rank, Rung};
use crate::order::{Ask, Version};
use crate::rows::{MAX_LEASES, NodeRow, OrderRow};
use crate::scheduler::Scheduler;
use crate::shelf::Shelf;
use crate::slab::{NodeIx, OperatorIx, OrderIx};

impl Scheduler {
    /// The winner for one more replica of the order.
    pub(crate) fn cheapest(&self, order: OrderIx, version: &Version) -> Option<NodeIx> {
        let row = &self.orders[order];
        let full = self.full_operators(order);
        let need = need(row, version, &full);
        let takes = |rung: &Rung| self.may_host(order, rung.node);
        self.search(row, &need, takes).map(|(_, node)| node)
    }

    /// Whether this node could win one more replica of the order: what the auction asks of it, of one node.
    pub(crate) fn could_win(&self, order: OrderIx, version: &Version, node: NodeIx) -> bool {
        let (row, at) = (&self.orders[order], &self.nodes[node]);
        at.is_open()
            && at.free_memory() >= version.memory_bytes
            && at.free_cpu() >= version.cpu_milli
            && meets(row, at)
            && self.may_host(order, node)
            && !self.full_operators(order).contains(&at.operator)
    }

    /// A node has no other lease of the function, and did not fail it lately.
    fn may_host(&self, order: OrderIx, node: NodeIx) -> bool {
        let (row, at) = (&self.orders[order], &self.nodes[node]);
        let avoided = row.avoid.get(&at.id).is_some_and(|until| *until > self.now);
        !avoided && at.leases.len() < MAX_LEASES && !at.leases.contains_key(&order)
    }

    fn search(
        &self,
        row: &OrderRow,
        need: &Need<'_>,
        takes: impl Fn(&Rung) -> bool,
    ) -> Option<(Rank, NodeIx)> {
        let shelves = self.shelves(row).into_iter();
        shelves.fold(None, |found, shelf| shelf.cheapest(need, found, &takes))
    }

    fn shelves(&self, row: &OrderRow) -> Vec<&Shelf> {
        if row.terms.regions.is_empty() {
            return vec![&self.shelf];
        }
        let regions = row.terms.regions.iter();
        regions.filter_map(|r| self.regions.get(r)).collect()
    }

    /// Operators that hold as many replicas as the order allows. Those that are about to be replaced do not count.
    pub(crate) fn full_operators(&self, order: OrderIx) -> Vec<OperatorIx> {
        let row = &self.orders[order];
        let Some(most) = row.terms.max_per_operator else {
            return Vec::new();
        };
        let mut held: Vec<_> = row
            .leases
            .iter()
            .map(|lease| &self.leases[*lease])
            .filter(|lease| self.role(row, lease).is_kept())
            .map(|lease| self.nodes[lease.node].operator)
            .collect();
        held.sort_unstable();
        let runs = held.chunk_by(|a, b| a == b);
        runs.filter(|run| run.len() >= most as usize)
            .filter_map(|run| run.first().copied())
            .collect()
    }

    /// How a node ranks for a version: the lower wins.
    pub(crate) fn rank(&self, node: NodeIx, version: &Version) -> Rank {
        let at = &self.nodes[node];
        (at.ask.cost(version), Reverse(at.score), at.id)
    }

    /// Why no node wins: the first demand that, waived with those before it, would have left one.
    pub(crate) fn diagnose(&self, order: OrderIx, version: &Version) -> Cause {
        let row = &self.orders[order];
        let full = self.full_operators(order);
        let shelves = self.shelves(row);
        if self.shelf.is_empty() {
            return Cause::NoNode;
        }
        if shelves.iter().all(|shelf| shelf.is_empty()) {
            return Cause::NoRegion;
        }
        let mut need = need(row, version, &full);
        let hosts = |rung: &Rung| self.may_host(order, rung.node);
        need.max_memory_price = u64::MAX;
        need.max_cpu_price = u64::MAX;
        if let Some((_, node)) = self.search(row, &need, hosts) {
            let lowest: Ask = self.nodes[node].ask;
            return Cause::Price { lowest };
        }
        need.full = &[];
        if self.search(row, &need, hosts).is_some() {
            return Cause::Spread;
        }
        need.min_score = 0;
        if self.search(row, &need, hosts).is_some() {
            return Cause::Score;
        }
        if self.search(row, &need, |_| true).is_some() {
            return Cause::Taken;
        }
        let most = shelves.iter().map(|shelf| shelf.most_free());
        let (memory_bytes, cpu_milli) = most.fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)));
        Cause::Room {
            memory_bytes,
            cpu_milli,
        }
    }
}

/// Whether a node's ask, region and score meet the order's terms.
pub(crate) fn meets(row: &OrderRow, at: &NodeRow) -> bool {
    row.terms.affords(at.ask) && row.terms.allows(&at.region) && at.score >= row.terms.min_score
}

fn need<'a>(row: &OrderRow, version: &'a Version, full: &'a [OperatorIx]) -> Need<'a> {
    Need {
        version,
        max_memory_price: row.terms.max_memory_price.unwrap_or(u64::MAX),
        max_cpu_price: row.terms.max_cpu_price.unwrap_or(u64::MAX),
        min_score: row.terms.min_score,
        full,
    }
}
