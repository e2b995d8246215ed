//! How leases end and move.

use nacre_scheduler::{Action, Ask, Event, Phase, Report, Why};

use crate::support::*;

fn ended(actions: &[Action]) -> Vec<Why> {
    let why = |action: &Action| match action {
        Action::End { why, .. } => Some(*why),
        _ => None,
    };
    actions.iter().filter_map(why).collect()
}

#[test]
fn a_failed_nodes_leases_are_elsewhere_after_the_same_event() {
    let mut world = World::new();
    world.offers([offer(1, 10, 1), offer(2, 10, 2)]);
    world.orders(order(1, 4, 1));
    world.all_ready();
    let actions = world.apply(&Event::NodeFailed { node: node(1) });
    assert_eq!(ended(&actions), [Why::NodeFailed]);
    assert_eq!(winners(&actions), [node(2)]);
    assert_eq!(world.scheduler.node(&node(1)), None);
}

#[test]
fn a_silent_nodes_lease_ends_when_another_is_ready_and_goes_on_when_the_node_is_back_first() {
    let mut world = World::new();
    world.offers([offer(1, 10, 1), offer(2, 10, 2)]);
    world.orders(order(1, 4, 1));
    world.all_ready();
    let first = world.leases(1)[0].id;
    let actions = world.apply(&Event::NodeOffline { node: node(1) });
    assert_eq!(
        (ended(&actions), winners(&actions)),
        (vec![], vec![node(2)])
    );

    let actions = world.apply(&Event::NodeOnline { node: node(1) });
    assert_eq!(ended(&actions), [Why::Surplus]);
    assert_eq!(world.leases(1)[0].id, first);

    world.apply(&Event::NodeOffline { node: node(1) });
    let actions = world.all_ready();
    assert_eq!(ended(&actions), [Why::Moved]);
    assert_eq!(world.places(1), [node(2)]);
}

#[test]
fn a_node_that_leaves_is_empty_only_after_its_replica_answers_elsewhere() {
    let mut world = World::new();
    world.offers([offer(1, 10, 1), offer(2, 10, 2)]);
    world.orders(order(1, 4, 1));
    world.all_ready();
    let until = world.now.plus(60_000);
    let actions = world.apply(&Event::NodeDrained {
        node: node(1),
        until,
    });
    assert_eq!(winners(&actions), [node(2)]);
    assert_eq!(world.ready(1), 1);
    let actions = world.settle();
    assert!(actions.contains(&Action::NodeEmpty { node: node(1) }));
    assert_eq!((world.places(1), world.ready(1)), (vec![node(2)], 1));
}

#[test]
fn what_cannot_move_off_a_leaving_node_stays_until_it_leaves() {
    let mut world = World::new();
    world.offers([offer(1, 10, 1)]);
    world.orders(order(1, 4, 1));
    world.all_ready();
    let until = world.now.plus(60_000);
    world.apply(&Event::NodeDrained {
        node: node(1),
        until,
    });
    world.pass(59_999);
    assert_eq!(world.ready(1), 1);
    let actions = world.pass(1);
    assert_eq!(ended(&actions), [Why::NodeLeft]);
    assert!(actions.contains(&Action::NodeEmpty { node: node(1) }));
}

#[test]
fn a_node_that_shrinks_loses_its_youngest_lease() {
    let mut world = World::new();
    world.offers([offer(1, 8, 1)]);
    world.orders(order(1, 4, 1));
    world.orders(order(2, 4, 1));
    let actions = world.offers([offer(1, 7, 1)]);
    assert_eq!(ended(&actions), [Why::Shrunk]);
    assert_eq!((world.places(1), world.places(2)), (vec![node(1)], vec![]));
}

#[test]
fn the_price_stands_for_the_term_and_follows_the_ask_after_it() {
    let mut world = World::new();
    world.offers([offer(1, 10, 5)]);
    world.orders(order(1, 4, 1));
    world.all_ready();
    let ask = Ask { memory: 9, cpu: 0 };
    world.apply(&Event::AskChanged { node: node(1), ask });
    world.pass(19_999);
    assert_eq!(world.leases(1)[0].price.memory, 5);
    world.pass(1);
    assert_eq!(world.leases(1)[0].price.memory, 9);
}

