//! Which user id a worker runs under: the lowest that no other worker has.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Gives out slots. Clones give out of the same.
#[derive(Debug, Clone, Default)]
pub(super) struct UidSlots(Arc<Mutex<BTreeSet<u32>>>);

/// A slot, given back when dropped.
#[derive(Debug)]
pub(super) struct UidSlot {
    number: u32,
    slots: UidSlots,
}

impl UidSlots {
    /// The lowest free slot.
    pub(super) fn take(&self) -> UidSlot {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (0..)
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
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_workers_share_one() {
        let slots = UidSlots::default();
        let (a, b) = (slots.take(), slots.take());
        assert_eq!((a.number(), b.number()), (0, 1));
        drop(a);
        assert_eq!(slots.take().number(), 0);
    }
}
