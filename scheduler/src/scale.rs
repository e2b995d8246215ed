//! How many replicas a load wants. Up at once, down when the load has stayed below for a while, to none when no request
//! has come for a while.

use serde::{Deserialize, Serialize};

use crate::order::{Scaling, Terms, Timestamp};

/// What an order's load has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scale {
    /// Replicas wanted now.
    pub(crate) desired: u32,
    /// What the last load asked for by itself.
    asked: u32,
    /// Since when less than `desired` is asked for, and the most that was asked for since.
    below: Option<(Timestamp, u32)>,
    /// Since when there is no request.
    idle_since: Option<Timestamp>,
}

impl Scale {
    /// A new order starts with a replica even where none is the least: whether it loads is known before it is needed.
    pub(crate) fn new(terms: &Terms, now: Timestamp) -> Self {
        Self {
            desired: terms.min_replicas.max(1),
            asked: 0,
            below: None,
            idle_since: Some(now),
        }
    }

    /// Takes a load in, while `ready` replicas answer.
    pub(crate) fn load(
        &mut self,
        scaling: &Scaling,
        in_flight: u32,
        oldest_wait_ms: u64,
        ready: u32,
        now: Timestamp,
    ) {
        self.asked = in_flight.div_ceil(scaling.target_in_flight.max(1));
        if oldest_wait_ms > scaling.max_queue_ms {
            self.asked = self.asked.max(ready.saturating_add(1));
        }
        if self.asked > 0 {
            self.idle_since = None;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(now);
        }
    }

    /// Brings `desired` up to date.
    pub(crate) fn step(&mut self, terms: &Terms, now: Timestamp) {
        let wanted = self.wanted(terms, now);
        self.desired = self.desired.min(terms.max_replicas);
        if wanted >= self.desired || wanted == 0 {
            self.desired = wanted;
            self.below = None;
            return;
        }
        let (since, most) = self.below.unwrap_or((now, wanted));
        let most = most.max(wanted);
        self.below = Some((since, most));
        if now >= since.plus(terms.scaling.stable_ms) {
            self.desired = most;
            self.below = (wanted < most).then_some((now, wanted));
        }
    }

    fn wanted(&self, terms: &Terms, now: Timestamp) -> u32 {
        let idle = self
            .idle_since
            .is_some_and(|since| now >= since.plus(terms.scaling.idle_ms));
        let least = if idle { 0 } else { 1 };
        self.asked
            .max(least)
            .clamp(terms.min_replicas, terms.max_replicas)
    }

    /// When `step` may change something though nothing happens.
    pub(crate) fn next(&self, terms: &Terms) -> Option<Timestamp> {
        let down = self
            .below
            .map(|(since, _)| since.plus(terms.scaling.stable_ms));
        let sleeps = terms.min_replicas == 0 && self.desired > 0;
        let idle = self.idle_since.filter(|_| sleeps);
        let idle = idle.map(|since| since.plus(terms.scaling.idle_ms));
        [down, idle].into_iter().flatten().min()
    }
}
