//! Where a job stands, and what to do about it next. Pure: what happened comes in, what is to be done goes out.
//!
//! Two things are known of a job, and they change apart from each other. Its [`Standing`] is the chain's: it follows blocks
//! forward, and back when they are reorganised away. Its [`Work`] is this relay's: how far the answer has come. So a
//! reorganisation forgets nothing that was computed, and a job that comes back is taken up where it was left.
//!
//! ```text
//!            enough blocks        the platform has it       the answer is proven       a transaction is in the outbox
//!   Fresh ────────────────▶ LayIn ─▶ Laid ────────▶ Ask ─▶ Proven ───────────▶ Send ─▶ Sending
//!     ▲                               │                      │  ▲                        │
//!     └───────── another try ─────────┴───── answer too old ─┘  └──── not mined, failed ─┘
//! ```

use crate::reason::Reason;

/// How often a job is laid in at the platform before it is left.
pub const MAX_ATTEMPTS: u32 = 3;
/// How many transactions for a job may be mined and fail before it is left.
pub const MAX_REVERTS: u32 = 2;

/// How a contract's job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Somebody's answer was taken.
    Answered,
    /// The requester has the fee back.
    Cancelled,
}

/// What the chain says, as far as this relay has followed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Its request was in a block that is no longer the chain's.
    Absent,
    /// Asked for, in this block.
    Requested(u64),
    /// Asked for in one block, ended in another or the same.
    Settled {
        /// The request's block.
        requested: u64,
        /// The block of its end.
        block: u64,
        /// How.
        outcome: Outcome,
    },
}

/// How far this relay has come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// Not begun.
    Fresh,
    /// The platform has it.
    Laid,
    /// The enclave's answer is here, and was checked.
    Proven,
    /// A transaction that brings it is in the outbox, under this nonce.
    Sending(u64),
    /// Left to others.
    Dropped(Reason),
}

/// A job's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobState {
    /// The chain's side.
    pub standing: Standing,
    /// This relay's.
    pub work: Work,
    /// Which attempt at the platform this is, from 0.
    pub attempt: u32,
    /// Transactions for it that were mined and failed.
    pub reverts: u32,
}

/// What happened to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Its request is in this block.
    Requested(u64),
    /// It ended in this block.
    Settled(u64, Outcome),
    /// All blocks after this one are no longer the chain's.
    RolledBack(u64),
    /// The platform took it.
    Laid,
    /// The platform has no answer, or one of no use, and another try may have another; if none is left, this is why.
    TryAgain(Reason),
    /// The answer is here, and was checked.
    Proven,
    /// A transaction with the answer is in the outbox, under this nonce.
    Sent(u64),
    /// The transaction under this nonce is not, and will not be, what answers the job.
    Unsent {
        /// Which one.
        nonce: u64,
        /// Whether it was mined and failed, and so was paid for.
        reverted: bool,
    },
    /// It is left to others.
    Dropped(Reason),
}

/// What to do about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something happens or the chain moves on.
    Wait,
    /// Lay it in at the platform.
    LayIn,
    /// Ask the platform for its answer.
    Ask,
    /// Send the answer, if it is its turn and worth it.
    Send,
    /// Leave it.
    Drop(Reason),
    /// Nothing can change any more: it need not be looked at again.
    Finish,
}

/// The chain's present, as far as it matters to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// Number of the latest block that was followed.
    pub head: u64,
    /// Its time, Unix seconds.
    pub now: u64,
    /// In how many blocks' depth a request counts; 1 is the head itself.
    pub confirmations: u64,
    /// In which depth nothing is reorganised any more.
    pub final_depth: u64,
}

impl Present {
    fn depth(&self, block: u64) -> u64 {
        (self.head + 1).saturating_sub(block)
    }
}

impl JobState {
    /// A job whose request was seen in this block.
    pub fn requested(block: u64) -> Self {
        Self {
            standing: Standing::Requested(block),
            work: Work::Fresh,
            attempt: 0,
            reverts: 0,
        }
    }

