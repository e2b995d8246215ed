//! All connections of the device: who a packet belongs to, whose turn it is, and how many there may be.

use std::collections::{HashMap, VecDeque};

use crate::vsock::connection::{Connection, Input};
use crate::vsock::packet::{Header, Op, TYPE_STREAM};
use crate::vsock::wire::WireFault;
use crate::vsock::{Key, Micros};

/// The parent's address in a Nitro enclave.
pub const PARENT_CID: u64 = nacre_protocol::vsock::PARENT_CID as u64;
/// The host's address by the vsock specification; it reaches the same programs.
pub const HOST_CID: u64 = 2;

/// Ports that the host's side of its own connections gets; guests' kernels hand theirs out from 1024 upwards.
const FIRST_HOST_PORT: u32 = 1 << 30;

/// What a guest may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; one more is refused.
    pub connections: usize,
    /// So many of them may have [`Self::wide`] bytes under way to a host that does not read; the others
    /// [`Self::narrow`].
    pub wide_connections: usize,
    /// In bytes.
    pub wide: u32,
    /// In bytes.
    pub narrow: u32,
    /// Resets that wait for room in the guest's queue. When there are as many, no packet of the guest is taken until
    /// it makes room.
    pub resets: usize,
}

impl Default for Limits {
    /// At most 256 MiB in all, when no host program reads anything.
    fn default() -> Self {
        Self {
            connections: 8192,
            wide_connections: 512,
            wide: 256 * 1024,
            narrow: 16 * 1024,
            resets: 1024,
        }
    }
}

/// A place in the table. It is never given to another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// Where.
    pub index: u32,
    /// Which of those that were there.
    pub generation: u32,
}

/// Where a packet of the guest went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// Nowhere; it may have been answered with a reset.
    Nowhere,
    /// It asks for a new connection to a port of the host.
    Wanted(Token),
    /// To a connection.
    To(Token, Input),
}

/// Generations are never zero and fit 31 bits.
const FIRST_GENERATION: u32 = 1;
const MAX_GENERATION: u32 = u32::MAX >> 1;

/// See the module.
#[derive(Debug)]
pub struct Table {
    guest_cid: u64,
    limits: Limits,
    slots: Vec<Slot>,
    free: Vec<u32>,
    live: usize,
    by_key: HashMap<Key, Token>,
    turns: VecDeque<Token>,
    resets: VecDeque<Header>,
    next_port: u32,
    faults: Vec<WireFault>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
    queued: bool,
}

impl Table {
    /// An empty table for the guest with this address.
    #[must_use]
    pub fn new(guest_cid: u64, limits: Limits) -> Self {
        Self {
            guest_cid,
            limits,
            slots: Vec::new(),
            free: Vec::new(),
            live: 0,
            by_key: HashMap::new(),
            turns: VecDeque::new(),
            resets: VecDeque::new(),
            next_port: FIRST_HOST_PORT,
            faults: Vec::new(),
        }
    }

