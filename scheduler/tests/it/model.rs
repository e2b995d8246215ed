//! The market as events and actions tell it, with every rule written out over all nodes. It shares no code with the
//! scheduler; what it cannot know from outside (which lease is moving) it reads from the scheduler's view.

use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::ids::{FunctionName, LeaseId, NodeId};
use nacre_scheduler::{
    Action, Cause, Event, Grant, Offer, Order, Phase, Report, Scheduler, Timestamp, Why,
};

#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) offer: Offer,
    pub(crate) online: bool,
    pub(crate) leaves: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) grant: Grant,
    pub(crate) phase: Phase,
    /// It replaced, on its own node, one that answered.
    pub(crate) swapped: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) sites: BTreeMap<NodeId, Site>,
    pub(crate) held: BTreeMap<LeaseId, Held>,
    pub(crate) orders: BTreeMap<FunctionName, Order>,
    /// When a node last failed a function.
    pub(crate) failed: BTreeMap<(FunctionName, NodeId), Timestamp>,
}

/// Longest time that a node is kept away from a function it failed.
pub(crate) const AVOIDED_MS: u64 = 2_000 << 8;

pub(crate) type Check = Result<(), String>;

pub(crate) fn demand(holds: bool, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(what()) }
}

impl Model {
    pub(crate) fn event(&mut self, event: &Event, now: Timestamp) {
        match event.clone() {
            Event::NodeOffered(offer) => {
                let leaves = self.sites.get(&offer.node).is_some_and(|site| site.leaves);
                let online = true;
                let site = Site {
                    offer,
                    online,
                    leaves,
                };
                self.sites.insert(site.offer.node, site);
            }
            Event::AskChanged { node, ask } => self.site(node, |site| site.offer.ask = ask),
            Event::NodeScored { node, score } => self.site(node, |site| site.offer.score = score),
            Event::NodeOnline { node } => self.site(node, |site| site.online = true),
            Event::NodeOffline { node } => self.site(node, |site| site.online = false),
            Event::NodeDrained { node, .. } => self.site(node, |site| site.leaves = true),
            Event::NodeKept { node } => self.site(node, |site| site.leaves = false),
            Event::NodeFailed { node } => {
                self.sites.remove(&node);
            }
            Event::LeaseAdopted(grant) => {
                let (phase, swapped) = (Phase::Granted, false);
                let held = Held {
                    grant,
                    phase,
                    swapped,
                };
                self.held.insert(held.grant.lease, held);
            }
            Event::Ordered(order) => {
                self.orders.insert(order.function.clone(), order);
            }
            Event::LeaseReported { lease, report, .. } => {
                let Some(held) = self.held.get_mut(&lease) else {
                    return;
                };
                match report {
                    Report::Ready if held.phase < Phase::Ready => held.phase = Phase::Ready,
                    Report::Loading if held.phase < Phase::Draining => held.phase = Phase::Loading,
                    Report::Failed => {
                        let key = (held.grant.function.clone(), held.grant.node);
                        self.failed.insert(key, now);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn site(&mut self, node: NodeId, change: impl FnOnce(&mut Site)) {
        if let Some(site) = self.sites.get_mut(&node) {
            change(site);
        }
    }

    /// Takes the actions of one event in, in their order, and holds each against the rules.
    pub(crate) fn actions(&mut self, actions: &[Action], after: &Scheduler) -> Check {
        let mut swap: Option<(FunctionName, NodeId, Option<Phase>)> = None;
        for action in actions {
            let replaced = swap.take();
            match action {
                Action::Grant(grant) => {
                    let in_place = replaced
                        .as_ref()
                        .filter(|(f, node, _)| (f, node) == (&grant.function, &grant.node));
                    if in_place.is_none() {
                        self.won(grant, after)?;
                    }
                    let held = Held {
                        grant: grant.clone(),
                        phase: Phase::Granted,
                        swapped: in_place.is_some_and(|(_, _, broken)| broken.is_some()),
                    };
                    self.held.insert(grant.lease, held);
                    if in_place.is_some_and(|(_, _, broken)| *broken == Some(Phase::Ready)) {
                        self.few_broken(grant, after)?;
                    }
                    self.room(&grant.node)?;
                }
                Action::End { lease, why } => {
                    let Some(held) = self.held.get(lease).cloned() else {
                        return Err(format!("{lease} ended twice"));
                    };
                    let broken = held.phase == Phase::Ready || held.swapped;
                    let broken = broken.then_some(held.phase);
                    if *why == Why::Failed {
                        let key = (held.grant.function.clone(), held.grant.node);
                        self.failed.insert(key, after.now());
                    }
                    self.held.remove(lease);
                    swap = (*why == Why::Replaced).then_some((
                        held.grant.function,
                        held.grant.node,
                        broken,
                    ));
                }
                Action::Drain { lease, why, .. } => {
                    let held = self.held.get_mut(lease).ok_or("drains what is not there")?;
                    demand(held.phase == Phase::Ready, || {
                        format!("{lease} drains unready")
                    })?;
                    held.phase = Phase::Draining;
                    let function = held.grant.function.clone();
                    if matches!(why, Why::Moved | Why::Surplus | Why::Replaced) {
                        self.enough_answer(&function, *why, after)?;
                    }
                }
                Action::Resume { lease } => {
                    let held = self
                        .held
                        .get_mut(lease)
                        .ok_or("resumes what is not there")?;
                    held.phase = Phase::Ready;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// An update broke another one that answered.
    fn few_broken(&self, grant: &Grant, after: &Scheduler) -> Check {
        let of_function = self
            .held
            .values()
            .filter(|h| h.grant.function == grant.function);
        let broken = of_function.filter(|h| h.swapped && h.phase < Phase::Ready);
        let broken = u32::try_from(broken.count()).unwrap();
        let order = after
            .order(&grant.function)
            .ok_or("an order that is not there")?;
        demand(broken <= order.terms.rollout.unavailable, || {
            format!("{}: {broken} broken at once", grant.function)
        })
    }

    /// Make before break.
    fn enough_answer(&self, function: &FunctionName, why: Why, after: &Scheduler) -> Check {
        let Some(order) = after.order(function) else {
            return Ok(());
        };
        let allowed = match why {
            Why::Replaced => order.terms.rollout.unavailable,
            _ => 0,
        };
        let answers = |held: &&Held| {
            let there = self.sites.get(&held.grant.node).is_some_and(|s| s.online);
            held.grant.function == *function && held.phase == Phase::Ready && there
        };
        let answer = u32::try_from(self.held.values().filter(answers).count()).unwrap();
        demand(answer + allowed.min(1) >= order.wanted, || {
            format!(
                "{function}: {answer} of {} answer after a drain, {why:?}",
                order.wanted
            )
        })
    }

    /// What holds when nothing is left to do at once.
    pub(crate) fn at_rest(&self, after: &Scheduler) -> Check {
        for node in self.sites.keys() {
            self.room(node)?;
        }
        let mut places = BTreeSet::new();
        for (id, held) in &self.held {
            let place = (held.grant.function.clone(), held.grant.node);
            demand(places.insert(place), || format!("{id}: twice on a node"))?;
            let seen = after.lease(id).ok_or("a lease is not seen")?;
            demand(seen.phase == held.phase, || {
                format!("{id}: {:?}", seen.phase)
            })?;
        }
        demand(after.leases().count() == self.held.len(), || {
            "other leases".into()
        })?;
        for (function, order) in after.orders() {
            let of_function = || self.held.values().filter(|h| h.grant.function == *function);
            let counted = of_function().filter(|held| self.counts(held, after, true));
            let placed = u32::try_from(counted.count()).unwrap();
            // A canary's replica comes beside one of the target before it takes its place.
            let trial = order.canary.is_some();
            demand(trial || placed <= order.wanted, || {
                format!("{function}: {placed} placed")
            })?;
            if placed >= order.wanted {
                continue;
            }
            let Some(shortage) = order.shortage else {
                return Err(format!(
                    "{function}: {placed} of {} and no reason",
                    order.wanted
                ));
            };
            if matches!(shortage.cause, Cause::Update | Cause::Backoff { .. }) {
                continue;
            }
            let could = self.sites.values().find(|site| {
                !self.lately_failed(function, site, after.now())
                    && self.eligible(function, &order.target, site, after, true)
            });
            let target = of_function().filter(|h| h.grant.version == order.target);
            let short =
                target.filter(|h| self.counts(h, after, true)).count() < order.wanted as usize;
            demand(could.is_none() || !short || order.canary.is_some(), || {
                format!("{function} starves beside {could:?}: {shortage}")
            })?;
        }
        Ok(())
    }
}
