//! What the scheduler remembers of nodes, orders and leases.

use std::collections::BTreeMap;

use nacre_protocol::ids::{FunctionName, LeaseId, NodeId};
use serde::{Deserialize, Serialize};

use crate::action::{Share, Shortage};
use crate::event::Offer;
use crate::ladder::Rung;
use crate::order::{Ask, Order, Region, Terms, Timestamp, Version};
use crate::scale::Scale;
use crate::slab::{LeaseIx, NodeIx, OperatorIx, OrderIx, TenantIx};
use crate::waiting::{Room, Ticket, Wish};

/// Most leases that one node holds.
pub(crate) const MAX_LEASES: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Presence {
    Online,
    Offline,
    /// Forgotten as soon as its leases have ended.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRow {
    pub(crate) id: NodeId,
    pub(crate) operator: OperatorIx,
    pub(crate) region: Region,
    pub(crate) memory: u64,
    pub(crate) cpu: u32,
    pub(crate) held_memory: u64,
    pub(crate) held_cpu: u32,
    pub(crate) ask: Ask,
    pub(crate) score: u32,
    pub(crate) presence: Presence,
    /// When it leaves.
    pub(crate) leaves: Option<Timestamp>,
    /// By function, because an enclave finds what it runs by the function's name.
    pub(crate) leases: BTreeMap<OrderIx, LeaseIx>,
    /// As it stands on the shelves; only nodes that may win leases do.
    pub(crate) rung: Option<Rung>,
}

impl NodeRow {
    pub(crate) fn new(offer: &Offer, operator: OperatorIx) -> Self {
        Self {
            id: offer.node,
            operator,
            region: offer.region.clone(),
            memory: offer.memory_bytes,
            cpu: offer.cpu_milli,
            held_memory: 0,
            held_cpu: 0,
            ask: offer.ask,
            score: offer.score,
            presence: Presence::Online,
            leaves: None,
            leases: BTreeMap::new(),
            rung: None,
        }
    }

    pub(crate) fn free_memory(&self) -> u64 {
        self.memory.saturating_sub(self.held_memory)
    }

    pub(crate) fn free_cpu(&self) -> u32 {
        self.cpu.saturating_sub(self.held_cpu)
    }

    /// What it would have free with so much more.
    pub(crate) fn room(&self, more: u64) -> Room<'_> {
        Room {
            memory: self.free_memory().saturating_add(more),
            price: self.ask.memory,
            region: &self.region,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.presence == Presence::Online && self.leaves.is_none()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderRow {
    pub(crate) function: FunctionName,
    pub(crate) terms: Terms,
    pub(crate) tenant: TenantIx,
    /// Rises with each order that was ever placed: its age.
    pub(crate) seq: u64,
    /// What all replicas run once nothing is in progress.
    pub(crate) target: Version,
    /// What the target was before.
    pub(crate) previous: Option<Version>,
    /// What is on trial, and its part of the traffic.
    pub(crate) canary: Option<(Version, u32)>,
    pub(crate) withdrawn: bool,
    pub(crate) scale: Scale,
    /// In the order in which they were granted.
    pub(crate) leases: Vec<LeaseIx>,
    /// Leases in a row that failed since one was ready.
    pub(crate) failures: u32,
    pub(crate) retry_at: Timestamp,
    /// Nodes that failed the function, and until when it is kept away from them.
    pub(crate) avoid: BTreeMap<NodeId, Timestamp>,
    pub(crate) ticket: Option<Ticket>,
    /// Leases that end for its sake.
    pub(crate) promised: u32,
    pub(crate) shortage: Option<Shortage>,
    pub(crate) shares: Vec<Share>,
    /// The replicas that were last said to be wanted.
    pub(crate) told: (u32, u32),
    pub(crate) timer: Option<Timestamp>,
    /// The share of its tenant when it was put among those to be looked at.
    pub(crate) dirty: Option<u64>,
}

impl OrderRow {
    pub(crate) fn new(order: &Order, tenant: TenantIx, seq: u64, scale: Scale) -> Self {
        Self {
            function: order.function.clone(),
            terms: order.terms.clone(),
            tenant,
            seq,
            target: order.version,
            previous: None,
            canary: None,
            withdrawn: false,
            scale,
            leases: Vec::new(),
            failures: 0,
            retry_at: Timestamp::default(),
            avoid: BTreeMap::new(),
            ticket: None,
            promised: 0,
            shortage: None,
            shares: Vec::new(),
            told: (0, 0),
            timer: None,
            dirty: None,
        }
    }

    /// What it waits for when it lacks a replica of the version.
    pub(crate) fn wish(&self, version: &Version) -> Wish {
        let region = match &self.terms.regions[..] {
            [only] => Some(only.clone()),
            _ => None,
        };
        Wish {
            priority: self.terms.priority,
            memory: version.memory_bytes,
            max_price: self.terms.max_memory_price,
            region,
        }
    }

    /// Makes a version the target; the one before can be gone back to. The new one has not failed yet.
    pub(crate) fn turn_to(&mut self, version: Version, now: Timestamp) {
        self.canary = None;
        if version == self.target {
            return;
        }
        self.previous = Some(core::mem::replace(&mut self.target, version));
        self.failures = 0;
        self.retry_at = now;
        self.avoid.clear();
    }

    /// Whether it is the target or the canary.
    pub(crate) fn wants(&self, version: &Version) -> bool {
        *version == self.target || self.canary.is_some_and(|(canary, _)| canary == *version)
    }

    /// Replicas wanted of the target and of the canary. Each has at least one while the function is awake: a canary of
    /// an order with one replica is a second.
    pub(crate) fn wanted(&self) -> (u32, u32) {
        let all = self.scale.desired;
        if self.withdrawn || all == 0 {
            return (0, 0);
        }
        let Some((_, weight)) = self.canary else {
            return (all, 0);
        };
        let part = u64::from(all) * u64::from(weight);
        let part = u32::try_from(part.div_ceil(u64::from(crate::order::WHOLE))).unwrap_or(all);
        let canary = part.clamp(1, all.saturating_sub(1).max(1));
        (all.saturating_sub(canary).max(1), canary)
    }
}

/// How far a lease has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The node has not said anything of it.
    Granted,
    /// The node fetches or loads the function.
    Loading,
    /// It answers.
    Ready,
    /// It finishes what it has begun.
    Draining,
}

/// A place that comes free for an order that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promise {
    pub(crate) order: OrderIx,
    /// The order's own: the number may be another's by then.
    pub(crate) seq: u64,
    pub(crate) tenant: TenantIx,
    pub(crate) size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseRow {
    pub(crate) id: LeaseId,
    pub(crate) seq: u64,
    pub(crate) order: OrderIx,
    pub(crate) version: Version,
    pub(crate) node: NodeIx,
    pub(crate) price: Ask,
    pub(crate) phase: Phase,
    /// When the term ends.
    pub(crate) until: Timestamp,
    /// When loading or draining ends at the latest, or the term.
    pub(crate) timer: Timestamp,
    /// Its replica moves to another node.
    pub(crate) moving: bool,
    /// To whom it makes room; it is not to be resumed, and counts for who waits, not for its holder any more.
    pub(crate) promise: Option<Promise>,
    /// It took the place of one that answered.
    pub(crate) swapped: bool,
}

impl LeaseRow {
    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }
}
