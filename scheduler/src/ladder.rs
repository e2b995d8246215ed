//! Online nodes in the order of their asks, so that the cheapest that fits is found without looking at all.
//!
//! A tree of few, wide levels. Each branch knows what the nodes below it offer at best: lowest prices, most free memory
//! and processors, highest score; these stand side by side, apart from what they sum up. Cost has two prices and so no
//! single order: nodes stand along a curve (Morton's) on which those that ask alike for both are near each other, so that
//! a branch's best is close to what it has. A search walks along it, from where both prices are low, and passes over every
//! branch that has no room, or whose best cannot beat what was found; that makes it exact. A row of neighbours that all
//! belong to one operator says so, because that operator may be full.

use core::cmp::Reverse;

use nacre_protocol::ids::NodeId;
use serde::{Deserialize, Serialize};

use crate::order::{Ask, Cost, Version};
use crate::slab::{NodeIx, OperatorIx};

/// Most rungs of a leaf, and most branches of a branch.
const FAN: usize = 16;
/// Fewer than these join a neighbour that has place for them.
const FEW: usize = FAN / 4;

/// A node on the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rung {
    pub(crate) ask: Ask,
    pub(crate) score: u32,
    pub(crate) id: NodeId,
    pub(crate) node: NodeIx,
    pub(crate) operator: OperatorIx,
    pub(crate) free_memory: u64,
    pub(crate) free_cpu: u32,
}

/// Where a rung stands: on the curve, and among those of equal asks.
type Place = (u64, Reverse<u32>, NodeId);

/// How a bid compares: the lower wins.
pub(crate) type Rank = (Cost, Reverse<u32>, NodeId);

impl Rung {
    /// Whether only what is free differs.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        self.place() == other.place() && self.operator == other.operator
    }

    fn place(&self) -> Place {
        (curve(self.ask), Reverse(self.score), self.id)
    }
}

/// Both prices' bits by turns, the highest first. A price's leading 24 bits are enough to stand near one's like.
fn curve(ask: Ask) -> u64 {
    let coarse = |price: u64| u64::from((price as f32).to_bits());
    apart(coarse(ask.memory)) << 1 | apart(coarse(ask.cpu))
}

/// The 32 low bits, each with a zero before it.
fn apart(bits: u64) -> u64 {
    let steps = [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ];
    steps
        .iter()
        .fold(bits, |bits, (by, mask)| (bits | bits << by) & mask)
}

/// What a replica needs of a node.
#[derive(Debug, Clone)]
pub(crate) struct Need<'a> {
    pub(crate) version: &'a Version,
    pub(crate) max_memory_price: u64,
    pub(crate) max_cpu_price: u64,
    pub(crate) min_score: u32,
    /// Operators that hold all that the order allows.
    pub(crate) full: &'a [OperatorIx],
}

/// What a run of rungs offers at best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Best {
    ask: Ask,
    score: u32,
    id: NodeId,
    free_memory: u64,
    free_cpu: u32,
    operator: Option<OperatorIx>,
}

impl Best {
    pub(crate) fn of(rung: &Rung) -> Self {
        Self {
            ask: rung.ask,
            score: rung.score,
            id: rung.id,
            free_memory: rung.free_memory,
            free_cpu: rung.free_cpu,
            operator: Some(rung.operator),
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            ask: Ask {
                memory: self.ask.memory.min(other.ask.memory),
                cpu: self.ask.cpu.min(other.ask.cpu),
            },
            score: self.score.max(other.score),
            id: self.id.min(other.id),
            free_memory: self.free_memory.max(other.free_memory),
            free_cpu: self.free_cpu.max(other.free_cpu),
            operator: self.operator.filter(|_| self.operator == other.operator),
        }
    }

