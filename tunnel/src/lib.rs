//! Connections carried as bytes, by programs that hold no key to what they carry.
//!
//! The host proxy brings callers to its enclave, and the gateway brings them to a host. What both need is here:
//!
//! - [`carry`]: bytes between two sockets until both have ended, each end by itself; what it does next is decided by a
//!   state machine that knows no sockets. Bulk goes through kernel pipes where that costs less than copying.
//! - [`lanes`]: threads, each of which accepts connections and keeps them.
//! - [`shares`]: places for connections, shared fairly between the addresses that they come from.
//! - [`counters`]: what was carried, in numbers.
//! - [`system`]: what such a program asks of the system.

mod buffer;
mod carry;
pub mod counters;
pub mod lanes;
mod pipes;
pub mod shares;
mod side;
pub mod system;

pub use carry::{End, First, Patience, Pools, carry};

/// Files beside those of connections: pipes for bulk, and those of the lanes.
pub const FILES: usize = 2 * pipes::MOST + lanes::FILES;