    /// How many connections there are, with those that linger.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The most there may be.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limits.connections
    }

    /// A connection, while it exists.
    pub fn get(&mut self, token: Token) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(token.index as usize)?;
        (slot.generation == token.generation)
            .then_some(slot.connection.as_mut())
            .flatten()
    }

    /// All that exist.
    #[must_use]
    pub fn tokens(&self) -> Vec<Token> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter(|(_, slot)| slot.connection.is_some())
            .map(|(index, slot)| Token {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                generation: slot.generation,
            })
            .collect()
    }

    /// Puts faults in force, in place of those before, for the connections that there are and will be.
    pub fn set_faults(&mut self, now: Micros, faults: Vec<WireFault>) {
        for slot in &mut self.slots {
            if let Some(connection) = &mut slot.connection {
                connection.set_faults(now, &faults);
            }
        }
        self.faults = faults;
    }

    /// The host asks for a port of the guest. `None` when there are too many connections.
    pub fn ask_guest(&mut self, now: Micros, guest_port: u32) -> Option<Token> {
        if self.live >= self.limits.connections {
            return None;
        }
        let mut key = Key {
            host_cid: PARENT_CID,
            host_port: self.next_port,
            guest_port,
        };
        // Fewer connections than ports: one is free.
        while self.by_key.contains_key(&key) {
            key.host_port = following(key.host_port);
        }
        self.next_port = following(key.host_port);
        let mut connection = Connection::to_guest(key, self.guest_cid, self.window());
        connection.set_faults(now, &self.faults);
        let token = self.insert(key, connection);
        self.give_turn(token);
        Some(token)
    }

    /// A packet of the guest. After its payload was dealt with, [`Self::touch`] must be called.
    pub fn guest_packet(&mut self, now: Micros, header: &Header) -> Routed {
        if header.source_cid != self.guest_cid {
            // Nobody to answer: the guest does not have that address.
            return Routed::Nowhere;
        }
        let ours = matches!(header.destination_cid, PARENT_CID | HOST_CID);
        let key = header.key();
        if ours
            && header.kind == TYPE_STREAM
            && let Some(token) = self.by_key.get(&key).copied()
            && let Some(connection) = self.get(token)
        {
            let input = connection.guest_packet(header);
            return Routed::To(token, input);
        }
        match header.op {
            Ok(Op::Reset) => {}
            Ok(Op::Request)
                if ours && header.kind == TYPE_STREAM && self.live < self.limits.connections =>
            {
                let mut connection = Connection::to_host(header, self.window());
                connection.set_faults(now, &self.faults);
                return Routed::Wanted(self.insert(key, connection));
            }
            _ => self.resets.push_back(header.reset()),
        }
        Routed::Nowhere
    }

    /// So many resets wait that no packet of the guest should be taken now.
    #[must_use]
    pub fn is_choked(&self) -> bool {
        self.resets.len() >= self.limits.resets
    }

    /// Draws the conclusions of what happened to a connection: lets the guest's side of it go when it is over, and
    /// gives it a turn when there is something to send.
    pub fn touch(&mut self, now: Micros, token: Token) {
        let guest_cid = self.guest_cid;
        let Some(connection) = self.get(token) else {
            return;
        };
        connection.settle();
        let key = connection.key();
        if connection.has_packet(now) {
            self.give_turn(token);
        } else if let Some(reset) = connection.over_for_guest()
            && self.by_key.get(&key) == Some(&token)
        {
            self.by_key.remove(&key);
            if reset {
                let header = Header::to_guest(key, guest_cid, Op::Reset);
                self.resets.push_back(header);
            }
        }
    }

    /// Forgets a connection, of which the guest must know that it is over.
    pub fn remove(&mut self, token: Token) {
        let Some(connection) = self.get(token) else {
            return;
        };
        let key = connection.key();
        if self.by_key.get(&key) == Some(&token) {
            self.by_key.remove(&key);
        }
        let slot = &mut self.slots[token.index as usize];
        slot.connection = None;
        slot.queued = false;
        slot.generation = ((slot.generation + 1) & MAX_GENERATION).max(FIRST_GENERATION);
        self.free.push(token.index);
        self.live -= 1;
    }

    /// Lets a connection send when those before it have sent.
    pub fn give_turn(&mut self, token: Token) {
        let Some(slot) = self.slots.get_mut(token.index as usize) else {
            return;
        };
        if slot.generation == token.generation && slot.connection.is_some() && !slot.queued {
            slot.queued = true;
            self.turns.push_back(token);
        }
    }

    /// Whose turn it is.
    pub fn next_turn(&mut self) -> Option<Token> {
        while let Some(token) = self.turns.pop_front() {
            if self.get(token).is_some() {
                self.slots[token.index as usize].queued = false;
                return Some(token);
            }
        }
        None
    }

    /// The next reset for the guest.
    pub fn next_reset(&mut self) -> Option<Header> {
        self.resets.pop_front()
    }

    /// Something waits for room in the guest's queue.
    #[must_use]
    pub fn has_packets(&self) -> bool {
        !self.resets.is_empty() || !self.turns.is_empty()
    }

    fn window(&self) -> u32 {
        if self.live < self.limits.wide_connections {
            self.limits.wide
        } else {
            self.limits.narrow
        }
    }

    fn insert(&mut self, key: Key, connection: Connection) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: FIRST_GENERATION,
                ..Slot::default()
            });
            // There are fewer than `limits.connections`.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        slot.connection = Some(connection);
        self.live += 1;
        let token = Token {
            index,
            generation: slot.generation,
        };
        self.by_key.insert(key, token);
        token
    }
}

fn following(port: u32) -> u32 {
    // The last port means "any".
    match port.wrapping_add(1) {
        0..FIRST_HOST_PORT | u32::MAX => FIRST_HOST_PORT,
        port => port,
    }
}
