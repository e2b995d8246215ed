//! Online nodes in the order of their asks, so that the cheapest that fits is found without looking at all.
//!
//! A list in blocks, blocks in groups; each carries what its nodes offer at best: lowest prices, most free memory and
//! processors, highest score. A search walks up the prices and passes over every block and group that has no room, or
//! whose best cannot beat what was found. Cost has two prices and so no single order; the bound makes the walk exact
//! all the same. A row of neighbours that all belong to one operator says so, because that operator may be full.

use core::cmp::Reverse;

use nacre_protocol::ids::NodeId;
use serde::{Deserialize, Serialize};

use crate::order::{Ask, Cost, Version};
use crate::slab::{NodeIx, OperatorIx};

const BLOCK: usize = 16;
const GROUP: usize = 16;

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

/// Where a rung stands.
type Place = (Ask, Reverse<u32>, NodeId);

/// How a bid compares: the lower wins.
pub(crate) type Rank = (Cost, Reverse<u32>, NodeId);

impl Rung {
    /// Whether only what is free differs.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        self.place() == other.place() && self.operator == other.operator
    }

    fn place(&self) -> Place {
        (self.ask, Reverse(self.score), self.id)
    }
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
struct Best {
    ask: Ask,
    score: u32,
    id: NodeId,
    free_memory: u64,
    free_cpu: u32,
    operator: Option<OperatorIx>,
}

impl Best {
    fn of(rung: &Rung) -> Self {
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
    fn may_win(&self, need: &Need<'_>, found: Option<&Rank>) -> bool {
        self.free_memory >= need.version.memory_bytes
            && self.free_cpu >= need.version.cpu_milli
            && self.ask.memory <= need.max_memory_price
            && self.ask.cpu <= need.max_cpu_price
            && self.score >= need.min_score
            && !self.operator.is_some_and(|only| need.full.contains(&only))
            && found.is_none_or(|found| self.rank(need) < *found)
    }

    fn rank(&self, need: &Need<'_>) -> Rank {
        (self.ask.cost(need.version), Reverse(self.score), self.id)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    best: Best,
    rungs: Vec<Rung>,
}

/// Nodes by ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ladder {
    /// None is empty.
    blocks: Vec<Block>,
    /// Of each [`GROUP`] blocks.
    groups: Vec<Best>,
}

impl Ladder {
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The cheapest rung that fits and that `takes` accepts, and that ranks before `found`.
    pub(crate) fn cheapest(
        &self,
        need: &Need<'_>,
        mut found: Option<(Rank, NodeIx)>,
        takes: impl Fn(&Rung) -> bool,
    ) -> Option<(Rank, NodeIx)> {
        for (group, blocks) in self.groups.iter().zip(self.blocks.chunks(GROUP)) {
            if !group.may_win(need, found.as_ref().map(|f| &f.0)) {
                continue;
            }
            for block in blocks {
                if !block.best.may_win(need, found.as_ref().map(|f| &f.0)) {
                    continue;
                }
                for rung in &block.rungs {
                    let best = Best::of(rung);
                    if best.may_win(need, found.as_ref().map(|f| &f.0)) && takes(rung) {
                        found = Some((best.rank(need), rung.node));
                    }
                }
            }
        }
        found
    }

    /// The most memory and the most processors that any node has free, each by itself.
    pub(crate) fn most_free(&self) -> (u64, u32) {
        let memory = self.groups.iter().map(|g| g.free_memory).max();
        let cpu = self.groups.iter().map(|g| g.free_cpu).max();
        (memory.unwrap_or_default(), cpu.unwrap_or_default())
    }

    /// The rung must not be on the ladder.
    pub(crate) fn insert(&mut self, rung: Rung) {
        let Some(at) = self.block_of(&rung.place()) else {
            self.blocks.push(Block {
                best: Best::of(&rung),
                rungs: vec![rung],
            });
            self.regroup_from(0);
            return;
        };
        let block = &mut self.blocks[at];
        let here = block.rungs.partition_point(|r| r.place() < rung.place());
        block.rungs.insert(here, rung);
        if block.rungs.len() <= BLOCK {
            block.best = block.best.with(Best::of(&rung));
            self.regroup(at);
            return;
        }
        let upper = block.rungs.split_off(BLOCK / 2);
        block.best = best_of(&block.rungs).unwrap_or(block.best);
        let best = best_of(&upper).unwrap_or(block.best);
        let upper = Block { best, rungs: upper };
        self.blocks.insert(at + 1, upper);
        self.regroup_from(at);
    }

    /// Takes the rung off; `rung` as it was put.
    pub(crate) fn remove(&mut self, rung: &Rung) {
        let Some((at, here)) = self.find(rung) else {
            return;
        };
        self.blocks[at].rungs.remove(here);
        if let Some(best) = best_of(&self.blocks[at].rungs) {
            self.blocks[at].best = best;
            self.regroup(at);
        } else {
            self.blocks.remove(at);
            self.regroup_from(at);
        }
    }

    /// Puts down what is free on the rung's node now.
    pub(crate) fn set_free(&mut self, rung: &Rung) {
        let Some((at, here)) = self.find(rung) else {
            return;
        };
        let block = &mut self.blocks[at];
        let old = block.rungs[here];
        block.rungs[here] = *rung;
        let was_most =
            old.free_memory == block.best.free_memory || old.free_cpu == block.best.free_cpu;
        let best = if was_most {
            best_of(&block.rungs).unwrap_or(block.best)
        } else {
            block.best.with(Best::of(rung))
        };
        if best != block.best {
            block.best = best;
            self.regroup(at);
        }
    }

    fn find(&self, rung: &Rung) -> Option<(usize, usize)> {
        let at = self.block_of(&rung.place())?;
        let rungs = &self.blocks[at].rungs;
        let here = rungs
            .binary_search_by_key(&rung.place(), Rung::place)
            .ok()?;
        Some((at, here))
    }

    /// The last block that begins at or before the place, or the first.
    fn block_of(&self, place: &Place) -> Option<usize> {
        let begins = |block: &Block| block.rungs.first().is_some_and(|r| r.place() <= *place);
        let after = self.blocks.partition_point(begins);
        (!self.blocks.is_empty()).then(|| after.saturating_sub(1))
    }

    fn regroup(&mut self, block: usize) {
        let group = block / GROUP;
        let first = group * GROUP;
        let last = (first + GROUP).min(self.blocks.len());
        let bests = self.blocks[first..last].iter().map(|b| b.best);
        if let Some(best) = bests.reduce(Best::with) {
            self.groups[group] = best;
        }
    }

    /// Blocks from here on moved.
    fn regroup_from(&mut self, block: usize) {
        self.groups.truncate(block / GROUP);
        let rest = &self.blocks[self.groups.len() * GROUP..];
        let bests = rest
            .chunks(GROUP)
            .filter_map(|group| group.iter().map(|b| b.best).reduce(Best::with));
        self.groups.extend(bests);
    }
}

fn best_of(rungs: &[Rung]) -> Option<Best> {
    rungs.iter().map(Best::of).reduce(Best::with)
}
