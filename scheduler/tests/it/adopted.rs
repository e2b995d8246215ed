//! Leases from before there was this market: they are the market's from then on, and nothing is granted beside them.

use nacre_protocol::ids::LeaseId;
use nacre_scheduler::{Action, Ask, Event, Grant, Phase, Refusal, Report, Timestamp, Why};
use proptest::prelude::*;

use crate::support::*;

fn lease(n: u8) -> LeaseId {
    LeaseId::from_random([n; 16])
}

/// A lease of the function's own version, from before there were terms.
fn grant(n: u8, f: u8, at: u8) -> Grant {
    Grant {
        lease: lease(n),
        function: function(f),
        version: version(f, 4),
        node: node(at),
        price: Ask { memory: 7, cpu: 0 },
        until: Timestamp(0),
    }
}

/// Silent nodes, as they are when leases are taken over.
fn silent(world: &mut World, nodes: u8, memory: u64, price: impl Fn(u8) -> u64) {
    for n in 1..=nodes {
        world.offers([offer(n, memory, price(n))]);
        world.apply(&Event::NodeOffline { node: node(n) });
    }
}

fn adopt(world: &mut World, grant: Grant) {
    let lease = grant.lease;
    world.apply(&Event::LeaseAdopted(grant));
    world.report(lease, Report::Ready);
}

fn online(world: &mut World, nodes: u8) -> Vec<Action> {
    (1..=nodes)
        .flat_map(|n| world.apply(&Event::NodeOnline { node: node(n) }))
        .collect()
}

/// Every node asks what was paid before.
fn alike(_: u8) -> u64 {
    7
}

#[test]
fn what_ran_before_runs_on_where_it_is() {
    let mut world = World::new();
    silent(&mut world, 3, 10, alike);
    world.orders(order(1, 4, 2));
    adopt(&mut world, grant(1, 1, 2));
    adopt(&mut world, grant(2, 1, 3));
    // Node 1 has the lowest id and is there first, and keeps nothing.
    online(&mut world, 3);
    let all = world.leases(1);
    let mut held: Vec<_> = all.iter().map(|l| (l.id, l.node, l.phase)).collect();
    held.sort();
    assert_eq!(
        held,
        [
            (lease(1), node(2), Phase::Ready),
            (lease(2), node(3), Phase::Ready)
        ]
    );
    let routed = world.scheduler.order(&function(1)).unwrap().shares[0];
    assert_eq!(routed.weight, 10_000);
}

/// While its node is silent what was paid stands for a term more.
#[test]
fn its_term_begins_anew_at_the_nodes_ask() {
    let mut world = World::new();
    silent(&mut world, 1, 10, |_| 5);
    world.orders(order(1, 4, 1));
    adopt(&mut world, grant(1, 1, 1));
    online(&mut world, 1);
    world.pass(20_000);
    let own = world.leases(1);
    assert_eq!((own[0].price.memory, own[0].until > world.now), (5, true));
}

#[test]
fn it_moves_to_a_node_that_is_cheaper_by_more_than_moving_costs() {
    let mut world = World::new();
    silent(&mut world, 2, 10, u64::from);
    world.orders(order(1, 4, 1));
    adopt(&mut world, grant(1, 1, 2));
    online(&mut world, 2);
    world.pass(1);
    assert_eq!(world.ready(1), 1, "it answers until the other does");
    world.settle();
    assert_eq!(world.places(1), [node(1)]);
}

#[test]
fn more_than_are_wanted_end_and_the_dearest_first() {
    let mut world = World::new();
    silent(&mut world, 3, 10, u64::from);
    world.orders(order(1, 4, 1));
    for n in 1..=3 {
        let price = Ask {
            memory: u64::from(n),
            cpu: 0,
        };
        adopt(
            &mut world,
            Grant {
                price,
                ..grant(n, 1, n)
            },
        );
    }
    online(&mut world, 3);
    world.settle();
    assert_eq!(world.places(1), [node(1)]);
}

#[test]
fn one_of_another_version_is_replaced_make_before_break() {
    let mut world = World::new();
    silent(&mut world, 2, 10, alike);
    world.orders(order(1, 4, 1));
    let old = Grant {
        version: version(9, 4),
        ..grant(1, 1, 1)
    };
    adopt(&mut world, old);
    online(&mut world, 2);
    assert_eq!(
        (world.places(1), world.ready(1)),
        (vec![node(1), node(2)], 1)
    );
    world.settle();
    assert_eq!(world.places(1), [node(2)]);
}