/// The term is 20 s and a move costs 1 s of both, so that a new ask must be below 20/21 of the old at the term's begin.
#[test]
fn a_lease_moves_to_a_cheaper_node_only_for_more_than_the_move_costs() {
    let mut world = World::new();
    world.offers([offer(1, 10, 105)]);
    world.orders(order(1, 4, 1));
    world.all_ready();
    assert_eq!(winners(&world.offers([offer(2, 10, 100)])), []);
    assert_eq!(winners(&world.offers([offer(3, 10, 99)])), [node(3)]);
    // Until the new one answers the old one does.
    assert_eq!(world.ready(1), 1);
    world.settle();
    assert_eq!(world.places(1), [node(3)]);
}

#[test]
fn late_in_a_term_a_move_must_save_more() {
    let mut world = World::new();
    world.offers([offer(1, 10, 100)]);
    world.orders(order(1, 4, 1));
    world.all_ready();
    world.pass(18_000);
    // Two seconds are left: a third cheaper does not pay for one second of both; at the term's end it does.
    assert_eq!(winners(&world.offers([offer(2, 10, 67)])), []);
    assert_eq!(winners(&world.pass(2_000)), [node(2)]);
}

#[test]
fn a_move_that_fails_leaves_the_replica_where_it_was() {
    let mut world = World::new();
    world.offers([offer(1, 10, 100)]);
    world.orders(order(1, 4, 1));
    world.all_ready();
    let moved = world.offers([offer(2, 10, 1)]);
    world.report(grants(&moved)[0].lease, Report::Failed);
    assert_eq!((world.places(1), world.ready(1)), (vec![node(1)], 1));
}

#[test]
fn at_its_terms_end_a_lease_leaves_a_node_that_the_order_would_not_take_today() {
    let mut world = World::new();
    world.offers([offer(1, 10, 5)]);
    let mut order = order(1, 4, 1);
    order.terms.max_memory_price = Some(5);
    world.orders(order);
    world.all_ready();
    let ask = Ask { memory: 6, cpu: 0 };
    world.apply(&Event::AskChanged { node: node(1), ask });
    world.pass(19_999);
    assert_eq!(world.ready(1), 1);
    world.pass(1);
    assert_eq!(world.leases(1)[0].phase, Phase::Draining);
    world.pass(3_000);
    assert_eq!(world.leases(1), []);
}

#[test]
fn a_node_that_fails_a_function_or_never_loads_it_is_passed_over_for_a_while() {
    let mut world = World::new();
    world.offers([offer(1, 10, 1), offer(2, 10, 2)]);
    let granted = world.orders(order(1, 4, 1));
    let actions = world.report(grants(&granted)[0].lease, Report::Failed);
    assert_eq!(winners(&actions), [node(2)]);
    // The second one says nothing for as long as loading may take; by then the first may be tried again.
    assert_eq!(winners(&world.pass(10_000)), [node(1)]);
}

#[test]
fn a_function_that_fails_everywhere_is_tried_less_and_less_often() {
    let mut world = World::new();
    world.offers((1..=5).map(|n| offer(n, 10, 1)));
    let mut granted = world.orders(order(1, 4, 1));
    let mut tries = 0;
    let end = world.now.plus(110_000 + 3 * 64_000);
    while world.now < end {
        for grant in grants(&granted.clone()) {
            tries += 1;
            granted = world.report(grant.lease, Report::Failed);
        }
        if grants(&granted).is_empty() {
            granted = world.pass(100);
        }
    }
    // 3 at once; then after 8, 16 and 32 seconds; and then every 64.
    assert_eq!(tries, 3 + 3 + 3);
    assert!(
        world
            .shortage(1)
            .unwrap()
            .contains("failed on several nodes")
    );
}
