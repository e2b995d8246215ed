//! The simulated world. What nodes truly do is drawn here; what is slashed comes out of `nacre_uptime` alone, by way of
//! signed commitments and reveals.

#![expect(
    clippy::unwrap_used,
    reason = "what the simulation itself makes is sound, or the simulation is wrong"
)]

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{
    DownReason, Epoch, Outcome, PostReveal, Row, Schedule, Slot, Standing, Window,
};
use nacre_uptime::commit::{check_commit, sign_epoch};
use nacre_uptime::{
    Drain, DrainTerms, EpochInput, Slash, Terms, WatcherInput, WatcherKey, WindowTally,
    excused_slots, judge_epoch,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const WATCHERS: usize = 7;
const LIARS: usize = 2;
const LOSS: f64 = 0.05;
const TRIES: i32 = 3;
const STAKE: u64 = 1_000_000_000;
const UP: u8 = Outcome::Up.to_byte();
const DOWN: u8 = Outcome::Down(DownReason::Timeout).to_byte();

/// What the lying watchers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liars {
    /// Call every node down.
    AlwaysDown,
    /// Throw a coin for each slot.
    Random,
    /// Agree: every live node is down, every dead one is up.
    Collude,
    /// The same, and one reveals what it did not commit to while the other does not reveal.
    BreakTheirWord,
}

impl Liars {
    /// All kinds.
    pub(crate) const ALL: [Self; 4] = [
        Self::AlwaysDown,
        Self::Random,
        Self::Collude,
        Self::BreakTheirWord,
    ];
}

/// What came out, against what should have.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// (node, window) pairs judged.
    pub(crate) windows: u64,
    /// Pairs whose node was truly below the level, by slots that were not excused.
    pub(crate) below: u64,
    /// Pairs that were slashed.
    pub(crate) slashed: u64,
    /// Pairs that were slashed though the node kept the level.
    pub(crate) wrongly: u64,
    /// Pairs below the level that were not slashed.
    pub(crate) missed: u64,
    /// Micro-units taken.
    pub(crate) taken: u64,
    /// Slots down and excused.
    pub(crate) excused: u64,
    /// Epochs of watchers that did not count, over all watchers.
    pub(crate) uncounted: u64,
}

impl Counts {
    /// Whether exactly the nodes below the level were slashed, each by one twentieth of its stake for each such window.
    pub(crate) fn is_right(&self) -> bool {
        let once = self.below * (STAKE / 20);
        (self.wrongly, self.missed) == (0, 0) && self.slashed == self.below && self.taken == once
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} node-days, {} below the level, {} slashed, {} wrongly, {} missed; {} down slots excused, \
             {} epochs of watchers not counted, {} micro-units taken",
            self.windows,
            self.below,
            self.slashed,
            self.wrongly,
            self.missed,
            self.excused,
            self.uncounted,
            self.taken
        )
    }
}

/// Nodes, watchers, and the state of their dice.
pub(crate) struct World {
    schedule: Schedule,
    terms: Terms,
    liars: Liars,
    nodes: Vec<Node>,
    watchers: Vec<Watcher>,
    rng: StdRng,
}

struct Node {
    id: NodeId,
    kind: Kind,
    drains: Vec<Drain>,
    /// Today's outage.
    down: Range<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Misses at most 40 slots a day (tolerated: 43).
    Honest,
    /// Misses 44 slots or more every other day.
    Failing,
    /// Is down for half an hour a day, announced in time; a month's budget covers eight of them.
    Drained,
}

struct Watcher {
    key: WatcherKey,
    lies: bool,
    /// Slots until the next first try of each node that the network loses.
    to_loss: Vec<u64>,
}

