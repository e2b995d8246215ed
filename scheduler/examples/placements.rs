//! Placements a second at 10,000 nodes, and what an event costs as the market grows.
//!
//! `cargo run --release -p nacre-scheduler --example placements [-- nodes …]`; one thread. The market: a node of 8 to 64 GiB at a
//! random ask for each of 50 operators in 10 regions; orders of 1 to 4 replicas and 256 MiB to 4 GiB, a third of them
//! with a region, a ceiling or a spread; filled until cheap nodes are full. Then a mix of events that keeps a market of any
//! size as full as it was: orders placed and withdrawn, loads, reports, asks, nodes lost and found.
//!
//! A large market does not fit into the processor's caches, so beside each size stands what one read of memory costs that
//! depends on the one before, over as many bytes as the process holds. What an event costs more than in the first, smallest
//! market, in such reads, is the last column.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{DeploymentId, FunctionName, LeaseId, NodeId, OperatorId};
use nacre_scheduler::{
    Action, Ask, Config, Event, Offer, Order, Region, Report, Rollout, Scaling, Scheduler, Tenant,
    Terms, Timestamp, Version,
};

const MIB: u64 = 1 << 20;
const SIZES: [u64; 5] = [1_000, 3_000, 10_000, 30_000, 100_000];
const EVENTS: usize = 200_000;
/// Events before those that are measured.
const WARM: usize = 20_000;
/// Reads of the probe.
const READS: usize = 1_000_000;

fn main() {
    let chosen: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|n| n.parse().ok())
        .collect();
    let sizes = if chosen.is_empty() {
        &SIZES[..]
    } else {
        &chosen
    };
    println!("nodes     placements/s");
    println!("{:>6} {:>14.0}", 10_000, placements(10_000));
    println!();
    println!(
        " nodes     leases    mean ns     median ns        p99 ns   actions/event   MiB held   ns/read   reads more"
    );
    let mut first: Option<Figures> = None;
    for &nodes in sizes {
        let of = mixed(nodes);
        let least = *first.get_or_insert(of);
        let more = (of.mean - least.mean) / of.read;
        println!(
            "{nodes:>6} {:>10} {:>10.0} {:>13} {:>13} {:>15.2} {:>10} {:>9.1} {more:>12.1}",
            of.leases,
            of.mean,
            of.median,
            of.p99,
            of.actions,
            of.held >> 20,
            of.read,
        );
    }
}

/// Orders placed a second, until the market is 70 % full.
fn placements(nodes: u64) -> f64 {
    let mut market = Market::new(nodes);
    let mut placed = 0;
    let mut spent = Duration::ZERO;
    while placed < nodes * 8 {
        let event = Event::Ordered(market.order());
        let begun = Instant::now();
        let actions = market.scheduler.apply(&event, market.now);
        spent += begun.elapsed();
        placed += market.note(&actions);
    }
    placed as f64 / spent.as_secs_f64()
}

#[derive(Clone, Copy)]
struct Figures {
    leases: usize,
    mean: f64,
    median: u64,
    p99: u64,
    actions: f64,
    /// Bytes of the process.
    held: usize,
    /// Nanoseconds of one dependent read within as many bytes.
    read: f64,
}

fn mixed(nodes: u64) -> Figures {
    let mut market = Market::new(nodes);
    let mut placed = 0;
    while placed < nodes * 8 {
        let event = Event::Ordered(market.order());
        placed += market.apply(&event);
        while let Some(event) = market.ready() {
            market.apply(&event);
        }
    }
    for _ in 0..WARM {
        let event = market.event();
        market.apply(&event);
    }
    let mut costs = Vec::new();
    let mut all = 0;
    while costs.len() < EVENTS {
        let event = market.event();
        let begun = Instant::now();
        let actions = market.scheduler.apply(&event, market.now);
        costs.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
        all += actions.len();
        market.note(&actions);
    }
    costs.sort_unstable();
    let held = resident();
    let leases = market.scheduler.leases().count();
    drop(market);
    // Without the one in a thousand that most likely was interrupted.
    let calm = &costs[..costs.len() * 999 / 1000];
    Figures {
        leases,
        mean: calm.iter().sum::<u64>() as f64 / calm.len() as f64,
        median: costs[costs.len() / 2],
        p99: costs[costs.len() * 99 / 100],
        actions: all as f64 / costs.len() as f64,
        held,
        read: read_cost(held),
    }
}

/// Bytes of memory that the process holds, as Linux tells; 0 elsewhere.
fn resident() -> usize {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = told.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0usize) * 4096
}

/// Nanoseconds of a read whose address the read before gave, anywhere in so many bytes.
fn read_cost(bytes: usize) -> f64 {
    let lines = (bytes / 64).max(2);
    let mut dice = 1;
    // One ring through all lines, in random order (Sattolo).
    let mut next: Vec<[u64; 8]> = (0..lines as u64).map(|n| [n; 8]).collect();
    for at in (1..lines).rev() {
        next.swap(at, usize::try_from(roll(&mut dice, at as u64)).unwrap_or(0));
    }
    let mut at = 0;
    let begun = Instant::now();
    for _ in 0..READS {
        at = usize::try_from(next[at][0]).unwrap_or(0);
    }
    let spent = begun.elapsed().as_nanos() as f64 / READS as f64;
    std::hint::black_box(at);
    spent
}

