//! Orders that lack replicas, in the order in which they are served when room appears: priority first, then the tenant
//! that holds least for its weight, then the oldest.
//!
//! Orders stand by region and in classes of memory and of the highest ask they take, so that those that could not use the
//! room are not looked at. A tenant's orders of one queue move together when what the tenant holds changes.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::order::{Region, Tenant};
use crate::shelf::memory_class;
use crate::slab::{OrderIx, Slab, TenantIx};

/// Priority, highest first, and the classes of memory and of the highest ask.
type Queue = (Reverse<u8>, u32, u32);

/// The region, for orders that name one only.
type Area = Option<Region>;

/// What bears on whom an order waits with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    pub(crate) priority: u8,
    pub(crate) memory: u64,
    pub(crate) max_price: Option<u64>,
    pub(crate) region: Area,
}

/// Room that a node has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'a> {
    pub(crate) memory: u64,
    pub(crate) price: u64,
    pub(crate) region: &'a Region,
}

/// Where an order waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    queue: (Area, Queue),
    tenant: TenantIx,
    /// Rises with each order that was ever placed.
    seq: u64,
}

/// What is known of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    weight: u32,
    /// KiB, processors counted as memory.
    held: u64,
    queues: BTreeMap<(Area, Queue), BTreeSet<(u64, OrderIx)>>,
}

impl Account {
    fn share(&self) -> u64 {
        share(self.held, self.weight)
    }
}

/// What a tenant holds for its weight.
fn share(held: u64, weight: u32) -> u64 {
    held.saturating_mul(1 << 13) / u64::from(weight.max(1))
}

/// All orders that wait, and all tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    tenants: Slab<TenantIx, Account>,
    by_name: BTreeMap<Tenant, TenantIx>,
    /// Tenants that wait in a queue, by share.
    queues: BTreeMap<Area, BTreeMap<Queue, BTreeSet<(u64, TenantIx)>>>,
    by_age: BTreeMap<u64, OrderIx>,
}

impl Waiting {
    pub(crate) fn tenant(&mut self, name: &Tenant) -> TenantIx {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let tenant = self.tenants.insert(Account {
            weight: 1,
            held: 0,
            queues: BTreeMap::new(),
        });
        self.by_name.insert(name.clone(), tenant);
        tenant
    }

    pub(crate) fn set_weight(&mut self, tenant: TenantIx, weight: u32) {
        self.change(tenant, |account| account.weight = weight);
    }

    /// The tenant holds so much more.
    pub(crate) fn took(&mut self, tenant: TenantIx, size: u64) {
        self.change(tenant, |account| account.held += size);
    }

    /// The tenant holds so much less.
    pub(crate) fn gave(&mut self, tenant: TenantIx, size: u64) {
        self.change(tenant, |account| {
            account.held = account.held.saturating_sub(size);
        });
    }

    /// Whether the one who waits would still hold less with its replica than the holder without its own.
    pub(crate) fn poorer(&self, waits: (TenantIx, u64), holds: (TenantIx, u64)) -> bool {
        let (a, b) = (&self.tenants[waits.0], &self.tenants[holds.0]);
        waits.0 != holds.0
            && share(a.held + waits.1, a.weight) < share(b.held.saturating_sub(holds.1), b.weight)
    }

    pub(crate) fn share(&self, tenant: TenantIx) -> u64 {
        self.tenants[tenant].share()
    }

    /// The order waits for a replica.
    pub(crate) fn enter(
        &mut self,
        order: OrderIx,
        tenant: TenantIx,
        seq: u64,
        wish: Wish,
    ) -> Ticket {
        let price = memory_class(wish.max_price.unwrap_or(u64::MAX));
        let turn = (Reverse(wish.priority), memory_class(wish.memory), price);
        let queue = (wish.region, turn);
        let account = &mut self.tenants[tenant];
        let share = account.share();
        let mine = account.queues.entry(queue.clone()).or_default();
        mine.insert((seq, order));
        let area = self.queues.entry(queue.0.clone()).or_default();
        area.entry(turn).or_default().insert((share, tenant));
        self.by_age.insert(seq, order);
        Ticket { queue, tenant, seq }
    }

    pub(crate) fn leave(&mut self, order: OrderIx, ticket: &Ticket) {
        self.by_age.remove(&ticket.seq);
        let account = &mut self.tenants[ticket.tenant];
        let share = account.share();
        let Some(mine) = account.queues.get_mut(&ticket.queue) else {
            return;
        };
        mine.remove(&(ticket.seq, order));
        if !mine.is_empty() {
            return;
        }
        account.queues.remove(&ticket.queue);
        let (area, turn) = &ticket.queue;
        let Some(queues) = self.queues.get_mut(area) else {
            return;
        };
        if let Some(heads) = queues.get_mut(turn) {
            heads.remove(&(share, ticket.tenant));
            if heads.is_empty() {
                queues.remove(turn);
            }
        }
        if queues.is_empty() {
            self.queues.remove(area);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    /// Who waits with at least this priority and might use the room, first served first.
    pub(crate) fn in_turn(&self, room: Room<'_>, least: u8) -> impl Iterator<Item = OrderIx> + '_ {
        let (most, price) = (memory_class(room.memory), memory_class(room.price));
        let areas = [None, Some(room.region.clone())];
        let queues = areas.into_iter().filter_map(|area| {
            let queues = self.queues.get(&area)?;
            Some(
                queues
                    .iter()
                    .map(move |(turn, heads)| (area.clone(), turn, heads)),
            )
        });
        let mut queues = queues
            .flatten()
            .filter(|(_, turn, _)| turn.0.0 >= least && turn.1 <= most && turn.2 >= price)
            .map(|(area, turn, heads)| (*turn, self.of_queue((area, *turn), heads).peekable()))
            .collect::<Vec<_>>();
        core::iter::from_fn(move || {
            let heads = queues.iter_mut().enumerate();
            let heads = heads.filter_map(|(at, (queue, rest))| {
                rest.peek().map(|head| ((queue.0, head.0, head.1), at))
            });
            let (_, at) = heads.min()?;
            queues[at].1.next().map(|(_, _, order)| order)
        })
    }

    /// Who waits and was ordered after `seq`, oldest first.
    pub(crate) fn by_age(&self, after: u64) -> impl Iterator<Item = (u64, OrderIx)> + '_ {
        let later = (
            core::ops::Bound::Excluded(after),
            core::ops::Bound::Unbounded,
        );
        self.by_age.range(later).map(|(seq, order)| (*seq, *order))
    }

    fn of_queue<'a>(
        &'a self,
        queue: (Area, Queue),
        heads: &'a BTreeSet<(u64, TenantIx)>,
    ) -> impl Iterator<Item = (u64, u64, OrderIx)> + 'a {
        heads.iter().flat_map(move |(share, tenant)| {
            let orders = self.tenants[*tenant].queues.get(&queue);
            let orders = orders.into_iter().flatten();
            orders.map(move |(seq, order)| (*share, *seq, *order))
        })
    }

    fn change(&mut self, tenant: TenantIx, change: impl FnOnce(&mut Account)) {
        let account = &mut self.tenants[tenant];
        let before = account.share();
        change(account);
        let after = account.share();
        for (area, turn) in account.queues.keys() {
            let queues = self.queues.get_mut(area);
            if let Some(heads) = queues.and_then(|queues| queues.get_mut(turn)) {
                heads.remove(&(before, tenant));
                heads.insert((after, tenant));
            }
        }
    }
}
