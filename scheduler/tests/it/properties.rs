//! Whatever happens in whatever order, the rules hold.

use nacre_protocol::ids::{LeaseId, OperatorId};
use nacre_scheduler::{
    Action, Ask, Config, Event, Grant, Offer, Order, Region, Report, Rollout, Scheduler, Tenant,
    Timestamp,
};
use proptest::prelude::*;

use crate::model::Model;
use crate::support::{config, function, node, terms, version};

/// What happens; a lease is named by its number among those there are.
#[derive(Debug, Clone)]
enum Happening {
    Event(Box<Event>),
    Report(usize, Report),
    AllReady,
    Pass,
}

fn offers() -> impl Strategy<Value = Offer> {
    let of = (
        0u8..12,
        0u8..4,
        0u8..3,
        0u64..24,
        0u32..3,
        0u64..6,
        0u64..3,
        0u32..3,
    );
    of.prop_map(
        |(n, operator, region, memory_bytes, cpu, memory, price, score)| Offer {
            node: node(n),
            operator: OperatorId::from_public_key([operator; 32]),
            region: Region(format!("r{region}")),
            memory_bytes,
            cpu_milli: cpu * 1000,
            ask: Ask {
                memory: memory * 100,
                cpu: price,
            },
            score: 9_000 + score,
        },
    )
}

fn orders() -> impl Strategy<Value = Order> {
    let who = (0u8..6, 0u8..3, 1u64..9, 0u32..2, 0u8..2, 0u8..3);
    let how = (0u32..3, 1u32..5, 0u32..3, 0u32..2, 0u32..4, 0u32..3);
    let where_ = (prop::option::of(1u64..6), prop::option::of(0u8..3));
    (who, how, where_).prop_map(|(who, how, where_)| {
        let (f, v, memory, cpu, priority, tenant) = who;
        let (min, more, surge, unavailable, spread, score) = how;
        let mut terms = terms(1);
        terms.min_replicas = min;
        terms.max_replicas = min + more;
        terms.priority = priority;
        terms.tenant = Tenant(format!("t{tenant}"));
        terms.rollout = Rollout {
            surge: surge.max(1 - unavailable),
            unavailable,
        };
        terms.max_per_operator = (spread > 0).then_some(spread);
        terms.min_score = 9_000 + score;
        terms.max_memory_price = where_.0.map(|price| price * 100);
        terms.regions = where_
            .1
            .map(|r| Region(format!("r{r}")))
            .into_iter()
            .collect();
        let mut version = version(v, memory + u64::from(v));
        version.cpu_milli = cpu * 500;
        Order {
            function: function(f),
            version,
            terms,
        }
    })
}

fn happenings() -> impl Strategy<Value = Happening> {
    let event = |event| Happening::Event(Box::new(event));
    let nodes = || (0u8..12).prop_map(node);
    let functions = || (0u8..6).prop_map(function);
    let ask = (nodes(), 0u64..6, 0u64..3).prop_map(|(node, memory, cpu)| Event::AskChanged {
        node,
        ask: Ask {
            memory: memory * 100,
            cpu,
        },
    });
    let score = (nodes(), 0u32..3).prop_map(|(node, score)| Event::NodeScored {
        node,
        score: 9_000 + score,
    });
    let presence = (nodes(), 0u8..5, 0u64..40_000).prop_map(|(node, what, ms)| match what {
        0 => Event::NodeOnline { node },
        1 => Event::NodeOffline { node },
        2 => Event::NodeFailed { node },
        3 => Event::NodeKept { node },
        _ => Event::NodeDrained {
            node,
            until: Timestamp(1_000_000 + ms),
        },
    });
    let turn =
        (functions(), 0u8..3, 3u8..5, 1u32..10_000).prop_map(|(function, what, v, weight)| {
            match what {
                0 => Event::CanarySet {
                    function,
                    version: version(v, u64::from(v)),
                    weight,
                },
                1 => Event::CanaryPromoted { function },
                _ => Event::RolledBack { function },
            }
        });
    let load =
        (functions(), 0u32..60, 0u64..2_000).prop_map(|(function, in_flight, wait)| Event::Load {
            function,
            in_flight,
            oldest_wait_ms: wait,
        });
    let reports = prop_oneof![
        6 => Just(Report::Ready),
        2 => Just(Report::Drained),
        1 => Just(Report::Loading),
        1 => Just(Report::Failed),
    ];
    let adopt = (
        0u8..6,
        0u8..4,
        nodes(),
        1u64..9,
        any::<[u8; 16]>(),
        0u64..60_000,
    );
    let adopt = adopt.prop_map(|(f, v, node, memory, id, ms)| {
        Event::LeaseAdopted(Grant {
            lease: LeaseId::from_random(id),
            function: function(f),
            version: version(v, memory),
            node,
            price: Ask {
                memory: 250,
                cpu: 1,
            },
            until: Timestamp(1_000_000 + ms),
        })
    });
    let weigh = (0u8..3, 1u32..5).prop_map(|(tenant, weight)| Event::TenantWeighted {
        tenant: Tenant(format!("t{tenant}")),
        weight,
    });
    prop_oneof![
        6 => offers().prop_map(Event::NodeOffered).prop_map(event),
        5 => orders().prop_map(Event::Ordered).prop_map(event),
        3 => ask.prop_map(event),
        1 => score.prop_map(event),
        4 => presence.prop_map(event),
        2 => turn.prop_map(event),
        4 => load.prop_map(event),
        1 => weigh.prop_map(event),
        2 => adopt.prop_map(event),
        1 => functions().prop_map(|function| Event::Withdrawn { function }).prop_map(event),
        8 => (any::<usize>(), reports).prop_map(|(n, report)| Happening::Report(n, report)),
        3 => Just(Happening::AllReady),
        4 => Just(Happening::Pass),
    ]
}

