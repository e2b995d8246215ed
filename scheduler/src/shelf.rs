//! Ladders by how much room is free, so that a search does not walk past nodes that are full.
//!
//! On one ladder for all, the cheap nodes are full and stand between those that are not, and a block's best price and
//! best room would be those of different nodes. Here nodes of one class of free memory and one of free processors share a
//! ladder; a search looks at the classes that may fit only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ladder::{Ladder, Need, Rank, Rung};
use crate::slab::NodeIx;

/// Classes of free memory and of free processors.
type Class = (u32, u32);

/// Nodes by room, then by ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shelf {
    /// None is empty.
    ladders: BTreeMap<Class, Ladder>,
}

impl Shelf {
    pub(crate) fn is_empty(&self) -> bool {
        self.ladders.is_empty()
    }

    /// The cheapest rung that fits and that `takes` accepts, and that ranks before `found`.
    pub(crate) fn cheapest(
        &self,
        need: &Need<'_>,
        mut found: Option<(Rank, NodeIx)>,
        takes: impl Fn(&Rung) -> bool,
    ) -> Option<(Rank, NodeIx)> {
        let cpu = cpu_class(need.version.cpu_milli);
        let from = (memory_class(need.version.memory_bytes), cpu);
        let ladders = self
            .ladders
            .range(from..)
            .filter(|(class, _)| class.1 >= cpu);
        for (_, ladder) in ladders {
            found = ladder.cheapest(need, found, &takes);
        }
        found
    }

    /// The most memory and the most processors that any node has free, each by itself.
    pub(crate) fn most_free(&self) -> (u64, u32) {
        let most = self.ladders.values().map(Ladder::most_free);
        most.fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)))
    }

    pub(crate) fn replace(&mut self, before: Option<&Rung>, now: Option<&Rung>) {
        if let (Some(before), Some(now)) = (before, now)
            && class(before) == class(now)
            && before.same_place(now)
        {
            if let Some(ladder) = self.ladders.get_mut(&class(now)) {
                ladder.set_free(now);
            }
            return;
        }
        if let Some(before) = before
            && let Some(ladder) = self.ladders.get_mut(&class(before))
        {
            ladder.remove(before);
            if ladder.is_empty() {
                self.ladders.remove(&class(before));
            }
        }
        if let Some(now) = now {
            self.ladders.entry(class(now)).or_default().insert(*now);
        }
    }
}

fn class(rung: &Rung) -> Class {
    (memory_class(rung.free_memory), cpu_class(rung.free_cpu))
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
