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
    turn: Turn,
}

/// An order's place among its tenant's: those that were promised all that they lack after the others, then by age. The
/// number rises with each order that was ever placed.
type Turn = (bool, u64);

/// What is known of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    weight: u32,
    /// KiB, processors counted as memory.
    held: u64,
    queues: BTreeMap<(Area, Queue), BTreeSet<(Turn, OrderIx)>>,
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

    /// Whether the one who waits holds less for its weight than the holder would without what it gives: what
    /// [`Self::in_turn`] will say when that is given, and never both ways.
    pub(crate) fn poorer(&self, waits: TenantIx, without: (TenantIx, u64)) -> bool {
        let (holder, given) = (&self.tenants[without.0], without.1);
        let left = share(holder.held.saturating_sub(given), holder.weight);
        waits != without.0 && self.tenants[waits].share() < left
    }

    /// All tenants by name, with their weights and what they hold.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = (&Tenant, u32, u64)> {
        let all = self.by_name.iter();
        all.map(|(name, ix)| (name, self.tenants[*ix].weight, self.tenants[*ix].held))
    }

    pub(crate) fn share(&self, tenant: TenantIx) -> u64 {
        self.tenants[tenant].share()
    }

    /// The order waits for a replica.
    pub(crate) fn enter(
        &mut self,
        order: OrderIx,
        tenant: TenantIx,
        turn: Turn,
        wish: Wish,
    ) -> Ticket {
        let price = memory_class(wish.max_price.unwrap_or(u64::MAX));
        let class = (Reverse(wish.priority), memory_class(wish.memory), price);
        let queue = (wish.region, class);
        let account = &mut self.tenants[tenant];
        let share = account.share();
        let mine = account.queues.entry(queue.clone()).or_default();
        mine.insert((turn, order));
        let area = self.queues.entry(queue.0.clone()).or_default();
        area.entry(class).or_default().insert((share, tenant));
        self.by_age.insert(turn.1, order);
        Ticket {
            queue,
            tenant,
            turn,
        }
    }

    pub(crate) fn leave(&mut self, order: OrderIx, ticket: &Ticket) {
        self.by_age.remove(&ticket.turn.1);
        let account = &mut self.tenants[ticket.tenant];
        let share = account.share();
        let Some(mine) = account.queues.get_mut(&ticket.queue) else {
            return;
        };
        mine.remove(&(ticket.turn, order));
        if !mine.is_empty() {
            return;
        }
        account.queues.remove(&ticket.queue);
        let (area, class) = &ticket.queue;
        let Some(queues) = self.queues.get_mut(area) else {
            return;
        };
        if let Some(heads) = queues.get_mut(class) {
            heads.remove(&(share, ticket.tenant));
            if heads.is_empty() {
                queues.remove(class);
            }
        }
        if queues.is_empty() {
            self.queues.remove(area);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    /// Who waits with at least this priority and might use the room, first served first; without those that were promised
    /// all that they lack, if they are not `all` asked for.
    pub(crate) fn in_turn(
        &self,
        room: Room<'_>,
        least: u8,
        all: bool,
    ) -> impl Iterator<Item = OrderIx> + '_ {
        let (most, price) = (memory_class(room.memory), memory_class(room.price));
        let areas = [None, Some(room.region.clone())];
        let queues = areas.into_iter().filter_map(|area| {
            let queues = self.queues.get(&area)?;
            Some(
                queues
                    .iter()
                    .map(move |(class, heads)| (area.clone(), class, heads)),
            )
        });
        let mut queues = queues
            .flatten()
            .filter(|(_, class, _)| class.0.0 >= least && class.1 <= most && class.2 >= price)
            .map(|(area, class, heads)| {
                let orders = self.of_queue((area, *class), heads, all);
                (*class, orders.peekable())
            })
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
        all: bool,
    ) -> impl Iterator<Item = (u64, Turn, OrderIx)> + 'a {
        heads.iter().flat_map(move |(share, tenant)| {
            let orders = self.tenants[*tenant].queues.get(&queue);
            let orders = orders.into_iter().flatten();
            let orders = orders.take_while(move |(turn, _)| all || !turn.0);
            orders.map(move |(turn, order)| (*share, *turn, *order))
        })
    }

    fn change(&mut self, tenant: TenantIx, change: impl FnOnce(&mut Account)) {
        let account = &mut self.tenants[tenant];
        let before = account.share();
        change(account);
        let after = account.share();
        for (area, class) in account.queues.keys() {
            let queues = self.queues.get_mut(area);
            if let Some(heads) = queues.and_then(|queues| queues.get_mut(class)) {
                heads.remove(&(before, tenant));
                heads.insert((after, tenant));
            }
        }
    }
}