    /// Whether a rung like this fits and ranks before `found`.
    pub(crate) fn may_win(&self, need: &Need<'_>, found: Option<&Rank>) -> bool {
        self.free_memory >= need.version.memory_bytes
            && self.free_cpu >= need.version.cpu_milli
            && self.ask.memory <= need.max_memory_price
            && self.ask.cpu <= need.max_cpu_price
            && self.score >= need.min_score
            && !self.operator.is_some_and(|only| need.full.contains(&only))
            && found.is_none_or(|found| self.ranks_before(need, found))
    }

    /// Most differ in what they cost.
    #[inline]
    fn ranks_before(&self, need: &Need<'_>, found: &Rank) -> bool {
        let cost = self.cost(need);
        cost < found.0 || cost == found.0 && (Reverse(self.score), self.id) < (found.1, found.2)
    }

    #[inline]
    pub(crate) fn cost(&self, need: &Need<'_>) -> Cost {
        self.ask.cost(need.version)
    }

    fn rank(&self, need: &Need<'_>) -> Rank {
        (self.cost(need), Reverse(self.score), self.id)
    }
}

impl Best {
    /// The most memory and the most processors that any node has free, each by itself.
    pub(crate) fn most_free(&self) -> (u64, u32) {
        (self.free_memory, self.free_cpu)
    }
}

/// Nodes by ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ladder {
    /// At most [`FAN`].
    Rungs(Vec<Rung>),
    /// At most [`FAN`], none empty.
    Branches(Branches),
}

/// Neighbours: of each its best, where it begins, and what is below.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Branches {
    bests: Vec<Best>,
    firsts: Vec<Place>,
    below: Vec<Ladder>,
}

impl Default for Ladder {
    fn default() -> Self {
        Self::Rungs(Vec::new())
    }
}

impl Ladder {
    /// The cheapest rung that fits and that `takes` accepts, and that ranks before `found`.
    pub(crate) fn cheapest(
        &self,
        need: &Need<'_>,
        mut found: Option<(Rank, NodeIx)>,
        takes: &impl Fn(&Rung) -> bool,
    ) -> Option<(Rank, NodeIx)> {
        match self {
            Self::Rungs(rungs) => {
                for rung in rungs {
                    let best = Best::of(rung);
                    if best.may_win(need, found.as_ref().map(|f| &f.0)) && takes(rung) {
                        found = Some((best.rank(need), rung.node));
                    }
                }
            }
            Self::Branches(branches) => {
                for (best, below) in branches.bests.iter().zip(&branches.below) {
                    if best.may_win(need, found.as_ref().map(|f| &f.0)) {
                        found = below.cheapest(need, found, takes);
                    }
                }
            }
        }
        found
    }

    /// What it offers at best; `None` if it is empty.
    pub(crate) fn best(&self) -> Option<Best> {
        match self {
            Self::Rungs(rungs) => rungs.iter().map(Best::of).reduce(Best::with),
            Self::Branches(branches) => branches.bests.iter().copied().reduce(Best::with),
        }
    }

    /// The rung must not be on the ladder.
    pub(crate) fn insert(&mut self, rung: Rung) {
        if let Some(upper) = self.put(rung) {
            let lower = core::mem::take(self);
            let mut branches = Branches::default();
            branches.insert(0, lower);
            branches.insert(1, upper);
            *self = Self::Branches(branches);
        }
    }

    /// Takes the rung off; `rung` as it was put.
    pub(crate) fn remove(&mut self, rung: &Rung) {
        self.take(rung);
        if let Self::Branches(branches) = self
            && branches.below.len() <= 1
        {
            *self = branches.below.pop().unwrap_or_default();
        }
    }

    /// Puts down what is free on the rung's node now.
    pub(crate) fn set_free(&mut self, rung: &Rung) {
        match self {
            Self::Rungs(rungs) => {
                if let Ok(here) = rungs.binary_search_by_key(&rung.place(), Rung::place) {
                    rungs[here] = *rung;
                }
            }
            Self::Branches(branches) => {
                let at = branches.holder(&rung.place());
                branches.below[at].set_free(rung);
                branches.refresh(at);
            }
        }
    }