struct Market {
    scheduler: Scheduler,
    now: Timestamp,
    dice: u64,
    nodes: u64,
    orders: u64,
    first: u64,
    fresh: VecDeque<(NodeId, LeaseId)>,
    draining: VecDeque<LeaseId>,
    lost: Option<NodeId>,
}

impl Market {
    fn new(nodes: u64) -> Self {
        let mut market = Self {
            scheduler: Scheduler::new(Config::default()),
            now: Timestamp(1_700_000_000_000),
            dice: 1,
            nodes,
            orders: 0,
            first: 0,
            fresh: VecDeque::new(),
            draining: VecDeque::new(),
            lost: None,
        };
        for n in 0..nodes {
            let ask = market.ask();
            let offer = Offer {
                node: node(n),
                operator: OperatorId::from_public_key([(n % 50) as u8; 32]),
                region: region(n % 10),
                memory_bytes: (8 << market.roll(4)) * 1024 * MIB,
                cpu_milli: 64_000,
                ask,
                score: 9_900 + market.roll(100) as u32,
            };
            market.apply(&Event::NodeOffered(offer));
        }
        market
    }

    fn apply(&mut self, event: &Event) -> u64 {
        let actions = self.scheduler.apply(event, self.now);
        self.note(&actions)
    }

    /// Keeps what nodes would do about the actions. Says how many leases were granted.
    fn note(&mut self, actions: &[Action]) -> u64 {
        let mut granted = 0;
        for action in actions {
            match action {
                Action::Grant(grant) => {
                    granted += 1;
                    self.fresh.push_back((grant.node, grant.lease));
                }
                Action::Drain { lease, .. } => self.draining.push_back(*lease),
                _ => {}
            }
        }
        granted
    }

    fn ready(&mut self) -> Option<Event> {
        let (node, lease) = self.fresh.pop_front()?;
        let report = Report::Ready;
        Some(Event::LeaseReported {
            node,
            lease,
            report,
        })
    }

    fn event(&mut self) -> Event {
        self.now = self.now.plus(1);
        let event = match self.roll(100) {
            0..=12 => Some(Event::Ordered(self.order())),
            13..=25 => {
                let function = function(self.first);
                self.first += 1;
                Some(Event::Withdrawn { function })
            }
            26..=57 => self.ready(),
            58..=89 => self.draining.pop_front().map(|lease| self.drained(lease)),
            90..=92 => Some(Event::AskChanged {
                node: node(self.roll(self.nodes)),
                ask: self.ask(),
            }),
            93 => Some(match self.lost.take() {
                Some(node) => Event::NodeOnline { node },
                None => {
                    let node = node(self.roll(self.nodes));
                    self.lost = Some(node);
                    Event::NodeOffline { node }
                }
            }),
            _ => None,
        };
        event.unwrap_or_else(|| self.load())
    }

    fn load(&mut self) -> Event {
        Event::Load {
            function: function(self.first + self.roll(self.orders - self.first)),
            in_flight: self.roll(40) as u32,
            oldest_wait_ms: 0,
        }
    }

    fn drained(&self, lease: LeaseId) -> Event {
        let report = Report::Drained;
        let held = self.scheduler.lease(&lease);
        let said = |node| Event::LeaseReported {
            node,
            lease,
            report,
        };
        held.map_or(Event::Tick, |held| said(held.node))
    }

    fn order(&mut self) -> Order {
        let n = self.orders;
        self.orders += 1;
        let replicas = 1 + self.roll(4) as u32;
        let special = self.roll(9);
        Order {
            function: function(n),
            version: Version {
                deployment: DeploymentId::from_random(bytes(n)),
                digest: Digest::from_bytes([7; 32]),
                memory_bytes: (256 << self.roll(5)) * MIB,
                cpu_milli: 250 * (1 + self.roll(4) as u32),
            },
            terms: Terms {
                tenant: Tenant(format!("tenant-{}", self.roll(100))),
                priority: self.roll(3) as u8,
                min_replicas: replicas,
                max_replicas: replicas + 2,
                max_memory_price: (special == 0).then_some(900),
                max_cpu_price: None,
                regions: if special == 1 {
                    vec![region(n % 10)]
                } else {
                    vec![]
                },
                max_per_operator: (special == 2).then_some(1),
                min_score: 0,
                scaling: Scaling {
                    target_in_flight: 10,
                    max_queue_ms: 1_000,
                    stable_ms: 300_000,
                    idle_ms: 600_000,
                },
                rollout: Rollout {
                    surge: 1,
                    unavailable: 0,
                },
            },
        }
    }

    fn ask(&mut self) -> Ask {
        Ask {
            memory: 100 + self.roll(1_000),
            cpu: 1_000 + self.roll(10_000),
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        roll(&mut self.dice, sides)
    }
}

/// A number below `sides`, by SplitMix64.
fn roll(dice: &mut u64, sides: u64) -> u64 {
    *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *dice;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % sides.max(1)
}

fn bytes(n: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    // Spread over the id's range, as random ids are.
    bytes[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn node(n: u64) -> NodeId {
    NodeId::from_random(bytes(n))
}

fn region(n: u64) -> Region {
    Region(format!("region-{n}"))
}

#[expect(clippy::expect_used, reason = "the name is a label by its making")]
fn function(n: u64) -> FunctionName {
    format!("f{n}").parse().expect("a DNS label")
}