#[test]
fn what_a_node_has_no_place_for_is_refused() {
    let mut world = World::new();
    silent(&mut world, 1, 10, alike);
    for f in 1..=4 {
        world.orders(order(f, 4, 1));
    }
    adopt(&mut world, grant(1, 1, 1));
    let cases = [
        (grant(1, 2, 1), Refusal::Occupied, "the id is taken"),
        (
            grant(2, 1, 1),
            Refusal::Occupied,
            "the node runs the function",
        ),
        (
            grant(2, 9, 1),
            Refusal::UnknownFunction,
            "nobody ordered it",
        ),
        (grant(2, 2, 9), Refusal::UnknownNode, "no such node"),
        (
            Grant {
                version: version(2, 7),
                ..grant(2, 2, 1)
            },
            Refusal::Occupied,
            "6 bytes are free",
        ),
        (
            Grant {
                version: nacre_scheduler::Version {
                    cpu_milli: 1_001,
                    ..version(2, 1)
                },
                ..grant(2, 2, 1)
            },
            Refusal::Occupied,
            "one processor is free",
        ),
        (
            Grant {
                version: version(2, 0),
                ..grant(2, 2, 1)
            },
            Refusal::Size,
            "no memory",
        ),
        (
            Grant {
                price: Ask {
                    memory: u64::MAX,
                    cpu: 0,
                },
                ..grant(2, 2, 1)
            },
            Refusal::Price,
            "no price",
        ),
    ];
    let before = world.scheduler.clone();
    for (grant, why, what) in cases {
        let event = Event::LeaseAdopted(grant);
        assert_eq!(world.scheduler.check(&event), Err(why), "{what}");
        let actions = world.scheduler.apply(&event, world.now);
        assert!(actions.is_empty() && world.scheduler == before, "{what}");
    }
    // A node that is forgotten is no place either.
    world.apply(&Event::NodeFailed { node: node(1) });
    let gone = Event::LeaseAdopted(grant(2, 2, 1));
    assert_eq!(world.scheduler.check(&gone), Err(Refusal::UnknownNode));
}

#[test]
fn it_ends_as_others_do() {
    let mut world = World::new();
    silent(&mut world, 2, 10, alike);
    world.orders(order(1, 4, 1));
    adopt(&mut world, grant(1, 1, 1));
    online(&mut world, 2);
    let actions = world.apply(&Event::NodeFailed { node: node(1) });
    let end = Action::End {
        lease: lease(1),
        why: Why::NodeFailed,
    };
    assert!(actions.contains(&end), "{actions:?}");
    assert_eq!(winners(&actions), [node(2)]);
}

proptest! {
    /// Whatever ran wherever: all of it that is wanted stays, the rest ends, and only what is short is granted.
    #[test]
    fn what_is_wanted_of_it_stays_and_only_what_is_short_is_granted(
        wanted in prop::collection::vec(0u32..5, 3),
        places in prop::collection::btree_set((0u8..3, 1u8..7), 0..18),
    ) {
        let mut world = World::new();
        silent(&mut world, 6, 12, alike);
        for (f, replicas) in (0..).zip(&wanted) {
            let mut order = order(f, 4, *replicas);
            order.terms.max_replicas = (*replicas).max(1);
            world.orders(order);
        }
        let mut adopted = [0; 3];
        for (n, (f, at)) in (0..).zip(&places) {
            adopt(&mut world, grant(n, *f, *at));
            adopted[usize::from(*f)] += 1;
        }
        online(&mut world, 6);
        world.settle();
        for (f, adopted) in (0..).zip(adopted) {
            let wanted = world.scheduler.order(&function(f)).unwrap().wanted as usize;
            let held = world.leases(f);
            let old = held.iter().filter(|l| (0..18).any(|n| l.id == lease(n)));
            prop_assert_eq!((held.len(), old.count()), (wanted, wanted.min(adopted)));
        }
        for n in 1..=6 {
            let at = world.scheduler.node(&node(n)).unwrap();
            prop_assert!(at.held_memory_bytes <= 12);
        }
    }
}
