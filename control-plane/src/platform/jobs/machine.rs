//! What becomes of a job. Pure: a state, an event and a time in; the next state and what must happen with it out.
//!
//! ```text
//! queued ──take──▶ leased ──started──▶ running ──proven──▶ done
//!    ▲                │                   │
//!    └── lost, failed, given back ────────┘      at any time: cancelled, expired; after too many tries: failed
//! ```
//!
//! **Fencing.** Every lease has the next attempt's number. A report counts while it is of the last attempt and of the node
//! that got it. So a node whose lease ran out may still bring its result as long as nobody else was given the job: the
//! receipt proves the result, and the work would only be done twice. Once the job was given to another, the former node is
//! refused, so that the one who was promised the job is the one who is paid for it.
//!
//! **Who may end a job.** A result ends it only with a receipt that proves it. A node's word that the job cannot be done is
//! nobody's proof, so it counts as one try, whatever the node says of it.

use nacre_protocol::ids::{BootId, NodeId};

/// Leases that a job may have in all, those included that were given back and count as no try.
pub(crate) const MAX_ATTEMPTS: u32 = 50;
/// How long the boot that failed is not given the job again, so that another has it first, milliseconds.
pub(crate) const AVOID_MS: u64 = 2_000;
/// How long a job waits after it was given back, milliseconds.
const GIVEN_BACK_MS: u64 = 250;
/// How long it waits after its first failure; each further one doubles it.
const FAILED_MS: u64 = 200;

/// A job as far as its course is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Where it stands.
    pub phase: Phase,
    /// Leases so far; the last one's number.
    pub attempt: u32,
    /// Attempts that were lost or failed.
    pub tries: u32,
    /// Whose reports of the last attempt count.
    pub holder: Option<Holder>,
    /// Who is not given it, until when.
    pub avoid: Option<(BootId, u64)>,
    /// When it has expired, Unix milliseconds.
    pub deadline_ms: u64,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits, and may be given to a node from then on.
    Queued { due_ms: u64 },
    /// Given to a node until then.
    Leased { until_ms: u64 },
    /// The same, and the node says that it runs.
    Running { until_ms: u64 },
    /// Nothing more happens to it.
    Ended(Ending),
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// With a result.
    Done,
    /// After too many tries.
    Failed,
    /// By its deadline.
    Expired,
    /// By its caller.
    Cancelled,
}

/// A node, and the boot of its enclave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub node: NodeId,
    pub boot: BootId,
}

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A node asks for it.
    Take(Holder),
    /// The node says that it runs it; again: that it still does.
    Started(Attempt),
    /// The node brought a result that its receipt proves.
    Proven(Attempt),
    /// The node failed, or brought something that proves nothing.
    Failed(Attempt),
    /// The node gives it back without having run it.
    GivenBack(Attempt),
    /// The caller takes it back.
    Cancel,
    /// The node has had it for longer than any may.
    Overrun,
    /// Time passes.
    Tick,
}

/// Which lease a node speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub node: NodeId,
    pub number: u32,
}

/// What must happen together with the change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The last attempt is over, with this outcome.
    EndAttempt(&'static str),
    /// Nodes may have it again.
    Offer,
    /// It has ended; this comes once in a job's life.
    Settle(Ending),
}

/// Why nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has ended.
    Ended(Ending),
    /// Another attempt than the last, or another node than the one that has it.
    Stale,
    /// Not to be given to this node now.
    NotYours,
}

/// The numbers that an operator chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How long a lease lasts unless it is renewed, milliseconds.
    pub lease_ms: u64,
    /// Tries after which a job fails.
    pub max_tries: u32,
}

/// The next state, and its effects in their order.
pub(crate) type Step = Result<(Progress, Vec<Effect>), Refusal>;

impl Progress {
    /// A new job.
    pub(crate) fn new(now_ms: u64, deadline_ms: u64) -> Self {
        Self {
            phase: Phase::Queued { due_ms: now_ms },
            attempt: 0,
            tries: 0,
            holder: None,
            avoid: None,
            deadline_ms,
        }
    }

    /// What `event` makes of it.
    pub(crate) fn step(self, rules: Rules, event: Event, now_ms: u64) -> Step {
        if let Phase::Ended(ending) = self.phase {
            return Err(Refusal::Ended(ending));
        }
        if event == Event::Cancel {
            return Ok(self.end(Ending::Cancelled, "cancelled"));
        }
        if now_ms >= self.deadline_ms {
            return Ok(self.end(Ending::Expired, "expired"));
        }
        match event {
            Event::Cancel => Err(Refusal::Stale),
            Event::Take(holder) => self.take(rules, holder, now_ms),
            Event::Started(attempt) => self.of(attempt)?.started(rules, now_ms),
            Event::Proven(attempt) => Ok(self.of(attempt)?.end(Ending::Done, "done")),
            Event::Failed(attempt) => Ok(self.of(attempt)?.failed(rules, now_ms)),
            Event::GivenBack(attempt) => Ok(self.of(attempt)?.given_back(rules, now_ms)),
            Event::Overrun => Ok(self.overrun(rules, now_ms)),
            Event::Tick => Ok(self.tick(rules, now_ms)),
        }
    }

