//! Drains: downtime that was announced in time, within a budget.

use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::uptime::Slot;

/// An announced drain of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// When it was announced.
    pub announced: Slot,
    /// Its first slot.
    pub from: Slot,
    /// The slot after its last.
    pub to: Slot,
}

/// What drains are excused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainTerms {
    /// How many slots before its first a drain must be announced.
    pub notice_slots: u64,
    /// How many slots a node may be drained in one month.
    pub budget_slots: u64,
    /// Slots of a month. Months are counted from slot 0 and do not follow the calendar.
    pub month_slots: u64,
}

impl Default for DrainTerms {
    /// With slots of 10 s: one hour's notice, four hours in thirty days.
    fn default() -> Self {
        Self {
            notice_slots: 360,
            budget_slots: 1_440,
            month_slots: 30 * 8_640,
        }
    }
}

/// Which slots of `within` are excused by a node's drains.
///
/// A drain that was announced too late excuses nothing. Drained slots spend the month's budget in their order, whether the
/// node answered in them or not, so that what a drain will excuse is known when it is announced. Slots past the budget
/// count. At most one month before `within` is looked at.
pub fn excused_slots(
    drains: &[Drain],
    terms: &DrainTerms,
    within: std::ops::Range<Slot>,
) -> BTreeSet<Slot> {
    let month_slots = terms.month_slots.max(1);
    let month_of = |slot: u64| slot / month_slots;
    let begin = month_of(within.start.0) * month_slots;

    let mut drained = Vec::new();
    for drain in drains {
        let in_time = drain.announced.0.saturating_add(terms.notice_slots) <= drain.from.0;
        let (from, to) = (drain.from.0.max(begin), drain.to.0.min(within.end.0));
        if in_time && from < to {
            drained.push(from..to);
        }
    }
    drained.sort_by_key(|span| span.start);

    let mut spent: BTreeMap<u64, u64> = BTreeMap::new();
    let mut excused = BTreeSet::new();
    let mut next = begin;
    for span in drained {
        // Where drains overlap, a slot is spent once.
        for slot in span.start.max(next)..span.end {
            let spent = spent.entry(month_of(slot)).or_default();
            if *spent < terms.budget_slots {
                *spent += 1;
                if slot >= within.start.0 {
                    excused.insert(Slot(slot));
                }
            }
        }
        next = next.max(span.end);
    }
    excused
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: DrainTerms = DrainTerms {
        notice_slots: 10,
        budget_slots: 5,
        month_slots: 100,
    };

    fn drain(announced: u64, from: u64, to: u64) -> Drain {
        let [announced, from, to] = [announced, from, to].map(Slot);
        Drain {
            announced,
            from,
            to,
        }
    }

    fn excused(drains: &[Drain], from: u64, to: u64) -> Vec<u64> {
        let slots = excused_slots(drains, &TERMS, Slot(from)..Slot(to));
        slots.into_iter().map(|slot| slot.0).collect()
    }

    #[test]
    fn a_drain_announced_in_time_is_excused_and_a_late_one_is_not() {
        assert_eq!(excused(&[drain(10, 20, 23)], 0, 100), [20, 21, 22]);
        assert!(excused(&[drain(11, 20, 23)], 0, 100).is_empty());
    }

    #[test]
    fn the_budget_is_a_months_and_spent_in_order() {
        let drains = [drain(0, 98, 110), drain(0, 20, 24)];
        // Four are spent at 20; one is left for 98; the next month has its own.
        assert_eq!(
            excused(&drains, 0, 200),
            [20, 21, 22, 23, 98, 100, 101, 102, 103, 104]
        );
        // What was spent before the slots asked for stays spent.
        assert_eq!(excused(&drains, 90, 100), [98]);
    }

    #[test]
    fn overlapping_drains_spend_a_slot_once() {
        let drains = [drain(0, 20, 23), drain(0, 21, 25)];
        assert_eq!(excused(&drains, 0, 100), [20, 21, 22, 23, 24]);
    }
}
