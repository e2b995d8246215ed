//! A node has room: who waits gets it in turn; if nobody can use it, the dearest leases move there if that saves more
//! than moving costs.

use crate::action::{Action, Why};
use crate::order::{Ask, Version};
use crate::reconcile::Role;
use crate::rows::{Phase, Promise};
use crate::scheduler::Scheduler;
use crate::slab::{LeaseIx, NodeIx, OrderIx};

/// Orders looked at in one step.
const LOOKS: usize = 32;
/// Of the dearest leases, how many are looked at when a cheap node has room. The others are compared when their terms
/// end.
const DEAREST: usize = 8;

impl Scheduler {
    /// In turn for the first ones; if none of those could use the room, all by age, which does not change while they
    /// are gone through over several events.
    pub(crate) fn offer(&mut self, node: NodeIx, seen: Option<u64>, out: &mut Vec<Action>) {
        if self.nodes[node].rung.is_none() {
            return;
        }
        if self.waiting.is_empty() {
            return self.undercut(node, out);
        }
        let next = match seen {
            None => {
                // Those that are here with an old version may need less than all of the new one's memory.
                self.mark_waiting_of(node);
                let room = self.nodes[node].room(0);
                let first = self.waiting.in_turn(room, 0, true).take(LOOKS);
                first.map(|order| (0, order)).collect::<Vec<_>>()
            }
            Some(after) => self.waiting.by_age(after).take(LOOKS).collect(),
        };
        for (_, order) in &next {
            if !self.may_act(out) {
                self.rooms.insert(node, seen);
                return;
            }
            if self.could_use(*order, node) {
                let before = self.leases_granted;
                self.unmark(*order);
                self.reconcile(*order, out);
                if self.leases_granted != before {
                    self.rooms.insert(node, None);
                    return;
                }
            }
        }
        if next.len() < LOOKS {
            return self.undercut(node, out);
        }
        let last = next.last().map_or(0, |(seq, _)| *seq);
        self.rooms.insert(node, Some(last));
    }

    fn mark_waiting_of(&mut self, node: NodeIx) {
        let here = self.nodes[node].leases.keys().copied();
        let waiting: Vec<_> = here.filter(|o| self.orders[*o].ticket.is_some()).collect();
        for order in waiting {
            self.mark(order);
        }
    }

    /// Whether a replica that the order lacks might go there; its own leases of old versions may make way.
    fn could_use(&self, order: OrderIx, node: NodeIx) -> bool {
        let row = &self.orders[order];
        if let Some(own) = self.nodes[node].leases.get(&order) {
            return self.role(row, &self.leases[*own]) == Role::Old;
        }
        let canary = row.canary.map(|(canary, _)| canary);
        [Some(row.target), canary]
            .iter()
            .flatten()
            .any(|version| self.could_win(order, version, node))
    }

    fn undercut(&mut self, node: NodeIx, out: &mut Vec<Action>) {
        let ask = self.nodes[node].ask;
        let dear = self.dearest.iter().take(DEAREST).map(|(_, lease)| *lease);
        let lease = dear.into_iter().find(|lease| {
            let row = &self.leases[*lease];
            let left = row.until.0.saturating_sub(self.now.0);
            saves(row.price, ask, &row.version, left, self.config.move_ms)
                && self.is_settled(row.order)
                && self.could_win(row.order, &row.version, node)
        });
        if let Some(lease) = lease
            && self.may_act(out)
        {
            self.begin_move(lease, out);
            self.rooms.insert(node, None);
        }
    }

    /// The cheapest node gets the replica; the lease ends when it is ready there.
    fn begin_move(&mut self, lease: LeaseIx, out: &mut Vec<Action>) {
        let (order, version) = (self.leases[lease].order, self.leases[lease].version);
        // An operator that holds all it may can still take over from itself.
        self.leases[lease].moving = true;
        if let Some(node) = self.cheapest(order, &version) {
            self.grant(order, version, node, false, out);
            self.publish(order, out);
        } else {
            self.leases[lease].moving = false;
        }
    }

    /// Whether nothing of the order is in progress.
    fn is_settled(&self, order: OrderIx) -> bool {
        let row = &self.orders[order];
        let tally = self.tally(order);
        let busy = tally.loading + tally.old + tally.leaving + tally.draining;
        !row.withdrawn && row.ticket.is_none() && busy == 0
    }

    /// A term is over: the lease goes to who has the better claim, or to a cheaper node, or begins anew.
    pub(crate) fn term_ends(&mut self, lease: LeaseIx, out: &mut Vec<Action>) {
        let row = &self.leases[lease];
        let (order, node, version) = (row.order, row.node, row.version);
        if !self.nodes[node].is_open() {
            // It is being replaced already.
            return self.renew(lease, row.price, out);
        }
        if let Some(waits) = self.better_claim(lease) {
            self.promise(lease, waits);
            return self.drain(lease, Why::Yielded, out);
        }
        let ask = self.nodes[node].ask;
        let fit = crate::auction::meets(&self.orders[order], &self.nodes[node]);
        if self.is_settled(order) {
            self.leases[lease].moving = true;
            let cheapest = self.cheapest(order, &version);
            self.leases[lease].moving = false;
            let (term, cost) = (self.config.term_ms, self.config.move_ms);
            let better = |other: &NodeIx| saves(ask, self.nodes[*other].ask, &version, term, cost);
            if cheapest.filter(|other| !fit || better(other)).is_some() {
                self.begin_move(lease, out);
                // Paid as before until the move is done, which is soon.
                let price = self.leases[lease].price;
                return self.renew(lease, price, out);
            }
        }
        if fit {
            self.renew(lease, ask, out);
        } else {
            self.drain(lease, Why::Unfit, out);
        }
    }

