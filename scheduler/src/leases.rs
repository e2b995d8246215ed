//! How leases begin and end, and what that changes on their nodes.

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::LeaseId;

use core::cmp::Reverse;

use crate::action::{Action, Cause, Grant, Why};
use crate::event::Report;
use crate::ladder::Rung;
use crate::order::Version;
use crate::rows::{LeaseRow, Phase, Presence};
use crate::scheduler::{Scheduler, Timer};
use crate::shelf::Shelf;
use crate::slab::{LeaseIx, NodeIx, OrderIx};

/// How often the wait after a failure doubles: to 5 min 20 s where it begins with 10 s.
const MOST_DOUBLINGS: u32 = 5;
/// Failures in a row after which the next try waits, wherever it would be.
const PATIENCE: u32 = 3;

impl Scheduler {
    /// The node has won, and has the room.
    pub(crate) fn grant(
        &mut self,
        order: OrderIx,
        version: Version,
        node: NodeIx,
        swapped: bool,
        out: &mut Vec<Action>,
    ) {
        let grant = Grant {
            lease: self.next_lease_id(),
            function: self.orders[order].function.clone(),
            version,
            node: self.nodes[node].id,
            price: self.nodes[node].ask,
            until: self.now.plus(self.config.term_ms),
        };
        self.hold(order, node, &grant, swapped);
        out.push(Action::Grant(grant));
    }

    /// A lease that was granted before there was this market.
    pub(crate) fn adopted(&mut self, grant: &Grant) {
        let places = (
            self.known_order(&grant.function),
            self.known_node(&grant.node),
        );
        if let (Ok(order), Ok(node)) = places {
            self.leases_granted += 1;
            self.hold(order, node, grant, false);
            self.mark(order);
        }
    }

    fn hold(&mut self, order: OrderIx, node: NodeIx, grant: &Grant, swapped: bool) {
        let (id, version) = (grant.lease, grant.version);
        let timer = self.now.plus(self.config.load_ms);
        let lease = self.leases.insert(LeaseRow {
            id,
            seq: self.leases_granted,
            order,
            version,
            node,
            price: grant.price,
            phase: Phase::Granted,
            until: grant.until,
            timer,
            moving: false,
            promise: None,
            swapped,
        });
        self.timers.insert((timer, Timer::Lease(lease)));
        self.lease_ids.insert(id, lease);
        let at = &mut self.nodes[node];
        at.leases.insert(order, lease);
        at.held_memory += version.memory_bytes;
        at.held_cpu += version.cpu_milli;
        self.show_room(node);
        let row = &mut self.orders[order];
        row.leases.push(lease);
        self.waiting.took(row.tenant, version.size());
    }

    /// No new request goes to a lease that answers.
    pub(crate) fn drain(&mut self, lease: LeaseIx, why: Why, out: &mut Vec<Action>) {
        let until = self.now.plus(self.config.drain_ms);
        self.set_phase(lease, Phase::Draining);
        self.set_lease_timer(lease, until);
        out.push(Action::Drain {
            lease: self.leases[lease].id,
            until,
            why,
        });
        self.mark(self.leases[lease].order);
    }

    /// A draining lease answers again.
    pub(crate) fn resume(&mut self, lease: LeaseIx, out: &mut Vec<Action>) {
        self.set_phase(lease, Phase::Ready);
        let until = self.leases[lease].until;
        self.set_lease_timer(lease, until);
        out.push(Action::Resume {
            lease: self.leases[lease].id,
        });
    }

    /// The lease is over; its room is offered, its order looked at.
    pub(crate) fn end(&mut self, lease: LeaseIx, why: Why, out: &mut Vec<Action>) {
        self.set_phase(lease, Phase::Draining);
        let row = &self.leases[lease];
        let (id, node, order, version) = (row.id, row.node, row.order, row.version);
        let promise = row.promise;
        self.timers.remove(&(row.timer, Timer::Lease(lease)));
        self.lease_ids.remove(&id);
        self.leases.remove(lease);

        let holder = &mut self.orders[order];
        holder.leases.retain(|held| *held != lease);
        match promise {
            Some(promise) => self.redeem(&promise),
            None => self.waiting.gave(holder.tenant, version.size()),
        }
        out.push(Action::End { lease: id, why });
        self.mark(order);

        let at = &mut self.nodes[node];
        at.leases.remove(&order);
        at.held_memory = at.held_memory.saturating_sub(version.memory_bytes);
        at.held_cpu = at.held_cpu.saturating_sub(version.cpu_milli);
        self.show_room(node);
        let at = &self.nodes[node];
        if at.rung.is_some() {
            self.rooms.insert(node, None);
        } else if at.leases.is_empty() && at.presence == Presence::Failed {
            self.forget(node);
        } else if at.leases.is_empty() && at.leaves.is_some() {
            out.push(Action::NodeEmpty { node: at.id });
        }
    }

