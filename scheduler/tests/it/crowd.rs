//! Enough nodes that the indexes have blocks to split, to join and to pass over.

use nacre_protocol::ids::{NodeId, OperatorId};
use nacre_scheduler::{Ask, Event, Offer, Report, Scheduler, Timestamp};
use proptest::prelude::*;

use crate::model::Model;
use crate::support::{config, function, offer, order};

const NODES: u16 = 500;

fn node(n: u16) -> NodeId {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&n.wrapping_mul(40_503).to_be_bytes());
    NodeId::from_random(id)
}

fn ask() -> impl Strategy<Value = Ask> {
    (0u64..200, 0u64..200).prop_map(|(memory, cpu)| Ask { memory, cpu })
}

fn offers() -> impl Strategy<Value = Vec<Offer>> {
    let one = (ask(), 0u8..20, 0u32..4, 8u64..10);
    prop::collection::vec(one, usize::from(NODES)).prop_map(|all| {
        let offers = (0..NODES).zip(all);
        offers
            .map(|(n, (ask, operator, score, memory))| Offer {
                node: node(n),
                operator: OperatorId::from_public_key([operator; 32]),
                ask,
                score: 9_990 + score,
                ..offer(0, memory << 30, 0)
            })
            .collect()
    })
}

#[derive(Debug, Clone)]
enum Change {
    Order(u64, u32, u32),
    Ask(u16, Ask),
    Fail(u16),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (1u64..9, 0u32..3, 1u32..6).prop_map(|(gib, cpu, n)| Change::Order(gib, cpu, n)),
        3 => (0..NODES, ask()).prop_map(|(n, ask)| Change::Ask(n, ask)),
        2 => (0..NODES).prop_map(Change::Fail),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_cheapest_of_many_wins(
        offers in offers(),
        changes in prop::collection::vec(changes(), 200),
    ) {
        let mut scheduler = Scheduler::new(config());
        let mut model = Model::default();
        let now = Timestamp(1);
        let mut events: Vec<_> = offers.into_iter().map(Event::NodeOffered).collect();
        let mut orders = 0;
        events.extend(changes.into_iter().map(|change| match change {
            Change::Order(gib, cpu, replicas) => {
                let mut order = order(1, gib << 30, replicas);
                orders += 1;
                order.function = function(orders);
                order.version.cpu_milli = cpu * 250;
                order.terms.max_per_operator = (replicas > 3).then_some(1);
                Event::Ordered(order)
            }
            Change::Ask(n, ask) => Event::AskChanged { node: node(n), ask },
            Change::Fail(n) => Event::NodeFailed { node: node(n) },
        }));
        for event in events {
            if scheduler.check(&event).is_err() {
                continue;
            }
            let mut next = Some(event);
            while let Some(event) = next.take() {
                let actions = scheduler.apply(&event, now);
                model.event(&event, now);
                let checked = model.actions(&actions, &scheduler);
                prop_assert!(checked.is_ok(), "{event:?}: {}", checked.unwrap_err());
                let loading = scheduler.leases().find(|l| l.phase < nacre_scheduler::Phase::Ready);
                next = if scheduler.next_wake().is_some_and(|at| at <= now) {
                    Some(Event::Tick)
                } else {
                    loading.map(|lease| Event::LeaseReported {
                        node: lease.node,
                        lease: lease.id,
                        report: Report::Ready,
                    })
                };
            }
        }
        prop_assert_eq!(model.at_rest(&scheduler), Ok(()));
    }
}