    fn renew(&mut self, lease: LeaseIx, price: Ask, out: &mut Vec<Action>) {
        let until = self.now.plus(self.config.term_ms);
        let phase = self.leases[lease].phase;
        // The row of the dearest knows it by its price.
        self.set_phase(lease, Phase::Granted);
        let row = &mut self.leases[lease];
        row.price = price;
        row.until = until;
        self.set_phase(lease, phase);
        self.set_lease_timer(lease, until);
        let id = self.leases[lease].id;
        out.push(Action::Renew {
            lease: id,
            price,
            until,
        });
    }

    /// Who waits, could use the lease's place, and has a higher priority, or the same and a tenant that holds less for its
    /// weight than this one's would without the lease.
    fn better_claim(&self, lease: LeaseIx) -> Option<OrderIx> {
        let row = &self.leases[lease];
        let holder = &self.orders[row.order];
        let at = &self.nodes[row.node];
        let cpu = at.free_cpu().saturating_add(row.version.cpu_milli);
        let room = at.room(row.version.memory_bytes);
        let turn = self.waiting.in_turn(room, holder.terms.priority, false);
        turn.take(DEAREST).find(|waits| {
            let other = &self.orders[*waits];
            let version: &Version = &other.target;
            let prior = other.terms.priority > holder.terms.priority;
            let poorer = || {
                let without = (holder.tenant, row.version.size());
                self.waiting.poorer(other.tenant, without)
            };
            version.memory_bytes <= room.memory
                && version.cpu_milli <= cpu
                && self.tally(*waits).target + other.promised < other.wanted().0
                && crate::auction::meets(other, at)
                && self.could_host(*waits, row.node)
                && (prior || poorer())
        })
    }

    /// From now on the lease's place counts for who waits, so that no more places are made than are asked for.
    fn promise(&mut self, lease: LeaseIx, waits: OrderIx) {
        let holder = self.orders[self.leases[lease].order].tenant;
        self.waiting.gave(holder, self.leases[lease].version.size());
        let order = &mut self.orders[waits];
        order.promised += 1;
        let promise = Promise {
            order: waits,
            seq: order.seq,
            tenant: order.tenant,
            size: order.target.size(),
        };
        self.waiting.took(promise.tenant, promise.size);
        self.leases[lease].promise = Some(promise);
        let target = self.orders[waits].target;
        if let Some(ticket) = self.orders[waits].ticket.take() {
            self.waiting.leave(waits, &ticket);
            self.wait(waits, &target);
        }
    }

    /// The order lacks a replica of the version.
    pub(crate) fn wait(&mut self, order: OrderIx, version: &Version) {
        let placed = self.tally(order).target;
        let row = &self.orders[order];
        let promised = row.promised > 0 && placed + row.promised >= row.wanted().0;
        let (tenant, turn, wish) = (row.tenant, (promised, row.seq), row.wish(version));
        let ticket = self.waiting.enter(order, tenant, turn, wish);
        self.orders[order].ticket = Some(ticket);
    }

    /// The place is there.
    pub(crate) fn redeem(&mut self, promise: &Promise) {
        self.waiting.gave(promise.tenant, promise.size);
        let order = &mut self.orders[promise.order];
        // Its row may be another's by now, or nobody's.
        let there = self.functions.get(&order.function) == Some(&promise.order);
        if there && order.seq == promise.seq {
            order.promised = order.promised.saturating_sub(1);
            self.mark(promise.order);
        }
    }

    fn could_host(&self, order: OrderIx, node: NodeIx) -> bool {
        !self.nodes[node].leases.contains_key(&order)
            && !self.orders[order].avoid.contains_key(&self.nodes[node].id)
            && self.now >= self.orders[order].retry_at
            && !self
                .full_operators(order)
                .contains(&self.nodes[node].operator)
    }
}

/// Whether a node at the new ask saves more over the time left than both cost while one hands over to the other.
fn saves(old: Ask, new: Ask, version: &Version, left_ms: u64, move_ms: u64) -> bool {
    let (old, new) = (old.cost(version).0, new.cost(version).0);
    // Costs take at most 101 bits; a day's milliseconds at most 27.
    let (left, moving) = (
        u128::from(left_ms.min(1 << 26)),
        u128::from(move_ms.min(1 << 26)),
    );
    old.saturating_sub(new).saturating_mul(left) > new.saturating_mul(moving)
}
