//! Ladders by how much room is free, so that a search does not walk past nodes that are full.
//!
//! On one ladder for all, the cheap nodes are full and stand between those that are not, and a block's best price and
//! best room would be those of different nodes. Here nodes of one class of free memory and one of free processors share a
//! ladder; a search looks at the classes that may fit only.

use serde::{Deserialize, Serialize};

use crate::ladder::{Best, Ladder, Need, Rank, Rung};
use crate::slab::NodeIx;

/// Classes of free memory and of free processors.
type Class = (u32, u32);

/// Nodes by room, then by ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shelf {
    /// The classes that have nodes, rising, each with its ladder's best: every search goes through them.
    tops: Vec<(Class, Best)>,
    /// Of each class; none is empty.
    ladders: Vec<Ladder>,
}

impl Shelf {
    pub(crate) fn is_empty(&self) -> bool {
        self.tops.is_empty()
    }

    /// The cheapest rung that fits and that `takes` accepts, and that ranks before `found`.
    pub(crate) fn cheapest(
        &self,
        need: &Need<'_>,
        mut found: Option<(Rank, NodeIx)>,
        takes: impl Fn(&Rung) -> bool,
    ) -> Option<(Rank, NodeIx)> {
        let least = room_class(need.version.memory_bytes);
        let from = self.tops.partition_point(|(class, _)| class.0 < least);
        let may = |at: &usize, found: Option<&(Rank, NodeIx)>| {
            self.tops[*at].1.may_win(need, found.map(|f| &f.0))
        };
        let all = from..self.tops.len();
        // Where the best is cheapest first: what is found there rules most others out.
        let first = all.clone().filter(|at| may(at, found.as_ref()));
        let first = first.min_by_key(|at| self.tops[*at].1.cost(need));
        for at in first.into_iter().chain(all) {
            if may(&at, found.as_ref()) {
                found = self.ladders[at].cheapest(need, found, &takes);
            }
        }
        found
    }

    /// The most memory and the most processors that any node has free, each by itself.
    pub(crate) fn most_free(&self) -> (u64, u32) {
        let most = self.tops.iter().map(|(_, best)| best.most_free());
        most.fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)))
    }

    pub(crate) fn replace(&mut self, before: Option<&Rung>, now: Option<&Rung>) {
        if let (Some(before), Some(now)) = (before, now)
            && class(before) == class(now)
            && before.same_place(now)
        {
            if let Ok(at) = self.place_of(class(now)) {
                self.ladders[at].set_free(now);
                self.refresh(at);
            }
            return;
        }
        if let Some(before) = before
            && let Ok(at) = self.place_of(class(before))
        {
            self.ladders[at].remove(before);
            self.refresh(at);
        }
        if let Some(now) = now {
            match self.place_of(class(now)) {
                Ok(at) => {
                    self.ladders[at].insert(*now);
                    self.refresh(at);
                }
                Err(at) => {
                    let mut ladder = Ladder::default();
                    ladder.insert(*now);
                    self.ladders.insert(at, ladder);
                    self.tops.insert(at, (class(now), Best::of(now)));
                }
            }
        }
    }

    fn place_of(&self, class: Class) -> Result<usize, usize> {
        self.tops.binary_search_by_key(&class, |(class, _)| *class)
    }

    /// Sums up anew what changed; what became empty goes.
    fn refresh(&mut self, at: usize) {
        if let Some(best) = self.ladders[at].best() {
            self.tops[at].1 = best;
        } else {
            self.tops.remove(at);
            self.ladders.remove(at);
        }
    }
}

fn class(rung: &Rung) -> Class {
    (room_class(rung.free_memory), cpu_class(rung.free_cpu))
}

/// One class for each doubling: only in the first that may fit are there nodes that do not, and each class more is one
/// more ladder to look at.
fn room_class(memory: u64) -> u32 {
    memory.checked_ilog2().map_or(0, |log| log + 1)
}

/// Four classes for each doubling.
pub(crate) fn memory_class(memory: u64) -> u32 {
    let log = memory.max(4).ilog2();
    let quarter = (memory.max(4) >> (log - 2)) & 3;
    log * 4 + u32::try_from(quarter).unwrap_or_default()
}

/// One class for each doubling.
fn cpu_class(cpu: u32) -> u32 {
    cpu.checked_ilog2().map_or(0, |log| log + 1)
}
