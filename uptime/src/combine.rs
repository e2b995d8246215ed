//! Several watchers, one verdict.

use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::ids::NodeId;
use nacre_protocol::merkle::Hash;
use nacre_protocol::uptime::{
    Epoch, Outcome, PostReveal, Row, Schedule, Slot, Standing, Verdict, WatcherId, WatcherStanding,
};

use crate::commit::check_reveal;

/// Everything that an epoch is judged by. Nothing else is consulted, so that anybody who has it comes to the same.
#[derive(Debug, Clone)]
pub struct EpochInput<'a> {
    /// How time is cut.
    pub schedule: Schedule,
    /// Which epoch.
    pub epoch: Epoch,
    /// Every watcher with stake in this epoch.
    pub watchers: Vec<WatcherInput<'a>>,
    /// Words that a dispute overturned: this watcher's "down" on this node in this slot is taken for "up".
    pub overturned: &'a BTreeSet<(WatcherId, NodeId, Slot)>,
}

/// One watcher's part in an epoch.
#[derive(Debug, Clone, Copy)]
pub struct WatcherInput<'a> {
    /// Who.
    pub watcher: WatcherId,
    /// Stake at the epoch's begin, micro-units.
    pub stake: u64,
    /// The commitment that came in time.
    pub commitment: Option<&'a Hash>,
    /// The reveal that came in time.
    pub reveal: Option<&'a PostReveal>,
}

/// What watchers together say of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochVerdict {
    /// Which epoch.
    pub epoch: Epoch,
    /// Every watcher, and whether its scores counted. Those that did not are to be shown, and may be charged for it.
    pub watchers: Vec<WatcherStanding>,
    /// One verdict a slot, of every node that a counted watcher names.
    pub nodes: BTreeMap<NodeId, Vec<Verdict>>,
}

/// Weighs watchers' scores of one epoch.
///
/// A watcher's scores count when it revealed what it committed to. The *reporting stake* of a node and slot is the stake of
/// the watchers whose scores count and who looked at that node in that slot. See [`slot_verdict`] for the rule.
pub fn judge_epoch(input: &EpochInput<'_>) -> EpochVerdict {
    let standings: Vec<_> = input
        .watchers
        .iter()
        .map(|watcher| WatcherStanding {
            watcher: watcher.watcher,
            stake: watcher.stake,
            standing: standing(&input.schedule, input.epoch, watcher),
        })
        .collect();
    let counted: Vec<_> = input
        .watchers
        .iter()
        .zip(&standings)
        .filter(|(_, standing)| standing.standing == Standing::Counted)
        .filter_map(|(watcher, _)| Some((watcher, watcher.reveal?)))
        .collect();

    let slots = usize::from(input.schedule.epoch_slots());
    let mut weights: BTreeMap<NodeId, Weights> = BTreeMap::new();
    for (watcher, reveal) in counted {
        for row in &reveal.rows {
            let weighed = weights.entry(row.node);
            let weighed = weighed.or_insert_with(|| Weights::new(slots));
            weighed.add(watcher.stake, &outcomes(input, watcher.watcher, row));
        }
    }
    EpochVerdict {
        epoch: input.epoch,
        watchers: standings,
        nodes: weights
            .into_iter()
            .map(|(node, weights)| (node, weights.verdicts()))
            .collect(),
    }
}

/// The rule for one slot: up where *more than half* of the reporting stake saw it up, down where more than half saw it down.
/// Half against half is neither: a stake is not taken on a draw, nor is a slot credited on one.
pub fn slot_verdict(up: u128, reporting: u128) -> Verdict {
    let down = reporting.saturating_sub(up);
    match up.cmp(&down) {
        _ if reporting == 0 => Verdict::Unseen,
        std::cmp::Ordering::Greater => Verdict::Up,
        std::cmp::Ordering::Less => Verdict::Down,
        std::cmp::Ordering::Equal => Verdict::Tied,
    }
}

fn standing(schedule: &Schedule, epoch: Epoch, watcher: &WatcherInput<'_>) -> Standing {
    let Some(committed) = watcher.commitment else {
        return Standing::NotCommitted;
    };
    let Some(reveal) = watcher.reveal else {
        return Standing::NotRevealed;
    };
    let own = (reveal.watcher, reveal.epoch) == (watcher.watcher, epoch);
    if own && check_reveal(schedule, committed, reveal).is_ok() {
        Standing::Counted
    } else {
        Standing::RevealedOtherwise
    }
}

/// A row's outcomes, with what disputes overturned.
fn outcomes<'a>(
    input: &EpochInput<'_>,
    watcher: WatcherId,
    row: &'a Row,
) -> std::borrow::Cow<'a, [u8]> {
    let first = input.schedule.first_slot(input.epoch);
    let last = Slot(first.0 + row.outcomes.len() as u64);
    let of_row = (watcher, row.node, first)..(watcher, row.node, last);
    let mut outcomes = std::borrow::Cow::Borrowed(row.outcomes.as_slice());
    for (_, _, slot) in input.overturned.range(of_row) {
        let at = input.schedule.index_in_epoch(*slot);
        if matches!(Outcome::from_byte(outcomes[at]), Some(Outcome::Down(_))) {
            outcomes.to_mut()[at] = Outcome::Up.to_byte();
        }
    }
    outcomes
}

/// Stake that reported, and that saw it up, slot by slot.
struct Weights(Vec<(u128, u128)>);

impl Weights {
    fn new(slots: usize) -> Self {
        Self(vec![(0, 0); slots])
    }

    fn add(&mut self, stake: u64, outcomes: &[u8]) {
        const UNSEEN: u8 = Outcome::Unseen.to_byte();
        const UP: u8 = Outcome::Up.to_byte();
        for ((reporting, up), byte) in self.0.iter_mut().zip(outcomes) {
            *reporting += if *byte == UNSEEN { 0 } else { stake.into() };
            *up += if *byte == UP { stake.into() } else { 0 };
        }
    }

    fn verdicts(self) -> Vec<Verdict> {
        let verdict = |(reporting, up)| slot_verdict(up, reporting);
        self.0.into_iter().map(verdict).collect()
    }
}
