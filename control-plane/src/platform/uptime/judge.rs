//! From words to verdicts. Pure.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{Epoch, Outcome, Schedule, Slot, Standing, Verdict, WatcherStanding};
use nacre_uptime::{
    Drain, DrainTerms, EpochInput, WatcherInput, WindowTally, excused_slots, judge_epoch,
};

use crate::store::uptime::drains::DrainRow;
use crate::store::uptime::epochs::NodeEpoch;
use crate::store::uptime::words::{Overturned, Word};

/// How many slots, the latest that anybody looked at, must be down for a node to count as unreachable.
const DEAD_SLOTS: usize = 3;

/// What bears on an epoch beside watchers' words.
#[derive(Debug, Clone, Default)]
pub(super) struct Circumstances {
    /// Nodes that ever registered; watchers' words on others are nobody's business.
    pub known: BTreeSet<NodeId>,
    /// Each node's drains of this month and the epoch's.
    pub drains: BTreeMap<NodeId, Vec<Drain>>,
    /// Times at which no control plane was at work, Unix milliseconds.
    pub outages: Vec<Range<u64>>,
}

/// Everything that an epoch is judged by.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub schedule: Schedule,
    pub drain_terms: DrainTerms,
    pub epoch: Epoch,
    pub words: Vec<Word>,
    pub overturned: Overturned,
    pub circumstances: Circumstances,
}

impl Question {
    /// What comes of it: whose words count, and each node's slots.
    pub(super) fn judge(&self) -> (Vec<WatcherStanding>, Vec<NodeEpoch>) {
        let input = EpochInput {
            schedule: self.schedule,
            epoch: self.epoch,
            watchers: self.words.iter().map(input).collect(),
            overturned: &self.overturned,
        };
        let verdict = judge_epoch(&input);
        let nodes = verdict.nodes.into_iter();
        let nodes = nodes.filter(|(node, _)| self.circumstances.known.contains(node));
        let nodes = nodes.map(|(node, verdicts)| {
            let excused = self.excused(&node);
            let mut tally = WindowTally::default();
            tally.add(&verdicts, |at| excused[at]);
            NodeEpoch {
                epoch: self.epoch,
                node,
                saw: self.saw(&verdict.watchers, &node),
                verdicts,
                excused,
                tally,
            }
        });
        let nodes = nodes.collect();
        (verdict.watchers, nodes)
    }

    /// Which slots of the epoch a node's drains and our own outages excuse.
    fn excused(&self, node: &NodeId) -> Vec<bool> {
        let schedule = &self.schedule;
        let first = schedule.first_slot(self.epoch);
        let end = Slot(first.0 + u64::from(schedule.epoch_slots()));
        let drains = self.circumstances.drains.get(node);
        let drained = drains.map_or_else(BTreeSet::new, |drains| {
            excused_slots(drains, &self.drain_terms, first..end)
        });
        let outages = &self.circumstances.outages;
        (first.0..end.0)
            .map(Slot)
            .map(|slot| {
                let (from, to) = (
                    schedule.slot_start(slot),
                    schedule.slot_start(Slot(slot.0 + 1)),
                );
                drained.contains(&slot)
                    || outages.iter().any(|out| out.start < to && out.end > from)
            })
            .collect()
    }

    fn saw(&self, watchers: &[WatcherStanding], node: &NodeId) -> Vec<Vec<Outcome>> {
        let unseen = || vec![Outcome::Unseen; self.schedule.epoch_slots().into()];
        let of_watcher = |(word, standing): (&Word, &WatcherStanding)| -> Option<Vec<_>> {
            let counts = standing.standing == Standing::Counted;
            let reveal = word.reveal.as_ref().filter(|_| counts)?;
            let at = reveal
                .rows
                .binary_search_by(|row| row.node.cmp(node))
                .ok()?;
            let bytes = reveal.rows[at].outcomes.iter();
            bytes.map(|byte| Outcome::from_byte(*byte)).collect()
        };
        let both = self.words.iter().zip(watchers);
        both.map(|both| of_watcher(both).unwrap_or_else(unseen))
            .collect()
    }
}

fn input(word: &Word) -> WatcherInput<'_> {
    WatcherInput {
        watcher: word.watcher,
        stake: word.stake,
        commitment: word.commitment.as_ref(),
        reveal: word.reveal.as_ref(),
    }
}

/// A drain in slots: every slot that it touches; announced when the next slot begins.
pub(super) fn in_slots(schedule: &Schedule, drain: &DrainRow) -> Drain {
    let last = u64::from(schedule.slot_ms()) - 1;
    let after = |ms: u64| schedule.slot_at(ms.saturating_add(last));
    Drain {
        announced: after(drain.announced_ms),
        from: schedule.slot_at(drain.from_ms),
        to: after(drain.to_ms),
    }
}

/// Slots up of those up or missing, hundredths of a percent, rounded down; `None` where there are none.
pub(super) fn score(tally: &WindowTally) -> Option<u32> {
    let (up, missing) = (u64::from(tally.up), u64::from(tally.missing));
    let score = (up * 10_000).checked_div(up + missing)?;
    u32::try_from(score).ok()
}

/// Whether an epoch's verdicts say that a node can be reached: where its last seen slot was up it can, where the last few
/// were all down it cannot, and between the two nothing changes.
pub(super) fn reachable(verdicts: &[Verdict]) -> Option<bool> {
    let seen = || verdicts.iter().rev().filter(|v| **v != Verdict::Unseen);
    if seen().next() == Some(&Verdict::Up) {
        return Some(true);
    }
    let dead = seen().take(DEAD_SLOTS).all(|v| *v == Verdict::Down);
    (dead && seen().nth(DEAD_SLOTS - 1).is_some()).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Down, Tied, Unseen, Up};

    #[test]
    fn a_node_is_dead_when_the_last_slots_that_anybody_saw_were_down() {
        assert_eq!(reachable(&[Up, Down, Down, Down, Unseen]), Some(false));
        assert_eq!(reachable(&[Up, Up, Down, Down]), None);
        assert_eq!(reachable(&[Down, Down, Tied, Down, Down]), None);
        assert_eq!(
            reachable(&[Down, Down]),
            None,
            "an epoch of two slots says too little"
        );
        assert_eq!(reachable(&[Down, Down, Down, Up, Unseen]), Some(true));
        assert_eq!(reachable(&[Unseen, Unseen]), None);
    }

    #[test]
    fn what_nobody_saw_is_no_part_of_a_score() {
        let tally = |up, missing| WindowTally {
            up,
            missing,
            excused: 7,
            unjudged: 9,
        };
        assert_eq!(score(&tally(0, 0)), None);
        assert_eq!(score(&tally(8_597, 43)), Some(9_950));
        assert_eq!(score(&tally(0, 1)), Some(0));
    }
}
