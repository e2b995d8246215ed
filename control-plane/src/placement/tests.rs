use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn node_id(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

fn deployment_id(n: u8) -> DeploymentId {
    DeploymentId::from_random([n; 16])
}

fn lease_id(n: u8) -> LeaseId {
    LeaseId::from_random([n; 16])
}

fn node(n: u8, memory_bytes: u64, price: u64) -> Node {
    Node {
        id: node_id(n),
        online: true,
        memory_bytes,
        price,
    }
}

fn order(n: u8, memory_bytes: u64, replicas: u32) -> Order {
    Order {
        deployment: deployment_id(n),
        function: format!("f{n}").parse().unwrap(),
        memory_bytes,
        replicas,
        max_price: None,
        created_ms: u64::from(n),
    }
}

fn lease(n: u8, order: &Order, node: u8) -> Lease {
    Lease {
        id: lease_id(n),
        deployment: order.deployment,
        function: order.function.clone(),
        node: node_id(node),
        memory_bytes: order.memory_bytes,
        ready: true,
        granted_ms: u64::from(n),
    }
}

fn winners(plan: &Plan) -> Vec<NodeId> {
    plan.grants.iter().map(|grant| grant.node).collect()
}

#[test]
fn the_lowest_ask_that_fits_wins() {
    let market = Market {
        nodes: vec![node(1, 10, 5), node(2, 3, 1), node(3, 10, 4)],
        orders: vec![order(1, 4, 1)],
        ..Market::default()
    };
    let plan = plan(&market);
    assert_eq!(winners(&plan), [node_id(3)]);
    assert_eq!(plan.grants[0].price, 4);
    assert_eq!(plan.shortages[&deployment_id(1)], None);
}

#[test]
fn equal_asks_go_to_the_lower_id() {
    let market = Market {
        nodes: vec![node(9, 10, 5), node(2, 10, 5), node(5, 10, 5)],
        orders: vec![order(1, 4, 2)],
        ..Market::default()
    };
    assert_eq!(winners(&plan(&market)), [node_id(2), node_id(5)]);
}

#[test]
fn a_shortage_says_what_is_short() {
    let say = |nodes: Vec<Node>, order: Order| {
        let id = order.deployment;
        let market = Market {
            nodes,
            orders: vec![order],
            ..Market::default()
        };
        plan(&market).shortages[&id].as_ref().unwrap().to_string()
    };
    assert_eq!(
        say(vec![], order(1, 4, 1)),
        "0 of 1 replicas placed: no node is online"
    );
    assert_eq!(
        say(vec![node(1, 3, 1)], order(1, 4, 1)),
        "0 of 1 replicas placed: no online node has 4 bytes of memory free; the most is 3"
    );
    assert_eq!(
        say(vec![node(1, 9, 1)], order(1, 4, 2)),
        "1 of 2 replicas placed: every online node runs a replica already; more replicas need more nodes"
    );
    let mut dear = order(1, 4, 1);
    dear.max_price = Some(6);
    assert_eq!(
        say(vec![node(1, 9, 8), node(2, 9, 7), node(3, 1, 1)], dear),
        "0 of 1 replicas placed: the lowest ask of a node with room is 7 micro-units per GiB-second, above the limit of 6"
    );
}

#[test]
fn a_lease_leaves_an_offline_node_only_when_another_takes_it() {
    let order = order(1, 4, 1);
    let mut market = Market {
        nodes: vec![node(1, 10, 1)],
        leases: vec![lease(1, &order, 1)],
        orders: vec![order],
    };
    assert_eq!(plan(&market).end, []);
    market.nodes[0].online = false;
    let stuck = plan(&market);
    assert_eq!((stuck.end.len(), stuck.grants.len()), (0, 0));
    assert!(stuck.shortages[&deployment_id(1)].is_some());
    market.nodes.push(node(2, 10, 9));
    let moved = plan(&market);
    assert_eq!(moved.end, [lease_id(1)]);
    assert_eq!(winners(&moved), [node_id(2)]);
}

#[test]
fn a_new_deployment_takes_the_old_ones_place_where_they_meet_and_waits_elsewhere() {
    let old = order(1, 6, 2);
    let new = Order {
        deployment: deployment_id(2),
        created_ms: 2,
        replicas: 1,
        ..old.clone()
    };
    // The node holds 6 of 8 bytes for the old version; the new one fits only in its place.
    let mut market = Market {
        nodes: vec![node(1, 8, 1), node(2, 8, 2)],
        leases: vec![lease(1, &old, 1), lease(2, &old, 2)],
        orders: vec![new.clone()],
    };
    let first = plan(&market);
    assert_eq!(first.end, [lease_id(1)]);
    assert_eq!(winners(&first), [node_id(1)]);

    market.leases[0] = Lease {
        ready: false,
        ..lease(3, &new, 1)
    };
    assert_eq!(plan(&market).end, []);
    market.leases[0].ready = true;
    assert_eq!(plan(&market).end, [lease_id(2)]);
}

#[test]
fn a_node_that_shrinks_loses_its_youngest_lease() {
    let (a, b) = (order(1, 4, 1), order(2, 4, 1));
    let market = Market {
        nodes: vec![node(1, 7, 1)],
        leases: vec![lease(1, &a, 1), lease(2, &b, 1)],
        orders: vec![a, b],
    };
    let plan = plan(&market);
    assert_eq!(plan.end, [lease_id(2)]);
    assert_eq!(plan.grants, []);
}

/// Markets as they can arise: one live deployment a function, one lease of a function a node.
fn markets() -> impl Strategy<Value = Market> {
    let nodes = prop::collection::vec((any::<bool>(), 0u64..20, 0u64..4), 0..7);
    let orders = prop::collection::vec((1u64..9, 1u32..4, prop::option::of(0u64..4)), 0..5);
    let leases = prop::collection::vec((0u8..7, 0u8..5, any::<bool>(), any::<bool>()), 0..20);
    (nodes, orders, leases).prop_map(|(nodes, orders, leases)| {
        let nodes: Vec<Node> = (0u8..)
            .zip(nodes)
            .map(|(n, (online, memory, price))| Node {
                online,
                ..node(n, memory, price)
            })
            .collect();
        let orders: Vec<Order> = (0u8..)
            .zip(orders)
            .map(|(n, (memory, replicas, max_price))| Order {
                max_price,
                ..order(n, memory, replicas)
            })
            .collect();
        let mut held: BTreeMap<(u8, u8), Lease> = BTreeMap::new();
        for (n, (on, of, live, ready)) in (0u8..).zip(leases) {
            let Some(order) = orders.get(usize::from(of)) else {
                continue;
            };
            let live_leases = held.values().filter(|l| l.deployment == order.deployment);
            let full = live_leases.count() >= order.replicas as usize;
            if usize::from(on) < nodes.len() {
                let mut lease = Lease {
                    ready,
                    ..lease(n, order, on)
                };
                if !live || full {
                    lease.deployment = deployment_id(100 + of);
                }
                held.entry((on, of)).or_insert(lease);
            }
        }
        Market {
            nodes,
            leases: held.into_values().collect(),
            orders,
        }
    })
}

fn applied(market: &Market, plan: &Plan) -> Market {
    let mut next = market.clone();
    next.leases.retain(|lease| !plan.end.contains(&lease.id));
    for (n, grant) in (100u8..).zip(&plan.grants) {
        let order = order_of(market, grant.deployment);
        let on = grant.node.as_bytes()[0];
        next.leases.push(Lease {
            ready: false,
            ..lease(n, order, on)
        });
    }
    next
}

fn order_of(market: &Market, id: DeploymentId) -> &Order {
    market
        .orders
        .iter()
        .find(|order| order.deployment == id)
        .unwrap()
}

fn used(market: &Market, node: NodeId) -> u64 {
    let on = market.leases.iter().filter(|lease| lease.node == node);
    on.map(|lease| lease.memory_bytes).sum()
}

/// Written apart from the auction: whether `node` could take one more replica of `order` in `market`.
fn eligible(market: &Market, order: &Order, node: &Node) -> bool {
    let of_function = |lease: &&Lease| lease.node == node.id && lease.function == order.function;
    let own = market
        .leases
        .iter()
        .filter(of_function)
        .any(|l| l.deployment == order.deployment);
    let freed: u64 = market
        .leases
        .iter()
        .filter(of_function)
        .map(|l| l.memory_bytes)
        .sum();
    node.online
        && !own
        && used(market, node.id) - freed + order.memory_bytes <= node.memory_bytes
        && order.max_price.is_none_or(|max| node.price <= max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn capacity_is_never_exceeded_and_a_function_runs_once_a_node(market in markets()) {
        let next = applied(&market, &plan(&market));
        for node in &next.nodes {
            prop_assert!(used(&next, node.id) <= node.memory_bytes);
        }
        let mut places: Vec<_> = next.leases.iter().map(|l| (l.node, l.function.clone())).collect();
        places.sort();
        let all = places.len();
        places.dedup();
        prop_assert_eq!(places.len(), all);
    }

    #[test]
    fn every_winner_was_the_cheapest_that_could_take_it(market in markets()) {
        let plan = plan(&market);
        let mut then = market.clone();
        // The ends that rules 1 and 2 made come before all grants; those of rules 4 and 5 belong to a grant.
        let untouched: Vec<_> = then.leases.iter().map(|l| l.id).filter(|id| plan.end.contains(id)).collect();
        let mut pending = untouched;
        for grant in &plan.grants {
            let order = order_of(&market, grant.deployment).clone();
            let winner = then.nodes.iter().find(|n| n.id == grant.node).unwrap().clone();
            prop_assert_eq!(winner.price, grant.price);
            // Whatever else has ended by the plan's end only makes more nodes eligible, so judge on what is left.
            let strict = Market {
                leases: then.leases.iter().filter(|l| !pending.contains(&l.id)).cloned().collect(),
                ..then.clone()
            };
            prop_assert!(eligible(&strict, &order, &winner));
            for other in &then.nodes {
                let better = (other.price, other.id) < (winner.price, winner.id);
                prop_assert!(!(better && eligible(&then, &order, other)));
            }
            then.leases.retain(|l| !(l.node == grant.node && l.function == order.function));
            pending.retain(|id| then.leases.iter().any(|l| l.id == *id));
            let n = 200 - u8::try_from(then.leases.len()).unwrap();
            then.leases.push(lease(n, &order, grant.node.as_bytes()[0]));
        }
    }

    #[test]
    fn an_order_short_of_replicas_fits_nowhere(market in markets()) {
        let plan = plan(&market);
        let next = applied(&market, &plan);
        for order in &next.orders {
            let placed = next.leases.iter().filter(|l| {
                l.deployment == order.deployment && next.nodes.iter().any(|n| n.id == l.node && n.online)
            }).count();
            let short = plan.shortages[&order.deployment].as_ref();
            prop_assert_eq!(short.is_some(), placed < order.replicas as usize);
            if short.is_some() {
                prop_assert!(!next.nodes.iter().any(|node| eligible(&next, order, node)));
            }
            let held = next.leases.iter().filter(|l| l.deployment == order.deployment).count();
            prop_assert!(held <= order.replicas as usize);
        }
    }

    #[test]
    fn the_listing_order_does_not_matter_and_a_plan_settles(
        (market, seed) in markets().prop_flat_map(|market| {
            let nodes = Just(market.nodes.clone()).prop_shuffle();
            let leases = Just(market.leases.clone()).prop_shuffle();
            let orders = Just(market.orders.clone()).prop_shuffle();
            let shuffled = (nodes, leases, orders)
                .prop_map(|(nodes, leases, orders)| Market { nodes, leases, orders });
            (Just(market), shuffled)
        })
    ) {
        let first = plan(&market);
        prop_assert_eq!(&first, &plan(&seed));
        let again = plan(&applied(&market, &first));
        prop_assert_eq!((again.end, again.grants), (vec![], vec![]));
    }
}
