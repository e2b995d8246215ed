//! What each event changes at once; what follows from it is decided by looking at the orders it touched.

use crate::action::{Action, Why};
use crate::event::{Event, Offer};
use crate::order::{Order, Timestamp};
use crate::rows::{NodeRow, OrderRow, Presence};
use crate::scale::Scale;
use crate::scheduler::{Scheduler, Timer};
use crate::slab::{NodeIx, OperatorIx, OrderIx};

impl Scheduler {
    /// The event was checked.
    pub(crate) fn take(&mut self, event: &Event, out: &mut Vec<Action>) {
        match event {
            Event::NodeOffered(offer) => self.offered(offer, out),
            Event::Ordered(order) => self.ordered(order),
            Event::Tick => {}
            Event::TenantWeighted { tenant, weight } => {
                let tenant = self.waiting.tenant(tenant);
                self.waiting.set_weight(tenant, *weight);
            }
            Event::LeaseAdopted(grant) => self.adopted(grant),
            Event::LeaseReported {
                node,
                lease,
                report,
            } => {
                if let Ok(lease) = self.known_lease(node, lease) {
                    self.reported(lease, *report, out);
                }
            }
            Event::AskChanged { node, .. }
            | Event::NodeScored { node, .. }
            | Event::NodeOnline { node }
            | Event::NodeOffline { node }
            | Event::NodeFailed { node }
            | Event::NodeDrained { node, .. }
            | Event::NodeKept { node } => {
                if let Ok(node) = self.known_node(node) {
                    self.take_of_node(node, event, out);
                }
            }
            Event::CanarySet { function, .. }
            | Event::CanaryPromoted { function }
            | Event::RolledBack { function }
            | Event::Withdrawn { function }
            | Event::Load { function, .. } => {
                if let Ok(order) = self.known_order(function) {
                    self.take_of_order(order, event);
                    self.mark(order);
                }
            }
        }
    }

    fn take_of_node(&mut self, node: NodeIx, event: &Event, out: &mut Vec<Action>) {
        let row = &mut self.nodes[node];
        match event {
            Event::AskChanged { ask, .. } => row.ask = *ask,
            Event::NodeScored { score, .. } => row.score = *score,
            Event::NodeOnline { .. } if row.presence == Presence::Offline => {
                row.presence = Presence::Online;
                self.mark_orders_of(node);
            }
            Event::NodeOffline { .. } if row.presence == Presence::Online => {
                row.presence = Presence::Offline;
                self.mark_orders_of(node);
            }
            Event::NodeFailed { .. } => {
                row.presence = Presence::Failed;
                self.mark_orders_of(node);
            }
            Event::NodeDrained { until, .. } => {
                self.set_leaves(node, Some(*until));
                if self.nodes[node].leases.is_empty() {
                    out.push(Action::NodeEmpty {
                        node: self.nodes[node].id,
                    });
                }
                self.mark_orders_of(node);
            }
            Event::NodeKept { .. } => {
                self.set_leaves(node, None);
                self.mark_orders_of(node);
            }
            _ => {}
        }
        self.show_room(node);
        let row = &self.nodes[node];
        if row.rung.is_some() {
            self.rooms.insert(node, None);
        } else if row.presence == Presence::Failed && row.leases.is_empty() {
            self.forget(node);
        }
    }

    fn set_leaves(&mut self, node: NodeIx, leaves: Option<Timestamp>) {
        let before = core::mem::replace(&mut self.nodes[node].leaves, leaves);
        if let Some(before) = before {
            self.timers.remove(&(before, Timer::Node(node)));
        }
        if let Some(at) = leaves {
            self.timers.insert((at, Timer::Node(node)));
        }
    }

    fn offered(&mut self, offer: &Offer, out: &mut Vec<Action>) {
        let operators = OperatorIx::nth(self.operators.len());
        let operator = *self.operators.entry(offer.operator).or_insert(operators);
        let node = match self.node_ids.get(&offer.node) {
            Some(node) => *node,
            None => {
                let node = self.nodes.insert(NodeRow::new(offer, operator));
                self.node_ids.insert(offer.node, node);
                node
            }
        };
        self.hide(node);
        let row = &mut self.nodes[node];
        row.operator = operator;
        row.region = offer.region.clone();
        row.memory = offer.memory_bytes;
        row.cpu = offer.cpu_milli;
        row.ask = offer.ask;
        row.score = offer.score;
        let was = core::mem::replace(&mut row.presence, Presence::Online);
        if was == Presence::Failed {
            self.end_all(node, Why::NodeFailed, out);
        }
        self.evict(node, out);
        self.show_room(node);
        self.mark_orders_of(node);
        if self.nodes[node].rung.is_some() {
            self.rooms.insert(node, None);
        }
    }