    /// The node could not run it. It is tried elsewhere; after a few failures in a row, later.
    pub(crate) fn fail(&mut self, lease: LeaseIx, out: &mut Vec<Action>) {
        let row = &self.leases[lease];
        let (node, order, version) = (row.node, row.order, row.version);
        let id = self.nodes[node].id;
        let offline = self.nodes[node].presence != Presence::Online;
        let holder = &mut self.orders[order];
        if offline || !holder.wants(&version) {
            return self.end(lease, Why::Failed, out);
        }
        holder.failures = holder.failures.saturating_add(1);
        let doubled = self.config.avoid_ms << (holder.failures - 1).min(MOST_DOUBLINGS);
        let until = self.now.plus(doubled);
        holder.avoid.insert(id, until);
        if holder.failures >= PATIENCE {
            holder.retry_at = until;
        }
        self.stay(order);
        self.end(lease, Why::Failed, out);
    }

    /// Moves that were begun are off.
    pub(crate) fn stay(&mut self, order: OrderIx) {
        for lease in &self.orders[order].leases {
            self.leases[*lease].moving = false;
        }
    }

    /// What the node says of a lease that is its own.
    pub(crate) fn reported(&mut self, lease: LeaseIx, report: Report, out: &mut Vec<Action>) {
        let order = self.leases[lease].order;
        let phase = self.leases[lease].phase;
        match (report, phase) {
            (Report::Failed | Report::Drained, Phase::Draining) => {
                self.end(lease, Why::Drained, out)
            }
            (Report::Failed, _) => self.fail(lease, out),
            (Report::Loading, Phase::Granted) => self.set_phase(lease, Phase::Loading),
            (Report::Loading, Phase::Ready) => {
                self.set_phase(lease, Phase::Loading);
                self.set_lease_timer(lease, self.now.plus(self.config.load_ms));
                self.mark(order);
            }
            (Report::Ready, Phase::Granted | Phase::Loading) => {
                self.leases[lease].swapped = false;
                self.set_phase(lease, Phase::Ready);
                self.set_lease_timer(lease, self.leases[lease].until);
                let row = &mut self.orders[order];
                row.failures = 0;
                row.retry_at = self.now;
                self.mark(order);
            }
            _ => {}
        }
    }

    pub(crate) fn lease_is_due(&mut self, lease: LeaseIx, out: &mut Vec<Action>) {
        match self.leases[lease].phase {
            Phase::Draining => self.end(lease, Why::Drained, out),
            Phase::Ready => self.term_ends(lease, out),
            Phase::Granted | Phase::Loading => self.fail(lease, out),
        }
    }

    pub(crate) fn set_phase(&mut self, lease: LeaseIx, phase: Phase) {
        let row = &mut self.leases[lease];
        let key = (Reverse(row.price), lease);
        if row.is_ready() {
            self.dearest.remove(&key);
        }
        row.phase = phase;
        if phase == Phase::Ready {
            self.dearest.insert(key);
        }
    }

    /// Brings the shelves up to what the node offers now.
    pub(crate) fn show_room(&mut self, node: NodeIx) {
        let at = &self.nodes[node];
        let now = at.is_open().then(|| Rung {
            ask: at.ask,
            score: at.score,
            id: at.id,
            node,
            operator: at.operator,
            free_memory: at.free_memory(),
            free_cpu: at.free_cpu(),
        });
        let before = at.rung;
        if now == before {
            return;
        }
        if !self.regions.contains_key(&at.region) {
            self.regions.insert(at.region.clone(), Shelf::default());
        }
        if now.is_some() && (self.shelf.is_empty() || self.regions[&at.region].is_empty()) {
            self.mark_blind();
        }
        let at = &self.nodes[node];
        self.shelf.replace(before.as_ref(), now.as_ref());
        if let Some(own) = self.regions.get_mut(&at.region) {
            own.replace(before.as_ref(), now.as_ref());
        }
        self.nodes[node].rung = now;
    }

    /// Orders that were told that there is no node are told better.
    fn mark_blind(&mut self) {
        let waiting = self.waiting.by_age(0).map(|(_, order)| order);
        let blind = waiting.filter(|order| {
            let shortage = self.orders[*order].shortage.as_ref();
            shortage.is_some_and(|short| matches!(short.cause, Cause::NoNode | Cause::NoRegion))
        });
        for order in blind.collect::<Vec<_>>() {
            self.mark(order);
        }
    }

    fn next_lease_id(&mut self) -> LeaseId {
        self.leases_granted += 1;
        let mut drawn = [0; 40];
        drawn[..32].copy_from_slice(&self.config.seed);
        drawn[32..].copy_from_slice(&self.leases_granted.to_be_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&Digest::of(&drawn).as_bytes()[..16]);
        LeaseId::from_random(id)
    }
}
