//! One order brought to what it wants: replicas placed, versions changed, leases that are not needed ended.
//!
//! Runs on the order's present state alone, so that it does not matter which event led here; a second run changes
//! nothing.

use crate::action::{Action, Cause, Shortage, Why};
use crate::order::Version;
use crate::rows::{LeaseRow, OrderRow, Phase, Presence};
use crate::scheduler::Scheduler;
use crate::slab::OrderIx;

/// What a lease is to its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A replica of the target.
    Target,
    /// A replica of the canary.
    Canary,
    /// A replica of a version that is not wanted any more.
    Old,
    /// To be replaced: its node leaves, or a cheaper one takes over.
    Leaving,
    /// Its node is silent.
    Lost,
    /// It finishes.
    Draining,
    /// Its node failed.
    Dead,
}

impl Role {
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, Self::Target | Self::Canary)
    }
}

/// An order's leases, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) target: u32,
    pub(crate) canary: u32,
    pub(crate) old: u32,
    pub(crate) draining: u32,
    pub(crate) leaving: u32,
    /// Leases of any version that answer on nodes that are there, draining ones not counted.
    pub(crate) available: u32,
    /// Of target and canary, those that do not answer yet.
    pub(crate) loading: u32,
    /// Of any version, those that took the place of one that answered and do not answer yet.
    pub(crate) swapped: u32,
}

impl Tally {
    pub(crate) fn kept(&self) -> u32 {
        self.target + self.canary
    }
}

impl Scheduler {
    pub(crate) fn role(&self, order: &OrderRow, lease: &LeaseRow) -> Role {
        let node = &self.nodes[lease.node];
        match node.presence {
            Presence::Failed => Role::Dead,
            _ if lease.phase == Phase::Draining => Role::Draining,
            Presence::Offline => Role::Lost,
            Presence::Online if lease.moving || node.leaves.is_some() => Role::Leaving,
            Presence::Online if lease.version == order.target => Role::Target,
            Presence::Online if order.wants(&lease.version) => Role::Canary,
            Presence::Online => Role::Old,
        }
    }

    pub(crate) fn tally(&self, order: OrderIx) -> Tally {
        let row = &self.orders[order];
        let mut tally = Tally::default();
        for lease in row.leases.iter().map(|lease| &self.leases[*lease]) {
            let role = self.role(row, lease);
            match role {
                Role::Target => tally.target += 1,
                Role::Canary => tally.canary += 1,
                Role::Old => tally.old += 1,
                Role::Draining => tally.draining += 1,
                Role::Leaving => tally.leaving += 1,
                Role::Lost | Role::Dead => {}
            }
            if !matches!(role, Role::Lost | Role::Dead) {
                tally.available += u32::from(lease.is_ready());
            }
            if role.is_kept() {
                tally.loading += u32::from(!lease.is_ready());
            }
            if role != Role::Dead {
                tally.swapped += u32::from(lease.phase < Phase::Ready && lease.swapped);
            }
        }
        tally
    }

    pub(crate) fn reconcile(&mut self, order: OrderIx, out: &mut Vec<Action>) {
        let row = &mut self.orders[order];
        row.scale.step(&row.terms, self.now);
        let now = self.now;
        row.avoid.retain(|_, until| *until > now);
        self.bury(order, out);
        self.spread_out(order);
        let short = self.fill(order, out);
        self.retire(order, out);
        if self.orders[order].withdrawn && self.orders[order].leases.is_empty() {
            return self.remove_order(order, out);
        }
        self.say_wanted(order, out);
        self.say_short(order, short, out);
        self.publish(order, out);
        self.set_order_timer(order, self.next_look(order));
    }

    fn say_wanted(&mut self, order: OrderIx, out: &mut Vec<Action>) {
        let row = &mut self.orders[order];
        let wanted = row.wanted();
        if row.told != wanted {
            row.told = wanted;
            out.push(Action::Scaled {
                function: row.function.clone(),
                target: wanted.0,
                canary: wanted.1,
            });
        }
    }

    /// Leases that nothing can save.
    fn bury(&mut self, order: OrderIx, out: &mut Vec<Action>) {
        for lease in self.orders[order].leases.clone() {
            if !self.may_act(out) {
                return self.mark(order);
            }
            let at = &self.nodes[self.leases[lease].node];
            if at.presence == Presence::Failed {
                self.end(lease, Why::NodeFailed, out);
            } else if at.leaves.is_some_and(|when| when <= self.now) {
                self.end(lease, Why::NodeLeft, out);
            }
        }
    }

    /// Where an operator holds more replicas than the order allows (a silent node came back, terms changed), the
    /// youngest move.
    fn spread_out(&mut self, order: OrderIx) {
        let row = &self.orders[order];
        let Some(most) = row.terms.max_per_operator else {
            return;
        };
        let mut held = Vec::new();
        let mut over = Vec::new();
        for lease in &row.leases {
            let of = &self.leases[*lease];
            if self.role(row, of).is_kept() {
                let operator = self.nodes[of.node].operator;
                if held.iter().filter(|o| **o == operator).count() >= most as usize {
                    over.push(*lease);
                } else {
                    held.push(operator);
                }
            }
        }
        for lease in over {
            self.leases[lease].moving = true;
        }
    }

    /// Places what is short. Says what stands in the way of the rest.
    fn fill(&mut self, order: OrderIx, out: &mut Vec<Action>) -> Option<(Version, Cause)> {
        loop {
            let row = &self.orders[order];
            let (wanted_target, wanted_canary) = row.wanted();
            let tally = self.tally(order);
            let canary = row.canary.filter(|_| tally.canary < wanted_canary);
            let version = match canary {
                _ if tally.target < wanted_target => row.target,
                Some((canary, _)) => canary,
                None => return None,
            };
            if !self.may_act(out) {
                self.mark(order);
                return None;
            }
            if self.now < row.retry_at {
                let until = row.retry_at;
                return Some((version, Cause::Backoff { until }));
            }
            let wanted = wanted_target + wanted_canary;
            match self.place(order, version, wanted, &tally, out) {
                Ok(()) => {}
                Err(cause) => return Some((version, cause)),
            }
        }
    }

    pub(crate) fn say_short(
        &mut self,
        order: OrderIx,
        short: Option<(Version, Cause)>,
        out: &mut Vec<Action>,
    ) {
        let tally = self.tally(order);
        let row = &mut self.orders[order];
        if let Some(ticket) = row.ticket.take() {
            self.waiting.leave(order, &ticket);
        }
        let (target, canary) = row.wanted();
        if let Some((version, _)) = &short {
            self.wait(order, version);
        }
        let shortage = short.map(|(_, cause)| Shortage {
            wanted: target + canary,
            placed: tally.kept(),
            cause,
        });
        let row = &mut self.orders[order];
        if shortage != row.shortage {
            row.shortage.clone_from(&shortage);
            out.push(Action::Short {
                function: row.function.clone(),
                shortage,
            });
        }
    }
}
