//! How many replicas a load gets.

use nacre_scheduler::{Action, Event, Order, Phase};

use crate::support::*;

/// Ten requests a replica; down after 5 s, to none after 8 s.
fn elastic(min: u32, max: u32) -> Order {
    let mut order = order(1, 1, max);
    order.terms.min_replicas = min;
    order
}

fn wide() -> World {
    let mut world = World::new();
    world.offers((1..=20).map(|n| offer(n, 10, 1)));
    world
}

fn wanted(world: &World) -> u32 {
    world.scheduler.order(&function(1)).unwrap().wanted
}

#[test]
fn replicas_follow_requests_in_flight_within_their_bounds() {
    let mut world = wide();
    world.orders(elastic(2, 5));
    assert_eq!(wanted(&world), 2);
    for (in_flight, replicas) in [(20, 2), (21, 3), (50, 5), (51, 5), (u32::MAX, 5)] {
        world.load(1, in_flight, 0);
        assert_eq!(wanted(&world), replicas, "{in_flight} in flight");
    }
}

#[test]
fn a_request_that_waits_too_long_asks_for_one_more_than_answer() {
    let mut world = wide();
    world.orders(elastic(1, 9));
    world.all_ready();
    world.load(1, 3, 1_000);
    assert_eq!(wanted(&world), 1);
    world.load(1, 3, 1_001);
    world.load(1, 3, 2_000);
    assert_eq!(
        wanted(&world),
        2,
        "the one that loads is not asked for again"
    );
    world.all_ready();
    world.load(1, 3, 3_000);
    assert_eq!(wanted(&world), 3);
}

#[test]
fn without_requests_the_last_replica_goes_and_the_first_request_brings_it_back() {
    let mut world = wide();
    world.orders(elastic(0, 5));
    world.all_ready();
    world.load(1, 1, 0);
    world.load(1, 0, 0);
    world.pass(7_999);
    assert_eq!(world.ready(1), 1);
    world.pass(1);
    assert_eq!(world.leases(1)[0].phase, Phase::Draining);
    world.pass(3_000);
    assert_eq!(world.leases(1), []);
    let actions = world.load(1, 1, 0);
    assert_eq!(winners(&actions).len(), 1);
}

#[test]
fn a_request_during_the_drain_takes_the_replica_back_as_it_is() {
    let mut world = wide();
    world.orders(elastic(0, 5));
    world.all_ready();
    let lease = world.leases(1)[0].id;
    world.pass(8_000);
    let actions = world.load(1, 1, 0);
    assert!(actions.contains(&Action::Resume { lease }));
    assert!(grants(&actions).is_empty());
    assert_eq!(world.ready(1), 1);
}

#[test]
fn replicas_go_only_after_a_while_of_less_and_down_to_the_most_seen_in_it() {
    let mut world = wide();
    world.orders(elastic(1, 9));
    world.load(1, 80, 0);
    assert_eq!(wanted(&world), 8);
    world.load(1, 10, 0);
    world.pass(3_000);
    world.load(1, 35, 0);
    world.pass(1_000);
    world.load(1, 10, 0);
    world.pass(999);
    assert_eq!(wanted(&world), 8);
    world.pass(1);
    assert_eq!(wanted(&world), 4);
    world.pass(5_000);
    assert_eq!(wanted(&world), 1);
}

#[test]
fn a_load_that_swings_around_a_step_moves_nothing() {
    let mut world = wide();
    world.orders(elastic(1, 9));
    world.load(1, 25, 0);
    world.settle();
    let mut moved = Vec::new();
    for round in 0..200 {
        let in_flight = if round % 2 == 0 { 15 } else { 25 };
        moved.extend(world.load(1, in_flight, 0));
        moved.extend(world.pass(2_500));
    }
    // Only terms are renewed.
    let renewals = |action: &Action| matches!(action, Action::Renew { .. });
    assert!(moved.iter().all(renewals), "{moved:?}");
}

#[test]
fn a_withdrawn_order_drains_and_is_forgotten() {
    let mut world = wide();
    world.orders(elastic(2, 2));
    world.all_ready();
    world.apply(&Event::Withdrawn {
        function: function(1),
    });
    assert!(world.leases(1).iter().all(|l| l.phase == Phase::Draining));
    world.settle();
    assert_eq!(world.scheduler.order(&function(1)), None);
    assert_eq!(world.scheduler.next_wake(), None);
}
