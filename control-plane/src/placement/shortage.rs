//! Why an order lacks replicas, in words.

use core::fmt;

use super::Order;

/// An order with fewer replicas than it wants, and what stood in the way of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Replicas wanted.
    pub replicas: u32,
    /// Replicas placed on online nodes.
    pub placed: u32,
    memory_bytes: u64,
    max_price: Option<u64>,
    online: u32,
    taken: u32,
    /// The most memory that any node has free.
    largest_room: i128,
    /// The lowest ask among nodes with enough memory.
    lowest_ask: Option<u64>,
}

impl Shortage {
    pub(super) fn new(order: &Order) -> Self {
        Self {
            replicas: order.replicas,
            placed: 0,
            memory_bytes: order.memory_bytes,
            max_price: order.max_price,
            online: 0,
            taken: 0,
            largest_room: 0,
            lowest_ask: None,
        }
    }

    pub(super) fn saw_taken(&mut self) {
        self.online += 1;
        self.taken += 1;
    }

    pub(super) fn saw(&mut self, price: u64, room: i128, fits: bool) {
        self.online += 1;
        self.largest_room = self.largest_room.max(room);
        if fits {
            self.lowest_ask = Some(self.lowest_ask.map_or(price, |ask| ask.min(price)));
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} replicas placed: ", self.placed, self.replicas)?;
        match (self.lowest_ask, self.max_price) {
            _ if self.online == 0 => f.write_str("no node is online"),
            _ if self.taken == self.online => f.write_str(
                "every online node runs a replica already; more replicas need more nodes",
            ),
            (Some(ask), Some(max)) => write!(
                f,
                "the lowest ask of a node with room is {ask} micro-units per GiB-second, above the limit of {max}"
            ),
            _ => write!(
                f,
                "no online node has {} bytes of memory free; the most is {}",
                self.memory_bytes, self.largest_room
            ),
        }
    }
}