fn histories() -> impl Strategy<Value = Vec<(Happening, u64)>> {
    prop::collection::vec((happenings(), prop_oneof![Just(0u64), 0u64..6_000]), 1..60)
}

/// The market, the model beside it, and the log.
struct Run {
    scheduler: Scheduler,
    model: Model,
    now: Timestamp,
    log: Vec<(Event, Timestamp)>,
    actions: Vec<Action>,
}

impl Run {
    fn new(config: Config) -> Self {
        Self {
            scheduler: Scheduler::new(config),
            model: Model::default(),
            now: Timestamp(1_000_000),
            log: Vec::new(),
            actions: Vec::new(),
        }
    }

    fn apply(&mut self, event: Event) -> Result<(), TestCaseError> {
        let taken = self.scheduler.check(&event).is_ok();
        let actions = self.scheduler.apply(&event, self.now);
        if taken {
            self.model.event(&event, self.now);
        }
        let checked = self.model.actions(&actions, &self.scheduler);
        prop_assert!(checked.is_ok(), "{event:?}: {}", checked.unwrap_err());
        self.log.push((event, self.now));
        self.actions.extend(actions);
        Ok(())
    }

    fn settle(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..2_000 {
            if self.scheduler.next_wake().is_none_or(|at| at > self.now) {
                let checked = self.model.at_rest(&self.scheduler);
                prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
                return Ok(());
            }
            self.apply(Event::Tick)?;
        }
        Err(TestCaseError::fail("there is always something left to do"))
    }

    fn happen(&mut self, what: Happening, after_ms: u64) -> Result<(), TestCaseError> {
        self.now = self.now.plus(after_ms);
        match what {
            Happening::Event(event) => self.apply(*event)?,
            Happening::Pass => self.now = self.now.plus(7_000),
            Happening::Report(n, report) => {
                let all: Vec<_> = self.scheduler.leases().map(|l| (l.id, l.node)).collect();
                if let Some((lease, node)) = all.get(n % all.len().max(1)).copied() {
                    self.apply(Event::LeaseReported {
                        node,
                        lease,
                        report,
                    })?;
                }
            }
            Happening::AllReady => {
                let all: Vec<_> = self.scheduler.leases().map(|l| (l.id, l.node)).collect();
                for (lease, node) in all {
                    let report = Report::Ready;
                    self.apply(Event::LeaseReported {
                        node,
                        lease,
                        report,
                    })?;
                }
            }
        }
        self.settle()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Capacity, the cheapest wins, nobody starves, spread, regions, ceilings, scores, make before break: the model
    /// holds each action and each rest against them.
    #[test]
    fn every_rule_holds_in_every_history(history in histories()) {
        let mut run = Run::new(config());
        for (what, after_ms) in history {
            run.happen(what, after_ms)?;
        }
    }

    /// The rules hold as well when an event may do little and the rest is left to the next ones.
    #[test]
    fn every_rule_holds_when_work_is_cut_into_small_pieces(history in histories()) {
        let mut run = Run::new(Config { max_actions: 16, ..config() });
        for (what, after_ms) in history {
            run.happen(what, after_ms)?;
        }
    }

    #[test]
    fn the_same_events_give_the_same_actions_and_the_same_state(history in histories()) {
        let mut run = Run::new(config());
        for (what, after_ms) in history {
            run.happen(what, after_ms)?;
        }
        let log = serde_json::to_string(&run.log).unwrap();
        let log: Vec<(Event, Timestamp)> = serde_json::from_str(&log).unwrap();
        let mut again = Scheduler::new(config());
        let actions = log.iter().flat_map(|(event, now)| again.apply(event, *now));
        let actions: Vec<_> = actions.collect();
        prop_assert_eq!(actions, run.actions);
        prop_assert!(again == run.scheduler);

        let snapshot = minicbor_serde::to_vec(&again).unwrap();
        let restored: Scheduler = minicbor_serde::from_slice(&snapshot).unwrap();
        prop_assert!(restored == run.scheduler);
    }
}
