//! Placements a second at 10,000 nodes, and what an event costs as the market grows.
//!
//! `cargo run --release -p nacre-scheduler --example placements [-- nodes …]`; one thread. The market: a node of 8 to 64 GiB at a
//! random ask for each of 50 operators in 10 regions; orders of 1 to 4 replicas and 256 MiB to 4 GiB, a third of them
//! with a region, a ceiling or a spread; filled to about 70 % of the memory, so that cheap nodes are full. Then a mix of
//! events: orders placed and withdrawn, loads, reports, asks, nodes lost and found.

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
        " nodes     leases    mean ns     median ns        p99 ns   most actions   actions/event"
    );
    for &nodes in sizes {
        let Figures {
            leases,
            mean,
            median,
            p99,
            most,
            actions,
        } = mixed(nodes);
        println!(
            "{nodes:>6} {leases:>10} {mean:>10} {median:>13} {p99:>13} {most:>14} {actions:>15.2}"
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

struct Figures {
    leases: usize,
    mean: u64,
    median: u64,
    p99: u64,
    most: usize,
    actions: f64,
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
    let mut costs = Vec::new();
    let mut most = 0;
    let mut all = 0;
    while costs.len() < EVENTS {
        let event = market.event();
        let begun = Instant::now();
        let actions = market.scheduler.apply(&event, market.now);
        costs.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
        most = most.max(actions.len());
        all += actions.len();
        market.note(&actions);
    }
    costs.sort_unstable();
    Figures {
        leases: market.scheduler.leases().count(),
        mean: costs.iter().sum::<u64>() / costs.len() as u64,
        median: costs[costs.len() / 2],
        p99: costs[costs.len() * 99 / 100],
        most,
        actions: all as f64 / costs.len() as f64,
    }
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
        match self.roll(100) {
            0..=29 => self.ready().unwrap_or(Event::Tick),
            30..=44 => Event::Ordered(self.order()),
            45..=59 => {
                let function = function(self.first);
                self.first += 1;
                Event::Withdrawn { function }
            }
            60..=79 => match self.draining.pop_front() {
                Some(lease) => self.drained(lease),
                None => Event::Tick,
            },
            80..=91 => Event::Load {
                function: function(self.first + self.roll(self.orders - self.first)),
                in_flight: self.roll(40) as u32,
                oldest_wait_ms: 0,
            },
            92..=97 => Event::AskChanged {
                node: node(self.roll(self.nodes)),
                ask: self.ask(),
            },
            98 => {
                let node = node(self.roll(self.nodes));
                self.lost = Some(node);
                Event::NodeOffline { node }
            }
            _ => match self.lost.take() {
                Some(node) => Event::NodeOnline { node },
                None => Event::Tick,
            },
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

    /// A number below `sides`, by SplitMix64.
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }
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
