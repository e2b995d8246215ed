//! Tenants share what is short by their weights.

use nacre_scheduler::{Event, Offer, Order, Tenant};
use proptest::prelude::*;

use crate::support::*;

const MIB: u64 = 1 << 20;
const TERM_MS: u64 = 20_000;

fn tenant(t: usize) -> Tenant {
    Tenant(format!("t{t}"))
}

/// One replica, as large as a place.
fn order_of(t: usize, f: u8) -> Order {
    let mut order = order(f, MIB, 1);
    order.terms.tenant = tenant(t);
    order
}

/// A node for so many replicas.
fn site(n: u8, places: u64) -> Offer {
    offer(n, places * MIB, 1)
}

fn weigh(world: &mut World, weights: &[u32]) {
    for (t, weight) in weights.iter().enumerate() {
        let (tenant, weight) = (tenant(t), *weight);
        world.apply(&Event::TenantWeighted { tenant, weight });
    }
}

/// Terms end and begin until nothing moves for two of them.
fn settled(world: &mut World, tenants: usize) -> Vec<u64> {
    let mut last = (Vec::new(), 0);
    for _ in 0..60 {
        for _ in 0..4 {
            world.pass(TERM_MS / 4);
            world.all_ready();
        }
        let held = held(world, tenants);
        last = if last.0 == held {
            (held, last.1 + 1)
        } else {
            (held, 0)
        };
        if last.1 == 2 {
            return last.0;
        }
    }
    panic!("it never settles: {:?}", last.0);
}

fn held(world: &World, tenants: usize) -> Vec<u64> {
    let of = |t: usize| {
        let all = world.scheduler.orders();
        let own = all.filter(|(_, order)| order.terms.tenant == tenant(t));
        own.map(|(_, order)| order.leases.len() as u64).sum()
    };
    (0..tenants).map(of).collect()
}

/// The bounds that the rules promise, and that nobody starves.
fn is_fair(held: &[u64], weights: &[u32], places: u64) -> Result<(), TestCaseError> {
    let all: u64 = weights.iter().map(|w| u64::from(*w)).sum();
    let tenants = held.len() as u64;
    prop_assert_eq!(held.iter().sum::<u64>(), places, "no place is left empty");
    for (held, weight) in held.iter().zip(weights) {
        let weight = u64::from(*weight);
        prop_assert!(held * all >= weight * places.saturating_sub(tenants));
        prop_assert!(held * all < weight * places + all);
    }
    let most = held.iter().max().copied().unwrap_or_default();
    prop_assert!(
        most < 2 || !held.contains(&0),
        "somebody starves: {:?}",
        held
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever came first, and whoever holds all of it now: by the time that terms have ended, each tenant has its part.
    #[test]
    fn shares_come_to_what_weights_say_and_nobody_starves(
        weights in prop::collection::vec(1u32..6, 2..5),
        nodes in prop::collection::vec(1u64..5, 2..5),
        again in prop::collection::vec(1u32..6, 4),
        turns in prop::collection::vec(0usize..4, 40),
    ) {
        let mut world = World::new();
        let places: u64 = nodes.iter().sum();
        let tenants = weights.len();
        weigh(&mut world, &weights);
        for (n, places) in nodes.iter().enumerate() {
            world.offers([site(n as u8 + 1, *places)]);
        }
        // In any order, until each waits for more than there is.
        let mut ordered = vec![0; tenants];
        let all = turns.iter().map(|t| t % tenants);
        let rest = (0..tenants).flat_map(|t| core::iter::repeat_n(t, places as usize + 1));
        for (f, t) in all.chain(rest).enumerate() {
            if ordered[t] <= places {
                ordered[t] += 1;
                world.orders(order_of(t, f as u8));
                world.all_ready();
                world.pass(700);
            }
        }
        let first = settled(&mut world, tenants);
        is_fair(&first, &weights, places)?;
        // Other weights, other parts.
        let again = &again[..tenants];
        weigh(&mut world, again);
        let second = settled(&mut world, tenants);
        is_fair(&second, again, places)?;
    }
}

#[test]
fn with_many_places_shares_are_the_weights() {
    let mut world = World::new();
    weigh(&mut world, &[1, 3]);
    for f in 0..100 {
        world.orders(order_of(0, f));
    }
    world.offers((1..=10).map(|n| site(n, 8)));
    world.all_ready();
    for f in 100..200 {
        world.orders(order_of(1, f));
    }
    assert_eq!(held(&world, 2), [80, 0]);
    assert_eq!(settled(&mut world, 2), [20, 60]);
}

#[test]
fn one_who_waits_for_one_place_ends_one_lease_however_many_terms_end_with_it() {
    let mut world = World::new();
    world.offers([site(1, 8)]);
    for f in 0..8 {
        world.orders(order_of(0, f));
    }
    world.all_ready();
    world.orders(order_of(1, 100));
    let actions = world.pass(TERM_MS);
    let drained = actions
        .iter()
        .filter(|action| matches!(action, nacre_scheduler::Action::Drain { .. }));
    assert_eq!(drained.count(), 1);
    assert_eq!(settled(&mut world, 2), [7, 1]);
}

#[test]
fn a_promise_to_one_who_does_not_wait_any_more_leaves_the_room_to_others() {
    let mut world = World::new();
    world.offers([site(1, 2)]);
    for f in 0..2 {
        world.orders(order_of(0, f));
    }
    world.all_ready();
    world.orders(order_of(1, 100));
    world.pass(TERM_MS);
    world.apply(&Event::Withdrawn {
        function: function(100),
    });
    assert_eq!(settled(&mut world, 2), [2, 0]);
    let shares: Vec<_> = world.scheduler.tenants().map(|(_, _, held)| held).collect();
    assert_eq!(shares, [2 * MIB / 1024, 0]);
}
