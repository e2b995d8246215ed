//! Which user id a worker runs under: the lowest that no other worker has.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Gives out slots. Clones give out of the same.
#[derive(Debug, Clone)]
pub(super) struct UidSlots {
    first: u32,
    taken: Arc<Mutex<BTreeSet<u32>>>,
}

/// A slot, given back when dropped.
#[derive(Debug)]
pub(super) struct UidSlot {
    number: u32,
    slots: UidSlots,
}

impl UidSlots {
    /// All of them free, from this one on.
    pub(super) fn starting_at(first: u32) -> Self {
        Self {
            first,
            taken: Arc::default(),
        }
    }

    /// The lowest free slot.
    pub(super) fn take(&self) -> UidSlot {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (self.first..)
            .find(|number| !taken.contains(number))
            .unwrap_or(u32::MAX);
        taken.insert(number);
        UidSlot {
            number,
            slots: self.clone(),
        }
    }
}

impl UidSlot {
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for UidSlot {
    fn drop(&mut self) {
        let mut taken = self
            .slots
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_workers_share_one() {
        let slots = UidSlots::starting_at(700);
        let (a, b) = (slots.take(), slots.take());
        assert_eq!((a.number(), b.number()), (700, 701));
        drop(a);
        assert_eq!(slots.take().number(), 700);
    }
}
