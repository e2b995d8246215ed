//! Places that are shared fairly between the addresses that callers come from.
//!
//! There is no number that suits one address: behind one there may be a thousand people, or one who wants to keep the
//! others out. So an address may take every place that nobody else wants, and loses them first when somebody does:
//!
//! - A place that becomes free goes to the address that has the fewest.
//! - Who finds no free place, and comes from an address that has fewer than the one with the most, has one of the
//!   latter's taken back: the one whose connection has been silent longest.
//! - Who must wait, waits in a room of bounded size. When it is full, the newest who waits for the address with the
//!   most waiting is sent away, if that is more than the newcomer's own.
//!
//! Nothing here waits or reads a clock; see [`Place`] for how a connection tells that it lives.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// Whom a connection is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// One IPv4 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address: what a network gives to one customer at least.
    V6(u64),
    /// A socket of this machine.
    Unnamed,
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// The places.
#[derive(Debug)]
pub struct Shares {
    /// How many may wait.
    room: usize,
    /// Whether places are taken back.
    evicts: bool,
    /// How many one address may have, and wait for, at once.
    most_of_one: usize,
    table: Mutex<Table>,
}

/// What came of asking for a place.
#[derive(Debug)]
pub enum Asked {
    /// Here it is.
    Place(Place),
    /// It comes when it is this one's turn.
    Wait(Ticket),
    /// Too many wait, or the address has all that one may have.
    Refused,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    shares: Arc<Shares>,
    source: Source,
    number: u64,
    tenant: Arc<Tenant>,
}

/// A place in the waiting room, given up when dropped.
#[derive(Debug)]
pub struct Ticket {
    shares: Arc<Shares>,
    source: Source,
    number: u64,
    place: oneshot::Receiver<Place>,
}

/// What is known of who has a place.
#[derive(Debug, Default)]
struct Tenant {
    /// It was told to leave.
    leaves: AtomicBool,
    told: Notify,
    last_sign: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    free: usize,
    waiting: usize,
    /// All places were taken back.
    closed: bool,
    /// Rises with each who asks.
    next: u64,
    sources: HashMap<Source, OfSource>,
}

/// Who came from one address. Whose place was taken back is not counted any more.
#[derive(Debug, Default)]
struct OfSource {
    placed: HashMap<u64, Arc<Tenant>>,
    waiting: VecDeque<(u64, oneshot::Sender<Place>)>,
}

impl Shares {
    /// So many places, and so many who may wait for one. With `evicts`, places are taken back as the module says;
    /// without, they are only handed out fairly.
    pub fn new(places: usize, room: usize, evicts: bool) -> Arc<Self> {
        Self::make(places, room, evicts, usize::MAX)
    }

    /// With `evicts`, and no address has or waits for more than so many, whether others want them or not.
    pub fn with_most_of_one(places: usize, room: usize, most_of_one: usize) -> Arc<Self> {
        Self::make(places, room, true, most_of_one)
    }

    fn make(places: usize, room: usize, evicts: bool, most_of_one: usize) -> Arc<Self> {
        let table = Table {
            free: places,
            ..Table::default()
        };
        Arc::new(Self {
            room,
            evicts,
            most_of_one,
            table: Mutex::new(table),
        })
    }

    /// Asks for a place. Whoever has to leave for it is told at once.
    pub fn ask(self: &Arc<Self>, source: Source) -> Asked {
        let mut table = self.lock();
        if table.of(source) >= self.most_of_one {
            return Asked::Refused;
        }
        let number = table.next;
        table.next += 1;
        if table.free > 0 {
            table.free -= 1;
            return Asked::Place(self.seat(&mut table, source, number));
        }
        if self.evicts {
            table.make_way_for(source);
        }
        if table.waiting >= self.room && !table.send_one_away_for(source) {
            return Asked::Refused;
        }
        let (sender, place) = oneshot::channel();
        table.waiting += 1;
        let of_source = table.sources.entry(source).or_default();
        of_source.waiting.push_back((number, sender));
        Asked::Wait(Ticket {
            shares: Arc::clone(self),
            source,
            number,
            place,
        })
    }

    /// Takes all places back, and from now on every one as soon as it is given.
    pub fn take_all_back(&self) {
        let mut table = self.lock();
        table.closed = true;
        let placed = table.sources.values().flat_map(|of| of.placed.values());
        placed.for_each(|tenant| tenant.tell_to_leave());
    }

    fn seat(self: &Arc<Self>, table: &mut Table, source: Source, number: u64) -> Place {
        let tenant = Arc::new(Tenant::default());
        if table.closed {
            tenant.tell_to_leave();
        }
        let of_source = table.sources.entry(source).or_default();
        of_source.placed.insert(number, Arc::clone(&tenant));
        Place {
            shares: Arc::clone(self),
            source,
            number,
            tenant,
        }
    }

