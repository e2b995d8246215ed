//! The scheduler's state, and the way from an event to actions.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::ids::{FunctionName, LeaseId, NodeId, OperatorId};
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::config::Config;
use crate::event::Event;
use crate::order::{Ask, Region, Timestamp};
use crate::rows::{LeaseRow, NodeRow, OrderRow};
use crate::shelf::Shelf;
use crate::slab::{LeaseIx, NodeIx, OperatorIx, OrderIx, Slab};
use crate::waiting::Waiting;

/// Orders and rooms looked at for one event, at most.
const MAX_STEPS: usize = 256;

/// The market's state. It changes by [`Scheduler::apply`] only; two schedulers of one configuration that were given the
/// same events at the same times are equal.
///
/// Serialized it is a snapshot, indexes and all, for a format that takes any key of a map (CBOR, not JSON): the events
/// before it need not be kept. Only what the scheduler itself wrote may be read back; it is not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    pub(crate) config: Config,
    pub(crate) now: Timestamp,
    pub(crate) leases_granted: u64,
    pub(crate) orders_placed: u64,

    pub(crate) nodes: Slab<NodeIx, NodeRow>,
    pub(crate) orders: Slab<OrderIx, OrderRow>,
    pub(crate) leases: Slab<LeaseIx, LeaseRow>,
    pub(crate) node_ids: BTreeMap<NodeId, NodeIx>,
    pub(crate) functions: BTreeMap<FunctionName, OrderIx>,
    pub(crate) lease_ids: BTreeMap<LeaseId, LeaseIx>,
    pub(crate) operators: BTreeMap<OperatorId, OperatorIx>,

    /// All nodes that may win leases, and those of each region.
    pub(crate) shelf: Shelf,
    pub(crate) regions: BTreeMap<Region, Shelf>,
    pub(crate) waiting: Waiting,
    /// Leases that answer, the dearest first.
    pub(crate) dearest: BTreeSet<(Reverse<Ask>, LeaseIx)>,
    pub(crate) timers: BTreeSet<(Timestamp, Timer)>,
    /// Nodes with room that was not offered yet; with how far in the row of those who wait it was.
    pub(crate) rooms: BTreeMap<NodeIx, Option<u64>>,
    /// Orders to be looked at: by priority, then by what their tenant holds, then by age.
    pub(crate) dirty: BTreeSet<(Reverse<u8>, u64, u64, OrderIx)>,
}

/// Whose time may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Timer {
    Lease(LeaseIx),
    Node(NodeIx),
    Order(OrderIx),
}

impl Scheduler {
    /// A market without nodes or orders.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: Timestamp::default(),
            leases_granted: 0,
            orders_placed: 0,
            nodes: Slab::default(),
            orders: Slab::default(),
            leases: Slab::default(),
            node_ids: BTreeMap::new(),
            functions: BTreeMap::new(),
            lease_ids: BTreeMap::new(),
            operators: BTreeMap::new(),
            shelf: Shelf::default(),
            regions: BTreeMap::new(),
            waiting: Waiting::default(),
            dearest: BTreeSet::new(),
            timers: BTreeSet::new(),
            rooms: BTreeMap::new(),
            dirty: BTreeSet::new(),
        }
    }

    /// Takes an event in and says what to do. An event that [`Scheduler::check`] refuses changes nothing but the time.
    /// Time does not go backwards: an earlier `now` counts as the latest one given.
    pub fn apply(&mut self, event: &Event, now: Timestamp) -> Vec<Action> {
        self.now = self.now.max(now);
        let mut out = Vec::new();
        if self.check(event).is_ok() {
            self.take(event, &mut out);
        }
        self.run_timers(&mut out);
        self.settle(&mut out);
        out
    }

    /// When [`Event::Tick`] is due if nothing else happens before. At once, while the last event left work to do.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if !self.rooms.is_empty() || !self.dirty.is_empty() {
            return Some(self.now);
        }
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whether there is room for another decision's actions within the event's bound.
    pub(crate) fn may_act(&self, out: &[Action]) -> bool {
        out.len() + 8 <= self.config.max_actions.max(16)
    }

    fn run_timers(&mut self, out: &mut Vec<Action>) {
        for _ in 0..MAX_STEPS {
            let due = self.timers.first().filter(|(at, _)| *at <= self.now);
            let Some((_, timer)) = due.copied() else {
                return;
            };
            if !self.may_act(out) {
                return;
            }
            self.timers.pop_first();
            match timer {
                Timer::Lease(lease) => self.lease_is_due(lease, out),
                Timer::Node(node) => self.mark_orders_of(node),
                Timer::Order(order) => {
                    self.orders[order].timer = None;
                    self.mark(order);
                }
            }
        }
    }

    /// Room first, to those who wait, in their turn; then the orders that something happened to.
    fn settle(&mut self, out: &mut Vec<Action>) {
        for _ in 0..MAX_STEPS {
            if !self.may_act(out) {
                return;
            }
            if let Some((node, seen)) = self.rooms.pop_first() {
                self.offer(node, seen, out);
            } else if let Some((.., order)) = self.dirty.pop_first() {
                self.orders[order].dirty = None;
                self.reconcile(order, out);
            } else {
                return;
            }
        }
    }

    /// The order is to be looked at.
    pub(crate) fn mark(&mut self, order: OrderIx) {
        let row = &mut self.orders[order];
        if row.dirty.is_none() {
            let share = self.waiting.share(row.tenant);
            row.dirty = Some(share);
            let priority = Reverse(row.terms.priority);
            self.dirty.insert((priority, share, row.seq, order));
        }
    }

    pub(crate) fn unmark(&mut self, order: OrderIx) {
        let row = &mut self.orders[order];
        if let Some(share) = row.dirty.take() {
            let priority = Reverse(row.terms.priority);
            self.dirty.remove(&(priority, share, row.seq, order));
        }
    }

    pub(crate) fn mark_orders_of(&mut self, node: NodeIx) {
        let orders: Vec<_> = self.nodes[node].leases.keys().copied().collect();
        for order in orders {
            self.mark(order);
        }
    }

    /// Puts the lease's time where it belongs.
    pub(crate) fn set_lease_timer(&mut self, lease: LeaseIx, at: Timestamp) {
        let row = &mut self.leases[lease];
        self.timers.remove(&(row.timer, Timer::Lease(lease)));
        row.timer = at;
        self.timers.insert((at, Timer::Lease(lease)));
    }

    pub(crate) fn set_order_timer(&mut self, order: OrderIx, at: Option<Timestamp>) {
        let row = &mut self.orders[order];
        if row.timer == at {
            return;
        }
        if let Some(before) = row.timer {
            self.timers.remove(&(before, Timer::Order(order)));
        }
        row.timer = at;
        if let Some(at) = at {
            self.timers.insert((at, Timer::Order(order)));
        }
    }
}
