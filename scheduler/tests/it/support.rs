//! Small markets to try a rule on.

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{DeploymentId, FunctionName, LeaseId, NodeId, OperatorId};
use nacre_scheduler::{
    Action, Ask, Config, Event, Grant, Lease, Offer, Order, Phase, Region, Report, Rollout,
    Scaling, Scheduler, Tenant, Terms, Timestamp, Version,
};

pub(crate) fn config() -> Config {
    Config {
        seed: [7; 32],
        term_ms: 20_000,
        move_ms: 1_000,
        load_ms: 10_000,
        drain_ms: 3_000,
        avoid_ms: 2_000,
        max_actions: 1024,
    }
}

pub(crate) fn node(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

pub(crate) fn function(n: u8) -> FunctionName {
    format!("f{n}").parse().unwrap()
}

/// An offer of an operator of its own.
pub(crate) fn offer(n: u8, memory_bytes: u64, price: u64) -> Offer {
    Offer {
        node: node(n),
        operator: OperatorId::from_public_key([n; 32]),
        region: Region("here".into()),
        memory_bytes,
        cpu_milli: 1000,
        ask: Ask {
            memory: price,
            cpu: 0,
        },
        score: 10_000,
    }
}

pub(crate) fn version(n: u8, memory_bytes: u64) -> Version {
    Version {
        deployment: DeploymentId::from_random([n; 16]),
        digest: Digest::of(&[n]),
        memory_bytes,
        cpu_milli: 0,
    }
}

pub(crate) fn terms(replicas: u32) -> Terms {
    Terms {
        tenant: Tenant("t".into()),
        priority: 0,
        min_replicas: replicas,
        max_replicas: replicas,
        max_memory_price: None,
        max_cpu_price: None,
        regions: Vec::new(),
        max_per_operator: None,
        min_score: 0,
        scaling: Scaling {
            target_in_flight: 10,
            max_queue_ms: 1_000,
            stable_ms: 5_000,
            idle_ms: 8_000,
        },
        rollout: Rollout {
            surge: 1,
            unavailable: 0,
        },
    }
}

pub(crate) fn order(f: u8, memory_bytes: u64, replicas: u32) -> Order {
    Order {
        function: function(f),
        version: version(f, memory_bytes),
        terms: terms(replicas),
    }
}

/// A market with its time.
pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            scheduler: Scheduler::new(config()),
            now: Timestamp(1_000_000),
        }
    }

    /// The event and all that it leaves to do at once.
    pub(crate) fn apply(&mut self, event: &Event) -> Vec<Action> {
        assert_eq!(self.scheduler.check(event), Ok(()), "{event:?}");
        let mut actions = self.scheduler.apply(event, self.now);
        while self.scheduler.next_wake().is_some_and(|at| at <= self.now) {
            actions.extend(self.scheduler.apply(&Event::Tick, self.now));
        }
        actions
    }

    pub(crate) fn offers(&mut self, offers: impl IntoIterator<Item = Offer>) -> Vec<Action> {
        let offers = offers.into_iter();
        offers
            .flat_map(|o| self.apply(&Event::NodeOffered(o)))
            .collect()
    }

    pub(crate) fn orders(&mut self, order: Order) -> Vec<Action> {
        self.apply(&Event::Ordered(order))
    }

    /// Time passes, with a tick whenever one is due.
    pub(crate) fn pass(&mut self, ms: u64) -> Vec<Action> {
        let end = self.now.plus(ms);
        let mut actions = Vec::new();
        while let Some(at) = self.scheduler.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            actions.extend(self.scheduler.apply(&Event::Tick, self.now));
        }
        self.now = end;
        actions
    }

    pub(crate) fn report(&mut self, lease: LeaseId, report: Report) -> Vec<Action> {
        let node = self.scheduler.lease(&lease).unwrap().node;
        self.apply(&Event::LeaseReported {
            node,
            lease,
            report,
        })
    }

    /// Every node says that its leases are ready, until none is new.
    pub(crate) fn all_ready(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(lease) = self.first(|lease| lease.phase < Phase::Ready) {
            actions.extend(self.report(lease, Report::Ready));
        }
        actions
    }

    /// Every node says once that what it loads now is ready.
    pub(crate) fn all_ready_once(&mut self) {
        let all = self.scheduler.leases();
        let loading: Vec<_> = all
            .filter(|l| l.phase < Phase::Ready)
            .map(|l| l.id)
            .collect();
        for lease in loading {
            self.report(lease, Report::Ready);
        }
    }

    /// As [`Self::all_ready`], and drained leases are done at once.
    pub(crate) fn settle(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(lease) = self.first(|lease| lease.phase != Phase::Ready) {
            let draining = self.scheduler.lease(&lease).unwrap().phase == Phase::Draining;
            let report = if draining {
                Report::Drained
            } else {
                Report::Ready
            };
            actions.extend(self.report(lease, report));
        }
        actions
    }

    fn first(&self, which: impl Fn(&Lease<'_>) -> bool) -> Option<LeaseId> {
        self.scheduler.leases().find(which).map(|lease| lease.id)
    }

    /// Which nodes hold the function, in the order of their ids.
    pub(crate) fn places(&self, f: u8) -> Vec<NodeId> {
        let mut places: Vec<_> = self.leases(f).iter().map(|lease| lease.node).collect();
        places.sort();
        places
    }

    pub(crate) fn leases(&self, f: u8) -> Vec<Lease<'_>> {
        let name = function(f);
        let all = self.scheduler.leases();
        all.filter(|lease| *lease.function == name).collect()
    }

    pub(crate) fn ready(&self, f: u8) -> usize {
        let leases = self.leases(f);
        leases.iter().filter(|l| l.phase == Phase::Ready).count()
    }

    pub(crate) fn load(&mut self, f: u8, in_flight: u32, oldest_wait_ms: u64) -> Vec<Action> {
        self.apply(&Event::Load {
            function: function(f),
            in_flight,
            oldest_wait_ms,
        })
    }

    /// Why the function is short, in words.
    pub(crate) fn shortage(&self, f: u8) -> Option<String> {
        let order = self.scheduler.order(&function(f)).unwrap();
        order.shortage.map(ToString::to_string)
    }
}

pub(crate) fn grants(actions: &[Action]) -> Vec<&Grant> {
    fn grant(action: &Action) -> Option<&Grant> {
        match action {
            Action::Grant(grant) => Some(grant),
            _ => None,
        }
    }
    actions.iter().filter_map(grant).collect()
}

pub(crate) fn winners(actions: &[Action]) -> Vec<NodeId> {
    grants(actions).iter().map(|grant| grant.node).collect()
}