    /// Takes a place back and gives it to the next.
    fn release(self: &Arc<Self>, source: Source, number: u64) {
        let mut table = self.lock();
        if let Some(of_source) = table.sources.get_mut(&source) {
            of_source.placed.remove(&number);
            table.forget_if_empty(source);
        }
        let Some((source, number, waits)) = table.next_in_turn() else {
            table.free += 1;
            return;
        };
        let place = self.seat(&mut table, source, number);
        drop(table);
        // One who has just given up leaves the place to the one after: by the drop of what was not taken.
        let _ = waits.send(place);
    }

    /// What the lock guards is whole after every statement that could panic.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Waits for the place; `None` when there is none to be had.
    pub async fn place(self) -> Option<Place> {
        match self {
            Self::Place(place) => Some(place),
            Self::Wait(mut ticket) => ticket.place().await,
            Self::Refused => None,
        }
    }
}

impl Table {
    /// Places that an address has, and waits for.
    fn of(&self, source: Source) -> usize {
        let of = self.sources.get(&source);
        of.map_or(0, |of| of.placed.len() + of.waiting.len())
    }

    /// Has the address with the most places give one back, if it has more than this one would then have.
    fn make_way_for(&mut self, source: Source) {
        let own = self.of(source);
        let most = self.sources.values_mut().max_by_key(|of| of.placed.len());
        let Some(most) = most.filter(|most| most.placed.len() > own + 1) else {
            return;
        };
        let silence = |tenant: &Tenant| tenant.last_sign.load(Relaxed);
        let most_silent = most.placed.iter().min_by_key(|(_, tenant)| silence(tenant));
        if let Some(number) = most_silent.map(|(number, _)| *number)
            && let Some(tenant) = most.placed.remove(&number)
        {
            tenant.tell_to_leave();
        }
    }

    /// Makes room for one who waits, at the cost of the address with the most waiting.
    fn send_one_away_for(&mut self, source: Source) -> bool {
        let own = self.sources.get(&source).map_or(0, |own| own.waiting.len());
        let most = self.sources.values_mut().max_by_key(|of| of.waiting.len());
        let Some(most) = most.filter(|most| most.waiting.len() > own + 1) else {
            return false;
        };
        most.waiting.pop_back();
        self.waiting -= 1;
        true
    }

    /// Whose turn it is: the address with the fewest places, and there who came first.
    fn next_in_turn(&mut self) -> Option<(Source, u64, oneshot::Sender<Place>)> {
        if self.waiting == 0 {
            return None;
        }
        let turn = |of: &OfSource| Some((of.placed.len(), of.waiting.front()?.0));
        let waiting = self.sources.iter();
        let waiting = waiting.filter_map(|(source, of)| Some((turn(of)?, *source)));
        let (_, source) = waiting.min_by_key(|(turn, _)| *turn)?;
        let (number, waits) = self.sources.get_mut(&source)?.waiting.pop_front()?;
        self.waiting -= 1;
        Some((source, number, waits))
    }

    fn forget_if_empty(&mut self, source: Source) {
        let empty = |of: &OfSource| of.placed.is_empty() && of.waiting.is_empty();
        if self.sources.get(&source).is_some_and(empty) {
            self.sources.remove(&source);
        }
    }
}

impl Tenant {
    fn tell_to_leave(&self) {
        self.leaves.store(true, Relaxed);
        // Who has a place waits by itself, and the notice is kept for it.
        self.told.notify_one();
    }

    fn leaves(&self) -> bool {
        self.leaves.load(Relaxed)
    }
}

impl Place {
    /// Notes that the connection gave a sign of life at this time, on any clock that rises.
    pub fn sign_of_life(&self, at: u64) {
        self.tenant.last_sign.store(at, Relaxed);
    }

    /// Waits until the place is taken back. The connection is to end then. At most one task may wait.
    pub async fn taken_back(&self) {
        while !self.tenant.leaves() {
            self.tenant.told.notified().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shares.release(self.source, self.number);
    }
}

impl Ticket {
    /// Waits for the place; `None` when the room was needed for others.
    pub async fn place(&mut self) -> Option<Place> {
        (&mut self.place).await.ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut table = self.shares.lock();
        if let Some(of_source) = table.sources.get_mut(&self.source) {
            // They stand in the order of their numbers.
            let found = of_source
                .waiting
                .binary_search_by_key(&self.number, |(number, _)| *number);
            if let Ok(at) = found {
                of_source.waiting.remove(at);
                table.waiting -= 1;
            }
            table.forget_if_empty(self.source);
        }
    }
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