    /// Puts the rung in its place; what there is no place for any more goes into a ladder to follow this one.
    fn put(&mut self, rung: Rung) -> Option<Self> {
        match self {
            Self::Rungs(rungs) => {
                let here = rungs.partition_point(|r| r.place() < rung.place());
                rungs.insert(here, rung);
                (rungs.len() > FAN).then(|| Self::Rungs(rungs.split_off(FAN / 2)))
            }
            Self::Branches(branches) => {
                let at = branches.holder(&rung.place());
                let upper = branches.below[at].put(rung);
                branches.refresh(at);
                branches.insert(at + 1, upper?);
                (branches.below.len() > FAN).then(|| Self::Branches(branches.split_off(FAN / 2)))
            }
        }
    }

    fn take(&mut self, rung: &Rung) {
        match self {
            Self::Rungs(rungs) => {
                if let Ok(here) = rungs.binary_search_by_key(&rung.place(), Rung::place) {
                    rungs.remove(here);
                }
            }
            Self::Branches(branches) => {
                let at = branches.holder(&rung.place());
                branches.below[at].take(rung);
                branches.refresh(at);
                branches.join(at);
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Rungs(rungs) => rungs.len(),
            Self::Branches(branches) => branches.below.len(),
        }
    }

    fn first(&self) -> Option<Place> {
        match self {
            Self::Rungs(rungs) => rungs.first().map(Rung::place),
            Self::Branches(branches) => branches.firsts.first().copied(),
        }
    }

    /// The next one's rungs follow its own. Both are of one height.
    fn append(&mut self, next: Self) {
        match (self, next) {
            (Self::Rungs(rungs), Self::Rungs(mut more)) => rungs.append(&mut more),
            (Self::Branches(branches), Self::Branches(mut more)) => {
                branches.bests.append(&mut more.bests);
                branches.firsts.append(&mut more.firsts);
                branches.below.append(&mut more.below);
            }
            _ => {}
        }
    }
}

impl Branches {
    /// The last branch that begins at or before the place, or the first.
    fn holder(&self, place: &Place) -> usize {
        let after = self.firsts.partition_point(|first| first <= place);
        after.saturating_sub(1)
    }

    /// Sums up anew what changed below. What became empty goes.
    fn refresh(&mut self, at: usize) {
        if let (Some(best), Some(first)) = (self.below[at].best(), self.below[at].first()) {
            self.bests[at] = best;
            self.firsts[at] = first;
        } else {
            self.bests.remove(at);
            self.firsts.remove(at);
            self.below.remove(at);
        }
    }

    /// `below` is not empty.
    fn insert(&mut self, at: usize, below: Ladder) {
        if let (Some(best), Some(first)) = (below.best(), below.first()) {
            self.bests.insert(at, best);
            self.firsts.insert(at, first);
            self.below.insert(at, below);
        }
    }

    /// So that few rungs do not keep many branches.
    fn join(&mut self, at: usize) {
        let len = |at: usize| self.below.get(at).map(Ladder::len);
        if len(at).is_none_or(|len| len >= FEW) {
            return;
        }
        let both = |lower: usize| Some(len(lower)? + len(lower + 1)?);
        let room = |lower: &usize| both(*lower).is_some_and(|both| both <= FAN - FEW);
        let lower = [Some(at), at.checked_sub(1)].into_iter().flatten();
        let Some(lower) = lower.into_iter().find(room) else {
            return;
        };
        let upper = self.below.remove(lower + 1);
        self.bests.remove(lower + 1);
        self.firsts.remove(lower + 1);
        self.below[lower].append(upper);
        self.refresh(lower);
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self {
            bests: self.bests.split_off(at),
            firsts: self.firsts.split_off(at),
            below: self.below.split_off(at),
        }
    }
}
