//! The market in memory: the scheduler, and how far in the log of events it stands.
//!
//! The log in the database is the market; what is here only saves reading it again. Each piece of the log ends with a
//! mark that was drawn for it, so that a state that a transaction led to which then came to nothing is known for what
//! it is, and made anew.

use nacre_scheduler::{Action, Config, Event, Refusal, Scheduler, Timestamp};

/// Names the rules by which a state follows from events, and the form of a snapshot: to be raised when
/// `nacre_scheduler` changes either. A program that meets a log of earlier rules begins a new one from the tables; one
/// that meets a log of later rules leaves it alone.
pub(crate) const FORMAT: u32 = 6;
/// Ticks that one transaction gives at most; those that are due still are the next one's.
const MAX_TICKS: usize = 32;

/// One event as it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Rises by one.
    pub seq: u64,
    /// Drawn for the transaction that wrote it.
    pub mark: String,
    /// When it was applied.
    pub at_ms: u64,
    /// What happened.
    pub event: Event,
    /// When time alone changes something after it.
    pub wake_ms: Option<u64>,
}

/// All that follows from a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// The last entry.
    pub seq: u64,
    /// Its mark.
    pub mark: &'a str,
}

/// The market as of one entry of the log.
#[derive(Debug)]
pub(crate) struct Market {
    scheduler: Scheduler,
    seq: u64,
    mark: String,
}

/// What a transaction adds to the log, and what follows.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// New entries.
    pub entries: Vec<Entry>,
    /// To be carried out in this order.
    pub actions: Vec<Action>,
}

impl Market {
    /// Nobody and nothing; the next entry's number is the one after `seq`. Lease ids are drawn from the seed.
    pub(crate) fn empty(seed: [u8; 32], seq: u64) -> Self {
        let config = Config {
            seed,
            ..Config::default()
        };
        Self {
            scheduler: Scheduler::new(config),
            seq,
            mark: String::new(),
        }
    }

    /// Reads a snapshot.
    pub(crate) fn restore(seq: u64, mark: String, state: &[u8]) -> Option<Self> {
        let scheduler = minicbor_serde::from_slice(state).ok()?;
        Some(Self {
            scheduler,
            seq,
            mark,
        })
    }

    /// For [`Self::restore`], CBOR.
    pub(crate) fn snapshot(&self) -> Option<Vec<u8>> {
        minicbor_serde::to_vec(&self.scheduler).ok()
    }

    /// How far it has come.
    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            seq: self.seq,
            mark: &self.mark,
        }
    }

    /// The state.
    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Takes in what is in the log already.
    pub(crate) fn replay(&mut self, entry: Entry) {
        self.scheduler.apply(&entry.event, Timestamp(entry.at_ms));
        self.seq = entry.seq;
        self.mark = entry.mark;
    }

    /// Takes events in, and as many ticks as are due then. An event about what the market no longer knows is passed over;
    /// any other refusal ends it, with the events before it taken in.
    pub(crate) fn tell(
        &mut self,
        events: &[Event],
        now_ms: u64,
        mark: &str,
    ) -> Result<Told, Refusal> {
        let mut told = Told::default();
        for event in events {
            match self.scheduler.check(event) {
                Ok(()) => self.take(event.clone(), now_ms, mark, &mut told),
                Err(why) if is_gone(why) => tracing::debug!(?event, %why, "passed over"),
                Err(why) => return Err(why),
            }
        }
        for _ in 0..MAX_TICKS {
            let due = self.scheduler.next_wake();
            if due.is_none_or(|at| at.0 > now_ms.max(self.scheduler.now().0)) {
                break;
            }
            self.take(Event::Tick, now_ms, mark, &mut told);
        }
        Ok(told)
    }

    fn take(&mut self, event: Event, now_ms: u64, mark: &str, told: &mut Told) {
        let now = self.scheduler.now().max(Timestamp(now_ms));
        told.actions.extend(self.scheduler.apply(&event, now));
        self.seq += 1;
        mark.clone_into(&mut self.mark);
        told.entries.push(Entry {
            seq: self.seq,
            mark: mark.to_owned(),
            at_ms: now.0,
            event,
            wake_ms: self.scheduler.next_wake().map(|at| at.0),
        });
    }
}

/// What the event speaks of ended meanwhile.
fn is_gone(why: Refusal) -> bool {
    matches!(
        why,
        Refusal::UnknownNode
            | Refusal::UnknownFunction
            | Refusal::UnknownLease
            | Refusal::ForeignLease
    )
}
