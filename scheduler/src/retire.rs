//! Leases that an order does not need any more: ended when they do not answer, drained when they do and enough others
//! answer.

use crate::action::{Action, Why};
use crate::order::{Cost, Timestamp};
use crate::reconcile::Role;
use crate::rows::{LeaseRow, OrderRow};
use crate::scheduler::Scheduler;
use crate::slab::{LeaseIx, OrderIx};

impl Scheduler {
    pub(crate) fn retire(&mut self, order: OrderIx, out: &mut Vec<Action>) {
        self.drop_surplus(order, out);
        let (target, canary) = self.orders[order].wanted();
        let wanted = target + canary;
        let mut available = self.tally(order).available;
        for (lease, role) in self.replaced(order) {
            if !self.may_act(out) {
                return self.mark(order);
            }
            let why = match role {
                Role::Old => Why::Replaced,
                _ => Why::Moved,
            };
            let ready = self.leases[lease].is_ready();
            if role == Role::Lost {
                // Its node may come back before another one is ready.
                if self.ready_kept(order) >= wanted {
                    self.end(lease, why, out);
                }
            } else if !ready {
                self.end(lease, why, out);
            } else if available > wanted {
                available -= 1;
                self.drain(lease, why, out);
            }
        }
    }

    /// Fewer replicas are wanted than there are: first those that do not answer, then the dearest, then the youngest.
    /// Where target and canary share anew, one that answers stays until the other's does.
    fn drop_surplus(&mut self, order: OrderIx, out: &mut Vec<Action>) {
        let (target, canary) = self.orders[order].wanted();
        let mut available = self.tally(order).available;
        for (role, wanted) in [(Role::Target, target), (Role::Canary, canary)] {
            let mut held = self.with_role(order, role);
            let surplus = held.len().saturating_sub(wanted as usize);
            if surplus == 0 {
                continue;
            }
            held.sort_by_key(|lease| {
                let row = &self.leases[*lease];
                core::cmp::Reverse((!row.is_ready(), self.dearness(*lease)))
            });
            for lease in held.into_iter().take(surplus) {
                if !self.may_act(out) {
                    return self.mark(order);
                }
                if !self.leases[lease].is_ready() {
                    self.end(lease, Why::Surplus, out);
                } else if available > target + canary {
                    available -= 1;
                    self.drain(lease, Why::Surplus, out);
                }
            }
        }
    }

    /// Leases that are to be replaced, those first that are dearest to keep.
    fn replaced(&self, order: OrderIx) -> Vec<(LeaseIx, Role)> {
        let row = &self.orders[order];
        let mut replaced: Vec<_> = row
            .leases
            .iter()
            .map(|lease| (*lease, self.role(row, &self.leases[*lease])))
            .filter(|(_, role)| matches!(role, Role::Old | Role::Leaving | Role::Lost))
            .collect();
        replaced.sort_by_key(|(lease, role)| {
            let leaves = *role != Role::Old && self.leaves(*lease);
            core::cmp::Reverse((leaves, self.dearness(*lease)))
        });
        replaced
    }

    fn leaves(&self, lease: LeaseIx) -> bool {
        self.nodes[self.leases[lease].node].leaves.is_some()
    }

    fn ready_kept(&self, order: OrderIx) -> u32 {
        let tally = self.tally(order);
        tally.target + tally.canary - tally.loading
    }

    fn with_role(&self, order: OrderIx, role: Role) -> Vec<LeaseIx> {
        let row = &self.orders[order];
        let leases = row.leases.iter().copied();
        let of = |lease: &LeaseRow, row: &OrderRow| self.role(row, lease) == role;
        leases.filter(|l| of(&self.leases[*l], row)).collect()
    }

    /// How dear a lease is to keep; of equals the youngest.
    pub(crate) fn dearness(&self, lease: LeaseIx) -> (Cost, u64) {
        let row = &self.leases[lease];
        (row.price.cost(&row.version), row.seq)
    }

    /// When the order is to be looked at though nothing happens.
    pub(crate) fn next_look(&self, order: OrderIx) -> Option<Timestamp> {
        let row = &self.orders[order];
        let scale = row.scale.next(&row.terms).filter(|_| !row.withdrawn);
        let retries = row.ticket.is_some();
        let retry = Some(row.retry_at).filter(|at| retries && *at > self.now);
        let again = row.avoid.values().min().copied().filter(|_| retries);
        [scale, retry, again].into_iter().flatten().min()
    }
}