impl World {
    /// A world of so many nodes: one in twenty fails, one in fifty drains.
    pub(crate) fn new(nodes: usize, liars: Liars, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut nodes: Vec<_> = (0..nodes)
            .map(|at| Node {
                id: NodeId::from_random(rng.random()),
                kind: match at {
                    _ if at % 20 == 0 => Kind::Failing,
                    _ if at % 50 == 1 => Kind::Drained,
                    _ => Kind::Honest,
                },
                drains: Vec::new(),
                down: 0..0,
            })
            .collect();
        nodes.sort_by_key(|node| node.id);
        let watchers = (0..WATCHERS)
            .map(|at| Watcher {
                key: WatcherKey::from_seed(&rng.random()),
                lies: at < LIARS,
                to_loss: nodes.iter().map(|_| gap(&mut rng)).collect(),
            })
            .collect();
        let schedule = Schedule::default();
        Self {
            schedule,
            terms: Terms::new(schedule.window_slots()).unwrap(),
            liars,
            nodes,
            watchers,
            rng,
        }
    }

    /// Lets so many days pass and judges each.
    pub(crate) fn run(mut self, days: u64) -> Counts {
        // The first day begins a month of the drains' budget.
        let first =
            DrainTerms::default().month_slots * 20 / u64::from(self.schedule.window_slots());
        let mut slashes: Vec<Slash> = Vec::new();
        let mut counts = Counts::default();
        for day in first..first + days {
            let window = Window(day);
            self.draw_day(window);
            let excused = self.excused(window);
            let tallies = self.watch_day(window, &excused, &mut counts);
            for ((node, tally), excused) in self.nodes.iter().zip(&tallies).zip(&excused) {
                let truly = node.down.clone();
                let missing = truly.filter(|slot| !excused.contains(&Slot(*slot))).count() as u32;
                let slash = tally.slash(node.id, window, STAKE, &self.terms);
                slashes.extend(slash);
                let below = u64::from(missing) * 1_000 > 5 * 8_640;
                counts.windows += 1;
                counts.below += u64::from(below);
                counts.slashed += u64::from(slash.is_some());
                counts.wrongly += u64::from(slash.is_some() && !below);
                counts.missed += u64::from(slash.is_none() && below);
                counts.excused += u64::from(tally.excused);
            }
        }
        counts.taken = slashes.iter().map(|slash| slash.amount).sum();
        counts
    }

    /// What nodes truly do today.
    fn draw_day(&mut self, window: Window) {
        let begin = self
            .schedule
            .first_slot(self.schedule.first_epoch(window))
            .0;
        for (at, node) in (0..).zip(&mut self.nodes) {
            let length = match node.kind {
                Kind::Honest => self.rng.random_range(0..=40),
                Kind::Failing if (window.0 + at).is_multiple_of(2) => {
                    self.rng.random_range(44..=2_000)
                }
                Kind::Failing => 0,
                Kind::Drained => 180,
            };
            let from = begin + self.rng.random_range(400..8_640 - length);
            node.down = from..from + length;
            if node.kind == Kind::Drained {
                let announced = Slot(from - DrainTerms::default().notice_slots);
                let (from, to) = (Slot(from), Slot(from + length));
                node.drains.push(Drain {
                    announced,
                    from,
                    to,
                });
            }
        }
    }

    fn excused(&self, window: Window) -> Vec<BTreeSet<Slot>> {
        let first_slot = |window| self.schedule.first_slot(self.schedule.first_epoch(window));
        let within = first_slot(window)..first_slot(Window(window.0 + 1));
        let terms = DrainTerms::default();
        let nodes = self.nodes.iter();
        nodes
            .map(|node| excused_slots(&node.drains, &terms, within.clone()))
            .collect()
    }

