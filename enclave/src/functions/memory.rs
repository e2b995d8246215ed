//! Who may hold how much of the enclave's memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The memory that blobs and workers share. Clones count together.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    limit: u64,
    used: Arc<AtomicU64>,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    bytes: u64,
    used: Arc<AtomicU64>,
}

/// The budget does not have that much left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes are needed and {free} of {limit} are free")]
pub struct InsufficientMemory {
    /// Bytes asked for.
    pub wanted: u64,
    /// Bytes left.
    pub free: u64,
    /// The whole budget.
    pub limit: u64,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            used: Arc::default(),
        }
    }

    /// The whole budget in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What is taken of it now, in bytes.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, all of them or none.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, InsufficientMemory> {
        let take = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.limit);
        match self
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
        {
            Ok(_) => Ok(Reservation {
                bytes,
                used: Arc::clone(&self.used),
            }),
            Err(used) => Err(InsufficientMemory {
                wanted: bytes,
                free: self.limit - used,
                limit: self.limit,
            }),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = MemoryBudget::new(100);
        let first = budget.reserve(60).unwrap();
        let refused = budget.reserve(41).unwrap_err();
        assert_eq!((refused.wanted, refused.free, refused.limit), (41, 40, 100));
        let second = budget.reserve(40).unwrap();
        assert!(budget.reserve(1).is_err());
        assert!(budget.reserve(u64::MAX).is_err());
        drop((first, second));
        assert!(budget.reserve(100).is_ok());
    }
}
