//! What holds for every order.

use serde::{Deserialize, Serialize};

/// Times and bounds. Part of the state: the same log under another configuration is another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Lease ids are drawn from it.
    pub seed: [u8; 32],
    /// How long a lease's price holds, milliseconds.
    pub term_ms: u64,
    /// How long old and new replica are both paid when one moves, milliseconds. A move must save more than this costs.
    pub move_ms: u64,
    /// How long a node may take to load a function, milliseconds.
    pub load_ms: u64,
    /// How long a draining lease may answer what it has begun, milliseconds.
    pub drain_ms: u64,
    /// How long a node that failed a function is not given it again, milliseconds; doubles with each failure in a row,
    /// up to 32 times as long.
    pub avoid_ms: u64,
    /// Most actions of one event, at least 16. What is left is done with the next event; see
    /// [`crate::Scheduler::next_wake`].
    pub max_actions: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: [0; 32],
            term_ms: 3_600_000,
            move_ms: 60_000,
            load_ms: 600_000,
            drain_ms: 30_000,
            avoid_ms: 10_000,
            max_actions: 1024,
        }
    }
}
