//! One watcher's scores of one epoch, gathered slot by slot.

use std::collections::BTreeMap;

use nacre_protocol::ids::NodeId;
use nacre_protocol::merkle::Hash;
use nacre_protocol::uptime::{DownReason, Epoch, Outcome, Row, Schedule, Slot, evidence_root};

/// What a watcher saw of a node in a slot, with what it keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// The signed answer came; SHA-256 of the evidence record's bytes.
    Up(Hash),
    /// Every try failed; the last one's reason.
    Down(DownReason),
}

impl Score {
    /// Without the evidence.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Up(_) => Outcome::Up,
            Self::Down(reason) => Outcome::Down(*reason),
        }
    }
}

/// What is not noted in it was not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochScores {
    schedule: Schedule,
    epoch: Epoch,
    nodes: BTreeMap<NodeId, Vec<Option<Score>>>,
}

impl EpochScores {
    /// Nothing seen yet.
    pub fn new(schedule: Schedule, epoch: Epoch) -> Self {
        Self {
            schedule,
            epoch,
            nodes: BTreeMap::new(),
        }
    }

    /// Which epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Notes a score. The first one of a node and slot stays: what was written down is not changed. Slots of other
    /// epochs are ignored.
    pub fn note(&mut self, node: NodeId, slot: Slot, score: Score) {
        if self.schedule.epoch_of(slot) != self.epoch {
            return;
        }
        let length = usize::from(self.schedule.epoch_slots());
        let scores = self.nodes.entry(node);
        let scores = scores.or_insert_with(|| vec![None; length]);
        scores[self.schedule.index_in_epoch(slot)].get_or_insert(score);
    }

    /// The rows to commit to, ids rising.
    pub fn rows(&self) -> Vec<Row> {
        let first = self.schedule.first_slot(self.epoch);
        let rows = self.nodes.iter().filter_map(|(node, scores)| {
            let outcome = |score: &Option<Score>| match score {
                Some(score) => score.outcome(),
                None => Outcome::Unseen,
            };
            let evidence: Vec<_> = scores.iter().map(evidence_of).collect();
            Some(Row {
                node: *node,
                outcomes: scores.iter().map(|s| outcome(s).to_byte()).collect(),
                // An epoch has at least one slot, and fewer than a tree has leaves.
                evidence_root: evidence_root(first, &evidence)?,
            })
        });
        rows.collect()
    }
}

fn evidence_of(score: &Option<Score>) -> Option<Hash> {
    match score {
        Some(Score::Up(evidence)) => Some(*evidence),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_on_a_slot_stays() {
        let schedule = Schedule::default();
        let mut scores = EpochScores::new(schedule, Epoch(3));
        let node = NodeId::from_random([1; 16]);
        let slot = Slot(3 * 60 + 2);
        scores.note(node, slot, Score::Down(DownReason::Timeout));
        scores.note(node, slot, Score::Up([9; 32]));
        scores.note(node, Slot(4 * 60), Score::Up([9; 32]));
        let rows = scores.rows();
        assert_eq!(rows.len(), 1);
        let mut wanted = vec![0; 60];
        wanted[2] = Outcome::Down(DownReason::Timeout).to_byte();
        assert_eq!(rows[0].outcomes, wanted);
    }
}
