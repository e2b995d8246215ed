//! Who gets what is short.

use nacre_scheduler::{Event, Order, Tenant};

use crate::support::*;

fn of(tenant: &str, f: u8, memory: u64) -> Order {
    let mut order = order(f, memory, 1);
    order.terms.tenant = Tenant(tenant.into());
    order
}

#[test]
fn room_goes_to_the_highest_priority_then_to_the_oldest() {
    let mut world = World::new();
    world.orders(order(1, 4, 1));
    world.orders(order(2, 4, 1));
    let mut urgent = order(3, 4, 1);
    urgent.terms.priority = 1;
    world.orders(urgent);
    let served: Vec<_> = (1..=3)
        .map(|n| grants(&world.offers([offer(n, 4, 1)]))[0].function.clone())
        .collect();
    assert_eq!(served, [function(3), function(1), function(2)]);
}

#[test]
fn an_order_too_large_for_the_room_keeps_nobody_from_it() {
    let mut world = World::new();
    let mut large = order(1, 1_000, 1);
    large.terms.priority = 9;
    world.orders(large);
    world.orders(order(2, 4, 1));
    world.offers([offer(1, 10, 1)]);
    assert_eq!(world.places(2), [node(1)]);
}

#[test]
fn room_goes_to_the_tenant_that_holds_least_for_its_weight() {
    const MIB: u64 = 1 << 20;
    let mut world = World::new();
    let (tenant, weight) = (Tenant("big".into()), 3);
    world.apply(&Event::TenantWeighted { tenant, weight });
    for f in 1..=8 {
        world.orders(of("big", f, MIB));
    }
    for f in 11..=18 {
        world.orders(of("small", f, MIB));
    }
    world.offers((1..=8).map(|n| offer(n, MIB, 1)));
    let held = |tenants: std::ops::RangeInclusive<u8>| {
        tenants.map(|f| world.places(f).len()).sum::<usize>()
    };
    assert_eq!((held(1..=8), held(11..=18)), (6, 2));
}

#[test]
fn a_tenant_that_holds_all_gives_up_its_part_as_terms_end_and_no_more() {
    const MIB: u64 = 1 << 20;
    let mut world = World::new();
    world.offers((1..=4).map(|n| offer(n, MIB, 1)));
    for f in 1..=4 {
        world.orders(of("first", f, MIB));
    }
    world.all_ready();
    for f in 11..=14 {
        world.orders(of("second", f, MIB));
    }
    for _ in 0..20 {
        world.pass(20_000);
        world.all_ready();
    }
    let held = |world: &World| (11..=14).map(|f| world.places(f).len()).sum::<usize>();
    assert_eq!(held(&world), 2);
    let before: Vec<_> = (1..=14).map(|f| world.places(f)).collect();
    world.pass(200_000);
    assert_eq!(
        before,
        (1..=14).map(|f| world.places(f)).collect::<Vec<_>>()
    );
}

#[test]
fn a_higher_priority_takes_over_when_a_term_ends_not_before() {
    let mut world = World::new();
    world.offers([offer(1, 4, 1)]);
    world.orders(order(1, 4, 1));
    world.all_ready();
    let mut urgent = order(2, 4, 1);
    urgent.terms.priority = 1;
    world.orders(urgent);
    world.pass(19_999);
    assert_eq!((world.ready(1), world.places(2)), (1, vec![]));
    world.pass(1);
    world.settle();
    assert_eq!((world.places(1), world.places(2)), (vec![], vec![node(1)]));
}

#[test]
fn more_who_wait_than_are_looked_at_in_one_step_do_not_hide_one_who_fits() {
    let mut world = World::new();
    for f in 1..=200 {
        let mut poor = order(f, 4, 1);
        poor.terms.max_memory_price = Some(1);
        poor.terms.priority = 5;
        world.orders(poor);
    }
    world.orders(order(201, 4, 1));
    world.offers([offer(1, 4, 2)]);
    assert_eq!(world.places(201), [node(1)]);
}