    /// A node that offers less than it holds loses its youngest leases at once: room is never given twice.
    fn evict(&mut self, node: NodeIx, out: &mut Vec<Action>) {
        loop {
            let row = &self.nodes[node];
            if row.held_memory <= row.memory && row.held_cpu <= row.cpu {
                return;
            }
            let leases = row.leases.values().copied();
            let Some(youngest) = leases.max_by_key(|lease| self.leases[*lease].seq) else {
                return;
            };
            self.end(youngest, Why::Shrunk, out);
        }
    }

    fn end_all(&mut self, node: NodeIx, why: Why, out: &mut Vec<Action>) {
        let leases: Vec<_> = self.nodes[node].leases.values().copied().collect();
        for lease in leases {
            self.end(lease, why, out);
        }
    }

    /// Off the shelves.
    fn hide(&mut self, node: NodeIx) {
        let row = &mut self.nodes[node];
        if let Some(rung) = row.rung.take() {
            self.shelf.replace(Some(&rung), None);
            if let Some(own) = self.regions.get_mut(&row.region) {
                own.replace(Some(&rung), None);
            }
        }
    }

    /// The node holds no lease.
    pub(crate) fn forget(&mut self, node: NodeIx) {
        self.hide(node);
        self.set_leaves(node, None);
        self.rooms.remove(&node);
        self.node_ids.remove(&self.nodes[node].id);
        self.nodes.remove(node);
    }

    fn ordered(&mut self, order: &Order) {
        let tenant = self.waiting.tenant(&order.terms.tenant);
        let Some(known) = self.functions.get(&order.function).copied() else {
            self.orders_placed += 1;
            let seq = self.orders_placed;
            let row = OrderRow::new(order, tenant, seq, Scale::new(&order.terms, self.now));
            let new = self.orders.insert(row);
            self.functions.insert(order.function.clone(), new);
            return self.mark(new);
        };
        self.unmark(known);
        let row = &mut self.orders[known];
        if let Some(ticket) = row.ticket.take() {
            self.waiting.leave(known, &ticket);
        }
        let own = row.leases.iter().map(|lease| &self.leases[*lease]);
        let own = own.filter(|lease| lease.promise.is_none());
        let sizes = own.map(|lease| lease.version.size());
        let held = sizes.sum();
        self.waiting.gave(row.tenant, held);
        self.waiting.took(tenant, held);
        row.tenant = tenant;
        row.withdrawn = false;
        row.terms = order.terms.clone();
        row.turn_to(order.version, self.now);
        self.mark(known);
    }

    fn take_of_order(&mut self, order: OrderIx, event: &Event) {
        let ready = self.tally(order).available;
        let now = self.now;
        let row = &mut self.orders[order];
        match event {
            Event::CanarySet {
                version, weight, ..
            } => row.canary = Some((*version, *weight)),
            Event::CanaryPromoted { .. } => {
                if let Some((canary, _)) = row.canary {
                    row.turn_to(canary, now);
                }
            }
            Event::RolledBack { .. } => {
                if row.canary.take().is_none()
                    && let Some(previous) = row.previous
                {
                    row.turn_to(previous, now);
                }
            }
            Event::Withdrawn { .. } => row.withdrawn = true,
            Event::Load {
                in_flight,
                oldest_wait_ms,
                ..
            } => {
                let scaling = row.terms.scaling;
                row.scale
                    .load(&scaling, *in_flight, *oldest_wait_ms, ready, now);
            }
            _ => {}
        }
    }

    /// The order is withdrawn and holds nothing.
    pub(crate) fn remove_order(&mut self, order: OrderIx, out: &mut Vec<Action>) {
        self.unmark(order);
        self.say_short(order, None, out);
        self.publish(order, out);
        self.set_order_timer(order, None);
        self.functions.remove(&self.orders[order].function);
        self.orders.remove(order);
    }
}