    /// When [`Event::Tick`] will change something at the latest.
    #[cfg(test)]
    pub(crate) fn next_change(&self) -> Option<u64> {
        match self.phase {
            Phase::Queued { .. } => Some(self.deadline_ms),
            Phase::Leased { until_ms } | Phase::Running { until_ms } => {
                Some(until_ms.min(self.deadline_ms))
            }
            Phase::Ended(_) => None,
        }
    }

    fn take(self, rules: Rules, holder: Holder, now_ms: u64) -> Step {
        let avoided = self
            .avoid
            .is_some_and(|(boot, until_ms)| boot == holder.boot && now_ms < until_ms);
        match self.phase {
            Phase::Queued { due_ms } if due_ms <= now_ms && !avoided => {}
            _ => return Err(Refusal::NotYours),
        }
        let taken = Self {
            phase: Phase::Leased {
                until_ms: now_ms + rules.lease_ms,
            },
            attempt: self.attempt + 1,
            holder: Some(holder),
            ..self
        };
        Ok((taken, Vec::new()))
    }

    /// This, if the node's report of the attempt counts.
    fn of(self, attempt: Attempt) -> Result<Self, Refusal> {
        let holds = self
            .holder
            .is_some_and(|holder| holder.node == attempt.node);
        if holds && attempt.number == self.attempt {
            Ok(self)
        } else {
            Err(Refusal::Stale)
        }
    }

    /// A node whose lease ran out has the job again if nobody else was given it, and the attempt is not lost after all.
    fn started(self, rules: Rules, now_ms: u64) -> Step {
        let until_ms = now_ms + rules.lease_ms;
        let started = Self {
            phase: Phase::Running { until_ms },
            tries: self.tries - u32::from(self.is_lost()),
            ..self
        };
        Ok((started, Vec::new()))
    }

    fn failed(self, rules: Rules, now_ms: u64) -> (Self, Vec<Effect>) {
        if self.is_lost() {
            return self.without_holder();
        }
        let wait = FAILED_MS << self.tries.min(8);
        let tries = self.tries + 1;
        let over = Self { tries, ..self };
        over.again(rules, now_ms + wait, "failed", now_ms)
    }

    fn given_back(self, rules: Rules, now_ms: u64) -> (Self, Vec<Effect>) {
        if self.is_lost() {
            return self.without_holder();
        }
        self.again(rules, now_ms + GIVEN_BACK_MS, "given-back", now_ms)
    }

    /// However often it says that it still runs the job, it is not waited for any more.
    fn overrun(self, rules: Rules, now_ms: u64) -> (Self, Vec<Effect>) {
        if !matches!(self.phase, Phase::Leased { .. } | Phase::Running { .. }) {
            return (self, Vec::new());
        }
        let tries = self.tries + 1;
        Self { tries, ..self }.again(rules, now_ms, "overran", now_ms)
    }

    /// Whether the last attempt ran out of time, and was counted as a try for that.
    fn is_lost(&self) -> bool {
        matches!(self.phase, Phase::Queued { .. }) && self.holder.is_some()
    }

    /// An attempt that was lost is not counted a second time.
    fn without_holder(self) -> (Self, Vec<Effect>) {
        let holder = None;
        (Self { holder, ..self }, Vec::new())
    }

    fn tick(self, rules: Rules, now_ms: u64) -> (Self, Vec<Effect>) {
        match self.phase {
            Phase::Leased { until_ms } | Phase::Running { until_ms } if until_ms <= now_ms => {
                let holder = self.holder;
                let lost = Self {
                    tries: self.tries + 1,
                    ..self
                };
                let (next, effects) = lost.again(rules, now_ms, "lost", now_ms);
                // Its result is still welcome until somebody else has the job.
                (Self { holder, ..next }, effects)
            }
            _ => (self, Vec::new()),
        }
    }

    /// Back into the queue, unless that was the last time.
    fn again(
        self,
        rules: Rules,
        due_ms: u64,
        outcome: &'static str,
        now_ms: u64,
    ) -> (Self, Vec<Effect>) {
        if self.tries >= rules.max_tries || self.attempt >= MAX_ATTEMPTS {
            return self.end(Ending::Failed, outcome);
        }
        let avoid = self.holder.map(|holder| (holder.boot, now_ms + AVOID_MS));
        let next = Self {
            phase: Phase::Queued { due_ms },
            holder: None,
            avoid,
            ..self
        };
        (next, vec![Effect::EndAttempt(outcome), Effect::Offer])
    }

    fn end(self, ending: Ending, outcome: &'static str) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        if matches!(self.phase, Phase::Leased { .. } | Phase::Running { .. })
            || ending == Ending::Done
        {
            effects.push(Effect::EndAttempt(outcome));
        }
        effects.push(Effect::Settle(ending));
        let phase = Phase::Ended(ending);
        (Self { phase, ..self }, effects)
    }
}

#[cfg(test)]
mod tests;
