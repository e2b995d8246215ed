//! Who wins, and why nobody does.

use nacre_protocol::ids::OperatorId;
use nacre_scheduler::{Action, Ask, Event, Refusal, Region};

use crate::support::*;

#[test]
fn the_lowest_ask_that_fits_wins_and_is_the_price() {
    let mut world = World::new();
    world.offers([offer(1, 10, 5), offer(2, 3, 1), offer(3, 10, 4)]);
    let actions = world.orders(order(1, 4, 1));
    assert_eq!(winners(&actions), [node(3)]);
    assert_eq!(grants(&actions)[0].price.memory, 4);
}

#[test]
fn what_a_replica_costs_decides_not_one_of_the_two_prices() {
    let mut world = World::new();
    let ask = |n, memory, cpu| {
        let mut offer = offer(n, 1 << 34, 0);
        offer.ask = Ask { memory, cpu };
        offer
    };
    // A replica of 2 GiB whose worker computes on one processor, though half of it is reserved: 2·10 + 100 = 120,
    // 2·30 + 4 = 64, 2·20 + 50 = 90.
    world.offers([ask(1, 10, 100), ask(2, 30, 4), ask(3, 20, 50)]);
    let mut order = order(1, 2 << 30, 3);
    order.version.cpu_milli = 500;
    assert_eq!(winners(&world.orders(order)), [node(2), node(3), node(1)]);
}

#[test]
fn equal_asks_go_to_the_better_score_then_to_the_lower_id() {
    let mut world = World::new();
    let scored = |n, score| {
        let mut offer = offer(n, 10, 5);
        offer.score = score;
        offer
    };
    world.offers([scored(1, 9_000), scored(9, 9_990), scored(5, 9_990)]);
    let actions = world.orders(order(1, 4, 3));
    assert_eq!(winners(&actions), [node(5), node(9), node(1)]);
}

#[test]
fn processors_are_not_given_twice() {
    let mut world = World::new();
    world.offers([offer(1, 100, 1)]);
    for f in 1..=3 {
        let mut order = order(f, 1, 1);
        order.version.cpu_milli = 500;
        world.orders(order);
    }
    assert_eq!(world.scheduler.leases().count(), 2);
    assert_eq!(
        world.shortage(3).unwrap(),
        "0 of 1 replicas placed: no online node has room; the most free is 98 bytes of memory and 0 thousandths of a processor"
    );
}

#[test]
fn regions_scores_ceilings_and_spread_are_kept_and_said_when_they_stand_in_the_way() {
    let mut world = World::new();
    world.offers([offer(1, 10, 8), offer(2, 10, 7)]);
    let mut far = order(1, 4, 1);
    far.terms.regions = vec![Region("there".into())];
    world.orders(far);
    assert_eq!(
        world.shortage(1).unwrap(),
        "0 of 1 replicas placed: no node is online in the regions ordered"
    );
    let mut dear = order(2, 4, 1);
    dear.terms.max_memory_price = Some(6);
    world.orders(dear);
    assert_eq!(
        world.shortage(2).unwrap(),
        "0 of 1 replicas placed: the lowest ask of a node with room is 7 micro-units per GiB-second and 0 per CPU-second, above the limit"
    );
    let mut picky = order(3, 4, 1);
    picky.terms.min_score = 9_999;
    for n in [1, 2] {
        let (node, score) = (node(n), 9_998);
        world.apply(&Event::NodeScored { node, score });
    }
    world.orders(picky);
    assert_eq!(
        world.shortage(3).unwrap(),
        "0 of 1 replicas placed: only nodes below the minimum score have room"
    );
    world.orders(order(4, 4, 3));
    assert_eq!(
        world.shortage(4).unwrap(),
        "2 of 3 replicas placed: every online node with room runs a replica already; more replicas need more nodes"
    );
}

#[test]
fn an_operator_gets_no_more_replicas_than_the_order_allows() {
    let mut world = World::new();
    let of = |n, price, operator| {
        let mut offer = offer(n, 10, price);
        offer.operator = OperatorId::from_public_key([operator; 32]);
        offer
    };
    world.offers([of(1, 1, 77), of(2, 2, 77), of(3, 3, 77), of(4, 9, 88)]);
    let mut order = order(1, 4, 4);
    order.terms.max_per_operator = Some(2);
    world.orders(order);
    assert_eq!(world.places(1), [node(1), node(2), node(4)]);
    assert_eq!(
        world.shortage(1).unwrap(),
        "3 of 4 replicas placed: only operators that hold as many replicas as allowed have room; more replicas need more operators"
    );
}

#[test]
fn without_nodes_an_order_waits_and_the_first_node_that_fits_gets_it() {
    let mut world = World::new();
    world.orders(order(1, 4, 1));
    assert_eq!(
        world.shortage(1).unwrap(),
        "0 of 1 replicas placed: no node is online"
    );
    assert_eq!(winners(&world.offers([offer(1, 3, 1)])), []);
    let actions = world.offers([offer(2, 4, 9)]);
    assert_eq!(winners(&actions), [node(2)]);
    let said = |action: &Action| matches!(action, Action::Short { shortage: None, .. });
    assert!(actions.iter().any(said));
    assert_eq!(world.shortage(1), None);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut world = World::new();
    world.offers([offer(1, 10, 1)]);
    world.orders(order(1, 4, 1));
    let before = world.scheduler.clone();
    let mut none = order(2, 0, 1);
    let mut crowd = order(2, 4, 1);
    crowd.terms.min_replicas = 2;
    let mut vain = offer(2, 10, 1);
    vain.score = 10_001;
    let mut dear = offer(2, 10, 1);
    dear.ask.cpu = u64::MAX;
    none.terms.priority = 1;
    let lease = world.scheduler.leases().next().unwrap().id;
    for (event, refusal) in [
        (Event::Ordered(none), Refusal::Size),
        (Event::Ordered(crowd), Refusal::Replicas),
        (Event::NodeOffered(vain), Refusal::Score),
        (Event::NodeOffered(dear), Refusal::Price),
        (Event::NodeFailed { node: node(9) }, Refusal::UnknownNode),
        (
            Event::Withdrawn {
                function: function(9),
            },
            Refusal::UnknownFunction,
        ),
        (
            Event::RolledBack {
                function: function(1),
            },
            Refusal::NoOtherVersion,
        ),
        (
            Event::LeaseReported {
                node: node(9),
                lease,
                report: nacre_scheduler::Report::Ready,
            },
            Refusal::ForeignLease,
        ),
    ] {
        assert_eq!(world.scheduler.check(&event), Err(refusal));
        assert_eq!(world.scheduler.apply(&event, world.now), []);
    }
    assert!(world.scheduler == before);
}
