//! Which events are taken.

use nacre_protocol::ids::{FunctionName, LeaseId, NodeId};

use crate::action::Grant;
use crate::error::Refusal;
use crate::event::{Event, Offer};
use crate::order::{MAX_CPU, MAX_MEMORY, WHOLE, check_name};
use crate::rows::{MAX_LEASES, Presence};
use crate::scheduler::Scheduler;
use crate::slab::{LeaseIx, NodeIx, OrderIx};

impl Scheduler {
    /// Whether the event would be taken now.
    pub fn check(&self, event: &Event) -> Result<(), Refusal> {
        match event {
            Event::NodeOffered(offer) => check_offer(offer),
            Event::AskChanged { node, ask } => {
                ask.check()?;
                self.known_node(node).map(drop)
            }
            Event::NodeScored { node, score } => {
                let fine = *score <= WHOLE;
                fine.then_some(()).ok_or(Refusal::Score)?;
                self.known_node(node).map(drop)
            }
            Event::NodeOnline { node }
            | Event::NodeOffline { node }
            | Event::NodeFailed { node }
            | Event::NodeDrained { node, .. }
            | Event::NodeKept { node } => self.known_node(node).map(drop),
            Event::Ordered(order) => {
                order.version.check()?;
                order.terms.check()
            }
            Event::CanarySet {
                function,
                version,
                weight,
            } => {
                version.check()?;
                let order = &self.orders[self.known_order(function)?];
                let part = 1..WHOLE;
                part.contains(weight).then_some(()).ok_or(Refusal::Weight)?;
                let other = *version != order.target;
                other.then_some(()).ok_or(Refusal::SameVersion)
            }
            Event::CanaryPromoted { function } => {
                let canary = self.orders[self.known_order(function)?].canary;
                canary.map(drop).ok_or(Refusal::NoOtherVersion)
            }
            Event::RolledBack { function } => {
                let order = &self.orders[self.known_order(function)?];
                let other = order.canary.is_some() || order.previous.is_some();
                other.then_some(()).ok_or(Refusal::NoOtherVersion)
            }
            Event::Withdrawn { function } | Event::Load { function, .. } => {
                self.known_order(function).map(drop)
            }
            Event::LeaseAdopted(grant) => self.check_adopted(grant),
            Event::LeaseReported { node, lease, .. } => self.known_lease(node, lease).map(drop),
            Event::TenantWeighted { tenant, weight } => {
                check_name(&tenant.0)?;
                let fine = (1..=10_000).contains(weight);
                fine.then_some(()).ok_or(Refusal::TenantWeight)
            }
            Event::Tick => Ok(()),
        }
    }

    fn check_adopted(&self, grant: &Grant) -> Result<(), Refusal> {
        grant.version.check()?;
        grant.price.check()?;
        let order = self.known_order(&grant.function)?;
        let at = &self.nodes[self.known_node(&grant.node)?];
        let free = !self.lease_ids.contains_key(&grant.lease)
            && !at.leases.contains_key(&order)
            && at.leases.len() < MAX_LEASES
            && at.presence != Presence::Failed
            && at.free_memory() >= grant.version.memory_bytes
            && at.free_cpu() >= grant.version.cpu_milli;
        free.then_some(()).ok_or(Refusal::Occupied)
    }

    pub(crate) fn known_node(&self, node: &NodeId) -> Result<NodeIx, Refusal> {
        self.node_ids.get(node).copied().ok_or(Refusal::UnknownNode)
    }

    pub(crate) fn known_order(&self, function: &FunctionName) -> Result<OrderIx, Refusal> {
        let known = self.functions.get(function).copied();
        known.ok_or(Refusal::UnknownFunction)
    }

    pub(crate) fn known_lease(&self, node: &NodeId, lease: &LeaseId) -> Result<LeaseIx, Refusal> {
        let known = self.lease_ids.get(lease).copied();
        let lease = known.ok_or(Refusal::UnknownLease)?;
        let own = self.nodes[self.leases[lease].node].id == *node;
        own.then_some(lease).ok_or(Refusal::ForeignLease)
    }
}

fn check_offer(offer: &Offer) -> Result<(), Refusal> {
    if offer.memory_bytes > MAX_MEMORY || offer.cpu_milli > MAX_CPU {
        return Err(Refusal::Size);
    }
    if offer.score > WHOLE {
        return Err(Refusal::Score);
    }
    check_name(&offer.region.0)?;
    offer.ask.check()
}
