//! What each watcher saw of one node, slot by slot.

use std::collections::BTreeSet;

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{Outcome, Saw, Slot, SlotReport, Standing, Verdict, WatcherStanding};

use crate::combine::{EpochInput, EpochVerdict};

/// The report on a node's slots of one epoch, from what the epoch was judged by and what came of it.
pub fn report_slots(
    input: &EpochInput<'_>,
    verdict: &EpochVerdict,
    node: &NodeId,
    excused: &BTreeSet<Slot>,
) -> Vec<SlotReport> {
    let first = input.schedule.first_slot(input.epoch);
    let verdicts = verdict.nodes.get(node);
    let slots = (first.0..).take(usize::from(input.schedule.epoch_slots()));
    let slots = slots.map(Slot).enumerate();
    slots
        .map(|(at, slot)| SlotReport {
            slot,
            start_ms: input.schedule.slot_start(slot),
            verdict: verdicts.map_or(Verdict::Unseen, |verdicts| verdicts[at]),
            excused: excused.contains(&slot),
            saw: verdict
                .watchers
                .iter()
                .map(|standing| saw(input, *standing, node, slot))
                .collect(),
        })
        .collect()
}

fn saw(input: &EpochInput<'_>, watcher: WatcherStanding, node: &NodeId, slot: Slot) -> Saw {
    let outcome = match watcher.standing {
        Standing::Counted => outcome(input, &watcher, node, slot),
        _ => None,
    };
    let (up, reason) = match outcome {
        Some(Outcome::Up) => (Some(true), None),
        Some(Outcome::Down(reason)) => (Some(false), Some(reason)),
        Some(Outcome::Unseen) | None => (None, None),
    };
    let disputed = (watcher.watcher, *node, slot);
    Saw {
        watcher,
        up,
        reason,
        overturned: reason.is_some() && input.overturned.contains(&disputed),
    }
}

fn outcome(
    input: &EpochInput<'_>,
    watcher: &WatcherStanding,
    node: &NodeId,
    slot: Slot,
) -> Option<Outcome> {
    let mut inputs = input.watchers.iter();
    let reveal = inputs
        .find(|input| input.watcher == watcher.watcher)?
        .reveal?;
    let at = reveal
        .rows
        .binary_search_by(|row| row.node.cmp(node))
        .ok()?;
    let byte = reveal.rows[at]
        .outcomes
        .get(input.schedule.index_in_epoch(slot))?;
    Outcome::from_byte(*byte)
}
