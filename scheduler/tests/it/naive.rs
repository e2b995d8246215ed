//! The auction's rules written out over all nodes, without an index.

use nacre_protocol::ids::{FunctionName, NodeId, OperatorId};
use nacre_scheduler::{Ask, Grant, Phase, Scheduler, Timestamp, Version};

use crate::model::{AVOIDED_MS, Check, Held, Model, Site, demand};

impl Model {
    /// The winner was eligible, and nobody eligible ranked before it.
    pub(crate) fn won(&self, grant: &Grant, after: &Scheduler) -> Check {
        let winner = self.sites.get(&grant.node).ok_or("a stranger won")?;
        let version = &grant.version;
        demand(
            self.eligible(&grant.function, version, winner, after, false),
            || format!("{grant:?} was won by {winner:?}, which is not eligible"),
        )?;
        demand(winner.offer.ask == grant.price, || "another price".into())?;
        let better = self.sites.values().find(|site| {
            self.rank(site, version) < self.rank(winner, version)
                && !self.lately_failed(&grant.function, site, after.now())
                && self.eligible(&grant.function, version, site, after, true)
        });
        demand(better.is_none(), || {
            format!("{better:?} was passed over for {grant:?}")
        })
    }

    /// The lower wins.
    pub(crate) fn rank(&self, site: &Site, version: &Version) -> (u128, u32, NodeId) {
        let Ask { memory, cpu } = site.offer.ask;
        let gib = 1u128 << 30;
        let cost = u128::from(memory) * u128::from(version.memory_bytes) * 1000
            + u128::from(cpu) * u128::from(version.cpu_milli.max(1000)) * gib;
        (cost, 10_000 - site.offer.score, site.offer.node)
    }

    pub(crate) fn lately_failed(
        &self,
        function: &FunctionName,
        site: &Site,
        now: Timestamp,
    ) -> bool {
        let key = (function.clone(), site.offer.node);
        let failed = self.failed.get(&key);
        failed.is_some_and(|at| now.0 < at.0 + AVOIDED_MS)
    }

    pub(crate) fn used(&self, node: &NodeId) -> (u64, u32) {
        let on = self.held.values().filter(|held| held.grant.node == *node);
        on.fold((0, 0), |(memory, cpu), held| {
            let version = &held.grant.version;
            (memory + version.memory_bytes, cpu + version.cpu_milli)
        })
    }

    pub(crate) fn eligible(
        &self,
        function: &FunctionName,
        version: &Version,
        site: &Site,
        after: &Scheduler,
        ended: bool,
    ) -> bool {
        let terms = &self.orders[function].terms;
        let (memory, cpu) = self.used(&site.offer.node);
        let of_function = || self.held.values().filter(|h| h.grant.function == *function);
        let taken = of_function().any(|h| h.grant.node == site.offer.node);
        let beside = of_function()
            .filter(|held| {
                self.counts(held, after, ended) && self.operator(held) == Some(site.offer.operator)
            })
            .count();
        site.online
            && !site.leaves
            && !taken
            && memory + version.memory_bytes <= site.offer.memory_bytes
            && cpu + version.cpu_milli <= site.offer.cpu_milli
            && terms
                .max_memory_price
                .is_none_or(|max| site.offer.ask.memory <= max)
            && terms
                .max_cpu_price
                .is_none_or(|max| site.offer.ask.cpu <= max)
            && (terms.regions.is_empty() || terms.regions.contains(&site.offer.region))
            && site.offer.score >= terms.min_score
            && terms
                .max_per_operator
                .is_none_or(|max| beside < max as usize)
    }

    /// Whether the lease is one of the replicas that the order wants, on a node that is there to stay.
    /// One that ended since is taken to have counted or not, as `ended` says.
    pub(crate) fn counts(&self, held: &Held, after: &Scheduler, ended: bool) -> bool {
        let Some(order) = after.order(&held.grant.function) else {
            return false;
        };
        let version = held.grant.version;
        let wanted = version == order.target || order.canary.is_some_and(|(c, _)| c == version);
        let moving = after
            .lease(&held.grant.lease)
            .map_or(!ended, |lease| lease.moving);
        let site = self.sites.get(&held.grant.node);
        let there = site.is_some_and(|site| site.online && !site.leaves);
        wanted && there && !moving && held.phase != Phase::Draining
    }

    pub(crate) fn operator(&self, held: &Held) -> Option<OperatorId> {
        self.sites
            .get(&held.grant.node)
            .map(|site| site.offer.operator)
    }

    pub(crate) fn room(&self, node: &NodeId) -> Check {
        let (memory, cpu) = self.used(node);
        let site = &self.sites[node].offer;
        demand(memory <= site.memory_bytes && cpu <= site.cpu_milli, || {
            format!("{node} holds {memory} bytes and {cpu} of {site:?}")
        })
    }
}
