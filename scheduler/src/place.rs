//! One more replica of an order: taken back from the drain, won at auction, or in the place of an old version.

use crate::action::{Action, Cause, Why};
use crate::auction::meets;
use crate::order::Version;
use crate::reconcile::{Role, Tally};
use crate::rows::{LeaseRow, Phase};
use crate::scheduler::Scheduler;
use crate::slab::{LeaseIx, NodeIx, OrderIx};

impl Scheduler {
    /// One more replica.
    pub(crate) fn place(
        &mut self,
        order: OrderIx,
        version: Version,
        wanted: u32,
        tally: &Tally,
        out: &mut Vec<Action>,
    ) -> Result<(), Cause> {
        if let Some(lease) = self.resumable(order, &version) {
            self.resume(lease, out);
            return Ok(());
        }
        let rollout = self.orders[order].terms.rollout;
        // Target and canary share anew by adding first.
        let on_trial = u32::from(self.orders[order].canary.is_some());
        let most = wanted.saturating_add(rollout.surge.max(on_trial));
        let may_add = tally.kept() + tally.old < most;
        let winner = self.cheapest(order, &version);
        if let (true, Some(node)) = (may_add, winner) {
            self.grant(order, version, node, false, out);
            return Ok(());
        }
        let may_break = tally.swapped < rollout.unavailable && self.orders[order].failures == 0;
        if let Some((lease, node)) = self.swappable(order, &version, may_break) {
            let before = &self.leases[lease];
            let broken = before.is_ready() || before.swapped;
            self.end(lease, Why::Replaced, out);
            self.grant(order, version, node, broken, out);
            return Ok(());
        }
        let settled = tally.loading == 0 && tally.draining == 0;
        match winner {
            None if may_add => Err(self.diagnose(order, &version)),
            Some(_) if may_break && settled && tally.available >= wanted => {
                if let Some(lease) = self.dearest_old(order) {
                    self.drain(lease, Why::Replaced, out);
                }
                Err(Cause::Update)
            }
            _ => Err(Cause::Update),
        }
    }

    /// A draining lease that is wanted again.
    fn resumable(&self, order: OrderIx, version: &Version) -> Option<LeaseIx> {
        let full = self.full_operators(order);
        let row = &self.orders[order];
        row.leases.iter().copied().find(|lease| {
            let lease = &self.leases[*lease];
            let at = &self.nodes[lease.node];
            lease.phase == Phase::Draining
                && lease.promise.is_none()
                && !lease.moving
                && lease.version == *version
                && at.is_open()
                && meets(row, at)
                && !full.contains(&at.operator)
        })
    }

    /// The cheapest node on which a lease of an old version can make room for the new one at once. One that answers may
    /// go only if the update may break something.
    fn swappable(
        &self,
        order: OrderIx,
        version: &Version,
        may_break: bool,
    ) -> Option<(LeaseIx, NodeIx)> {
        let row = &self.orders[order];
        let full = self.full_operators(order);
        let fits = |lease: &LeaseRow| {
            let at = &self.nodes[lease.node];
            at.free_memory().saturating_add(lease.version.memory_bytes) >= version.memory_bytes
                && at.free_cpu().saturating_add(lease.version.cpu_milli) >= version.cpu_milli
                && meets(row, at)
                && !full.contains(&at.operator)
                && !row.avoid.contains_key(&at.id)
        };
        let old = row.leases.iter().copied().filter(|lease| {
            let lease = &self.leases[*lease];
            self.role(row, lease) == Role::Old && (may_break || !lease.is_ready()) && fits(lease)
        });
        let places = old.map(|lease| (lease, self.leases[lease].node));
        places.min_by_key(|(_, node)| self.rank(*node, version))
    }

    fn dearest_old(&self, order: OrderIx) -> Option<LeaseIx> {
        let row = &self.orders[order];
        let old = row.leases.iter().copied().filter(|lease| {
            let lease = &self.leases[*lease];
            self.role(row, lease) == Role::Old && lease.is_ready()
        });
        old.max_by_key(|lease| self.dearness(*lease))
    }
}