    /// Its state after an event. What does not belong to its state, such as an answer that comes twice, changes nothing.
    #[must_use]
    pub fn on(mut self, event: Event) -> Self {
        match event {
            Event::Requested(_) | Event::Settled(..) | Event::RolledBack(_) => {
                self.standing = self.standing.on(event);
            }
            Event::Laid if self.work == Work::Fresh => self.work = Work::Laid,
            Event::TryAgain(reason) if matches!(self.work, Work::Laid | Work::Proven) => {
                self.try_again(reason);
            }
            Event::Proven if self.work == Work::Laid => self.work = Work::Proven,
            Event::Sent(nonce) if self.work == Work::Proven => self.work = Work::Sending(nonce),
            Event::Unsent { nonce, reverted } if self.work == Work::Sending(nonce) => {
                self.unsent(reverted);
            }
            Event::Dropped(reason) if self.may_be_dropped() => self.work = Work::Dropped(reason),
            _ => {}
        }
        self
    }

    /// What to do now.
    pub fn next(&self, present: &Present, deadline: u64) -> Next {
        let late = present.now > deadline;
        match (self.standing, self.work) {
            (Standing::Settled { block, .. }, _) => {
                match present.depth(block) >= present.final_depth {
                    true => Next::Finish,
                    false => Next::Wait,
                }
            }
            (_, Work::Sending(_)) => Next::Wait,
            (Standing::Absent, _) | (_, Work::Dropped(_)) if late => Next::Finish,
            (Standing::Absent, _) | (_, Work::Dropped(_)) => Next::Wait,
            (Standing::Requested(_), _) if late => Next::Drop(Reason::DeadlinePassed),
            (Standing::Requested(block), work) => {
                if present.depth(block) < present.confirmations {
                    return Next::Wait;
                }
                match work {
                    Work::Fresh => Next::LayIn,
                    Work::Laid => Next::Ask,
                    _ => Next::Send,
                }
            }
        }
    }

    /// Whether the transaction under this nonce still has a use.
    pub fn wants(&self, nonce: u64, present: &Present, deadline: u64) -> bool {
        let open = matches!(self.standing, Standing::Requested(_));
        open && self.work == Work::Sending(nonce) && present.now <= deadline
    }

    fn may_be_dropped(&self) -> bool {
        !matches!(self.work, Work::Sending(_) | Work::Dropped(_))
    }

    fn try_again(&mut self, reason: Reason) {
        self.attempt += 1;
        self.work = match self.attempt < MAX_ATTEMPTS {
            true => Work::Fresh,
            false => Work::Dropped(reason),
        };
    }

    fn unsent(&mut self, reverted: bool) {
        self.reverts += u32::from(reverted);
        self.work = match self.reverts < MAX_REVERTS {
            true => Work::Proven,
            false => Work::Dropped(Reason::SubmissionReverted),
        };
    }
}

impl Standing {
    /// The request's block.
    pub fn requested(self) -> Option<u64> {
        match self {
            Self::Absent => None,
            Self::Requested(block) => Some(block),
            Self::Settled { requested, .. } => Some(requested),
        }
    }

    /// How and in which block it ended.
    pub fn settled(self) -> Option<(u64, Outcome)> {
        match self {
            Self::Settled { block, outcome, .. } => Some((block, outcome)),
            _ => None,
        }
    }

    fn on(self, event: Event) -> Self {
        match (self, event) {
            (Self::Absent, Event::Requested(block)) => Self::Requested(block),
            (Self::Requested(requested), Event::Settled(block, outcome)) => Self::Settled {
                requested,
                block,
                outcome,
            },
            (Self::Requested(block), Event::RolledBack(to)) if block > to => Self::Absent,
            (Self::Settled { requested, .. }, Event::RolledBack(to)) if requested > to => {
                Self::Absent
            }
            (
                Self::Settled {
                    requested, block, ..
                },
                Event::RolledBack(to),
            ) if block > to => Self::Requested(requested),
            (standing, _) => standing,
        }
    }
}

#[cfg(test)]
mod tests;
