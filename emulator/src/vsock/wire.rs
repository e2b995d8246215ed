//! Faults of the wire: what a bad or a hostile host does to connections. They are set while the device runs.

use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use serde::{Deserialize, Serialize};

use crate::vsock::Micros;

/// One fault, and which connections it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireFault {
    /// Which connections.
    pub connections: Which,
    /// What befalls them.
    pub trouble: Trouble,
}

/// Some of the connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Those of one service: the port that was asked for, be it the guest's or the host's. `None`: all.
    pub port: Option<u32>,
}

impl Which {
    /// Whether a connection to this port is one of them.
    #[must_use]
    pub fn has(self, port: u32) -> bool {
        self.port.is_none_or(|mine| mine == port)
    }
}

/// What befalls a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The other side is gone and nobody says so: no byte and no word passes in either direction any more, nor do
    /// questions for new connections get an answer. Lasts for the connection's life, also when the fault is lifted.
    HalfOpen,
    /// The bytes of one direction, or of both.
    Bytes {
        /// Towards whom. `None`: both.
        towards: Option<Side>,
        /// What befalls them.
        damage: Damage,
    },
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The program on the host.
    Host,
    /// The enclave.
    Guest,
}

/// What befalls the bytes of one direction. Places count from the connection's first byte, which is 0; what is random
/// follows from `seed` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Each piece comes later by so much, and by up to `jitter` more: pieces of different connections overtake each
    /// other, those of one never do. Microseconds, at most an hour.
    Delay {
        /// At least.
        by: Micros,
        /// At most as much in addition.
        jitter: Micros,
        /// Where the randomness comes from.
        seed: u64,
    },
    /// A slow reader: no more than this passes.
    Rate {
        /// Bytes in a second.
        bytes_per_second: NonZeroU32,
    },
    /// One byte changes.
    Flip {
        /// Which.
        at: u64,
        /// What is XORed to it.
        mask: u8,
    },
    /// One in `every` bytes has one bit changed.
    Noise {
        /// On average.
        every: NonZeroU32,
        /// Where the randomness comes from.
        seed: u64,
    },
    /// Bytes are missing.
    Drop {
        /// The first.
        at: u64,
        /// How many.
        length: u32,
    },
    /// Bytes come twice, the second time right after the first; of those only what came in one piece.
    Repeat {
        /// The first.
        at: u64,
        /// How many.
        length: u32,
    },
    /// The direction ends early, as if its sender had finished.
    Cut {
        /// The first byte that does not arrive.
        at: u64,
    },
}

/// A handle on a device's faults; clones are the same.
#[derive(Clone)]
pub struct FaultPlan {
    shared: Arc<Shared>,
}

struct Shared {
    orders: Mutex<Orders>,
    changed: OwnedFd,
}

/// What was ordered since the device looked.
#[derive(Default)]
pub(crate) struct Orders {
    /// The faults in force, if they are others now.
    pub(crate) faults: Option<Vec<WireFault>>,
    /// Connections to be lost now.
    pub(crate) lost: Vec<Loss>,
}

/// Which of the connections are lost at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them.
    All(Which),
    /// One of them, chosen by the number; none where there is none.
    One(Which, u64),
}

/// Orders that may wait for a device that does not run (yet).
const MAX_LOSSES: usize = 64;

impl FaultPlan {
    /// No faults.
    ///
    /// # Errors
    ///
    /// When the system has no file descriptors left.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            shared: Arc::new(Shared {
                orders: Mutex::default(),
                changed: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            }),
        })
    }

    /// Replaces the faults in force, for connections that there are and that there will be.
    pub fn set(&self, faults: Vec<WireFault>) {
        self.order(|orders| orders.faults = Some(faults));
    }

    /// Loses connections that there are: both ends see a reset.
    pub fn lose(&self, loss: Loss) {
        self.order(|orders| {
            if orders.lost.len() < MAX_LOSSES {
                orders.lost.push(loss);
            }
        });
    }

    fn order(&self, write: impl FnOnce(&mut Orders)) {
        let mut orders = self.shared.orders.lock();
        write(
            orders
                .as_mut()
                .unwrap_or_else(|poisoned| poisoned.get_mut()),
        );
        drop(orders);
        // Full only when the device has not looked 2⁶⁴ times.
        let _ = rustix::io::write(&self.shared.changed, &1_u64.to_ne_bytes());
    }

    /// What was ordered since the last time.
    pub(crate) fn take(&self) -> Orders {
        let mut count = [0; 8];
        // Nothing to read is nothing new, but looking does no harm.
        let _ = rustix::io::read(&self.shared.changed, &mut count);
        let mut orders = self
            .shared
            .orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut orders)
    }
}

impl AsFd for FaultPlan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.changed.as_fd()
    }
}

/// A number that looks random and follows from its arguments (SplitMix64's mixing).
pub(crate) fn hash(seed: u64, place: u64) -> u64 {
    let mut number = seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