    /// A day's epochs, each committed, revealed and judged.
    fn watch_day(
        &mut self,
        window: Window,
        excused: &[BTreeSet<Slot>],
        counts: &mut Counts,
    ) -> Vec<WindowTally> {
        let mut tallies = vec![WindowTally::default(); self.nodes.len()];
        let first = self.schedule.first_epoch(window).0;
        let end = self.schedule.first_epoch(Window(window.0 + 1)).0;
        for epoch in (first..end).map(Epoch) {
            let said = self.said(epoch);
            let none = BTreeSet::new();
            let watchers = self.watchers.iter().zip(&said);
            let input = EpochInput {
                schedule: self.schedule,
                epoch,
                watchers: watchers
                    .map(|(watcher, (commitment, reveal))| WatcherInput {
                        watcher: watcher.key.id(),
                        stake: STAKE,
                        commitment: Some(commitment),
                        reveal: reveal.as_ref(),
                    })
                    .collect(),
                overturned: &none,
            };
            let verdict = judge_epoch(&input);
            let uncounted = verdict.watchers.iter();
            counts.uncounted += uncounted
                .filter(|watcher| watcher.standing != Standing::Counted)
                .count() as u64;
            let first_slot = self.schedule.first_slot(epoch).0;
            // Both in the order of ids.
            let judged = self.nodes.iter().zip(&mut tallies).zip(excused);
            for ((node, tally), excused) in judged {
                tally.add(&verdict.nodes[&node.id], |at| {
                    excused.contains(&Slot(first_slot + at as u64))
                });
            }
        }
        tallies
    }

    /// Every watcher's commitment and reveal of an epoch.
    fn said(&mut self, epoch: Epoch) -> Vec<([u8; 32], Option<PostReveal>)> {
        let first = self.schedule.first_slot(epoch).0;
        let truth: Vec<Vec<u8>> = self.nodes.iter().map(|node| node.truth(first)).collect();
        let mut said = Vec::with_capacity(WATCHERS);
        for (at, watcher) in self.watchers.iter_mut().enumerate() {
            let mut rows = Vec::with_capacity(truth.len());
            for (index, (node, truth)) in self.nodes.iter().zip(&truth).enumerate() {
                let outcomes = if watcher.lies {
                    lie(self.liars, truth, &mut self.rng)
                } else {
                    watcher.look(index, truth, &mut self.rng)
                };
                rows.push(Row {
                    node: node.id,
                    outcomes,
                    evidence_root: [0; 32],
                });
            }
            let signed = sign_epoch(&watcher.key, &self.schedule, epoch, rows);
            let (commit, mut reveal) = signed.unwrap();
            check_commit(&self.schedule, &commit).unwrap();
            let broken = watcher.lies && self.liars == Liars::BreakTheirWord;
            if broken && at == 0 {
                reveal.rows[0].outcomes[0] ^= UP;
            }
            said.push((commit.commitment, (!broken || at == 0).then_some(reveal)));
        }
        said
    }
}

impl Node {
    fn truth(&self, first: u64) -> Vec<u8> {
        let up = |slot| !self.down.contains(&slot);
        let slots = first..first + 60;
        slots.map(|slot| if up(slot) { UP } else { DOWN }).collect()
    }
}

impl Watcher {
    /// An honest look: each try is lost with the network's probability, and a slot with three lost ones looks down.
    fn look(&mut self, node: usize, truth: &[u8], rng: &mut StdRng) -> Vec<u8> {
        let mut outcomes = truth.to_vec();
        let mut at = self.to_loss[node];
        while at < outcomes.len() as u64 {
            if rng.random_bool(LOSS.powi(TRIES - 1)) {
                outcomes[at as usize] = DOWN;
            }
            at += 1 + gap(rng);
        }
        self.to_loss[node] = at - outcomes.len() as u64;
        outcomes
    }
}

fn lie(liars: Liars, truth: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let opposite = |byte: &u8| if *byte == UP { DOWN } else { UP };
    match liars {
        Liars::AlwaysDown => vec![DOWN; truth.len()],
        Liars::Random => {
            let coins: u64 = rng.random();
            let coin = |at| {
                if coins >> (at % 64) & 1 == 0 {
                    UP
                } else {
                    DOWN
                }
            };
            (0..truth.len()).map(coin).collect()
        }
        Liars::Collude | Liars::BreakTheirWord => truth.iter().map(opposite).collect(),
    }
}

/// How many first tries arrive before the next is lost.
fn gap(rng: &mut StdRng) -> u64 {
    let uniform: f64 = rng.random();
    ((1.0 - uniform).ln() / (1.0 - LOSS).ln()) as u64
}
