//! How a function's versions change.

use nacre_protocol::digest::Digest;
use nacre_scheduler::{Action, Event, Order, Phase, Report, Rollout, Share};

use crate::support::*;

const NEW: u8 = 100;

/// The order for the first function, with another version.
fn updated(replicas: u32, surge: u32, unavailable: u32) -> Order {
    let mut next = order(1, 4, replicas);
    next.version = version(NEW, 4);
    next.terms.rollout = Rollout { surge, unavailable };
    next
}

fn running(nodes: u8, replicas: u32) -> World {
    let mut world = World::new();
    world.offers((1..=nodes).map(|n| offer(n, 4, u64::from(n))));
    world.orders(order(1, 4, replicas));
    world.all_ready();
    world
}

fn digests(world: &World) -> Vec<Digest> {
    world.leases(1).iter().map(|l| l.version.digest).collect()
}

fn weights(world: &World) -> Vec<(Digest, u32)> {
    let shares = world.scheduler.order(&function(1)).unwrap().shares;
    let mut weights: Vec<_> = shares.iter().map(|s| (s.digest, s.weight)).collect();
    weights.sort_by_key(|(digest, _)| *digest == Digest::of(&[NEW]));
    weights
}

const OLD: fn() -> Digest = || Digest::of(&[1]);
const NEXT: fn() -> Digest = || Digest::of(&[NEW]);

#[test]
fn an_update_adds_elsewhere_first_and_never_has_fewer_that_answer() {
    let mut world = running(5, 3);
    world.orders(updated(3, 1, 0));
    for _ in 0..20 {
        assert!(world.ready(1) >= 3);
        let leases = world.leases(1);
        let live = leases.iter().filter(|l| l.phase != Phase::Draining);
        assert!(live.count() <= 4);
        let next = world.scheduler.leases().find(|l| l.phase != Phase::Ready);
        let Some((id, phase)) = next.map(|l| (l.id, l.phase)) else {
            break;
        };
        let draining = phase == Phase::Draining;
        world.report(
            id,
            if draining {
                Report::Drained
            } else {
                Report::Ready
            },
        );
    }
    assert_eq!(digests(&world), [NEXT(); 3]);
    assert_eq!(world.ready(1), 3);
}

#[test]
fn where_there_is_no_other_node_an_update_waits_or_breaks_as_many_as_it_may() {
    let mut world = running(3, 3);
    world.orders(updated(3, 1, 0));
    assert_eq!(digests(&world), [OLD(); 3]);
    assert_eq!(
        world.shortage(1).unwrap(),
        "0 of 3 replicas placed: no online node has room; the most free is 0 bytes of memory and 1000 thousandths of a processor"
    );
    world.orders(updated(3, 1, 1));
    for answering in [2, 2, 2] {
        assert_eq!(world.ready(1), answering);
        world.all_ready_once();
    }
    assert_eq!((digests(&world), world.ready(1)), (vec![NEXT(); 3], 3));
}

#[test]
fn one_node_changes_its_version_in_place() {
    let mut world = running(1, 1);
    let actions = world.orders(updated(1, 1, 1));
    let [Action::End { .. }, Action::Grant(grant), ..] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!((grant.node, grant.version.digest), (node(1), NEXT()));
}

#[test]
fn a_new_version_that_fails_takes_no_second_place() {
    let mut world = running(3, 3);
    let actions = world.orders(updated(3, 0, 1));
    world.report(grants(&actions)[0].lease, Report::Failed);
    world.pass(1_000);
    assert_eq!(world.ready(1), 2);
    let function = function(1);
    world.apply(&Event::RolledBack { function });
    world.settle();
    assert_eq!((digests(&world), world.ready(1)), (vec![OLD(); 3], 3));
}

#[test]
fn an_update_turned_around_halfway_ends_what_it_began() {
    let mut world = running(5, 3);
    world.orders(updated(3, 1, 0));
    let function = function(1);
    let actions = world.apply(&Event::RolledBack { function });
    assert!(grants(&actions).is_empty());
    assert_eq!(digests(&world), [OLD(); 3]);
    assert_eq!(weights(&world), [(OLD(), 10_000)]);
}

#[test]
fn both_digests_are_named_from_before_the_first_answers_until_the_last_has_ended() {
    let mut world = running(2, 1);
    assert_eq!(weights(&world), [(OLD(), 10_000)]);
    world.orders(updated(1, 1, 0));
    assert_eq!(weights(&world), [(OLD(), 10_000), (NEXT(), 0)]);
    world.all_ready();
    assert_eq!(weights(&world), [(OLD(), 0), (NEXT(), 10_000)]);
    world.settle();
    assert_eq!(weights(&world), [(NEXT(), 10_000)]);
}

#[test]
fn a_canary_gets_its_weight_when_it_answers_and_replicas_by_it() {
    let mut world = running(9, 8);
    world.apply(&Event::CanarySet {
        function: function(1),
        version: version(NEW, 4),
        weight: 2_500,
    });
    assert_eq!(weights(&world), [(OLD(), 10_000), (NEXT(), 0)]);
    world.settle();
    assert_eq!(weights(&world), [(OLD(), 7_500), (NEXT(), 2_500)]);
    let canaries = digests(&world).iter().filter(|d| **d == NEXT()).count();
    assert_eq!((canaries, world.ready(1)), (2, 8));

    world.apply(&Event::CanaryPromoted {
        function: function(1),
    });
    world.settle();
    assert_eq!(weights(&world), [(NEXT(), 10_000)]);
    world.apply(&Event::RolledBack {
        function: function(1),
    });
    world.settle();
    assert_eq!(weights(&world), [(OLD(), 10_000)]);
    assert_eq!(world.ready(1), 8);
}

#[test]
fn a_canary_beside_a_single_replica_is_a_second_and_its_end_leaves_the_first() {
    let mut world = running(3, 1);
    let first = world.leases(1)[0].id;
    world.apply(&Event::CanarySet {
        function: function(1),
        version: version(NEW, 4),
        weight: 100,
    });
    world.settle();
    assert_eq!(world.ready(1), 2);
    world.apply(&Event::RolledBack {
        function: function(1),
    });
    world.settle();
    assert_eq!(world.leases(1)[0].id, first);
    assert_eq!(world.ready(1), 1);
}

#[test]
fn weights_add_up_however_they_divide() {
    let mut world = running(7, 3);
    world.apply(&Event::CanarySet {
        function: function(1),
        version: version(NEW, 4),
        weight: 3_333,
    });
    for _ in 0..6 {
        world.all_ready_once();
        let shares: &[Share] = world.scheduler.order(&function(1)).unwrap().shares;
        assert_eq!(shares.iter().map(|s| s.weight).sum::<u32>(), 10_000);
    }
}
