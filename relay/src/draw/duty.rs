//! What an operator has to do for the draw now. Pure: what the contract says comes in, duties go out.

use core::fmt;
use core::str::FromStr;

use nacre_protocol::eip712::Word;

/// Most batches that one reveal covers: `OperatorDraw.MAX_LINKS`.
pub const MAX_LINKS: u64 = 256;
/// Seconds that one operator leaves another, by its place on the list, where either could do it and one is enough.
const HEAD_START: u64 = 10;

/// Something to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Commit to a new chain, to be on the next roll.
    Enlist,
    /// Start the next term, which has this number.
    StartTerm {
        /// The new term's.
        number: u32,
    },
    /// Show links.
    Reveal {
        /// The batches' term.
        term: u32,
        /// Our seat in it.
        seat: u8,
        /// The last batch.
        up_to: u64,
    },
    /// Report who kept back a link.
    Report {
        /// Of this batch.
        batch: u64,
    },
}

/// What is fixed at the contract's deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long a term lasts at least, in seconds.
    pub term: u64,
    /// How long a batch waits for links, in seconds.
    pub window: u64,
    /// The least stake on the roll, in base units.
    pub min_stake: u128,
}

impl Rules {
    /// How many links a chain needs so that it does not end before its term's roll does, on a chain with four blocks a
    /// second or fewer: nothing is drawn from a roll after two terms.
    pub fn chain_length(&self) -> u32 {
        let blocks = self.term.saturating_mul(8).saturating_add(4_096);
        u32::try_from(blocks).unwrap_or(u32::MAX)
    }
}

/// The draw as of one block, as far as it matters to one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The block's time, Unix seconds.
    pub now: u64,
    /// Batches of this time and before are so deep that links may be shown for them, Unix seconds.
    pub deep: u64,
    /// The present term; 0: none was started.
    pub term: u32,
    /// When it was, Unix seconds.
    pub started_at: u64,
    /// Whether anybody sits on its committee.
    pub is_seated: bool,
    /// Whether our stake is enough for the roll.
    pub has_stake: bool,
    /// Whether we are on the list with an unused chain whose secret we have.
    pub is_listed: bool,
    /// Our place on the list, or how many are before us.
    pub rank: u64,
    /// Our seats in the present term and the one before, where they are not lost.
    pub seats: Vec<Seat>,
    /// Batches that may matter, the latest first.
    pub batches: Vec<Batch>,
}

/// A seat of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// In this term.
    pub term: u32,
    /// Which.
    pub seat: u8,
    /// The last link that was shown, or the tip.
    pub tip: Word,
    /// The first batch whose link is still to come.
    pub next: u64,
}

/// The jobs of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub number: u64,
    /// Its term.
    pub term: u32,
    /// Its block's time, Unix seconds.
    pub opened_at: u64,
    /// Whether links are missing.
    pub waits: bool,
    /// Seats whose links are missing, a bit each, without those that were expelled.
    pub missing: u8,
}

impl View {
    /// Everything that is to be done, the most urgent first.
    pub fn due(&self, rules: &Rules) -> Vec<Duty> {
        let mut due: Vec<_> = self
            .seats
            .iter()
            .filter_map(|seat| self.reveal(seat, rules))
            .collect();
        if self.has_stake && !self.is_listed {
            due.push(Duty::Enlist);
        }
        if self.is_listed && self.has_stake && self.now >= self.over_at(rules) + self.head_start() {
            due.push(Duty::StartTerm {
                number: self.term + 1,
            });
        }
        let late = |batch: &&Batch| {
            self.is_withheld(batch, rules)
                && self.now > batch.opened_at + rules.window + self.head_start()
        };
        due.extend(self.batches.iter().find(late).map(|batch| Duty::Report {
            batch: batch.number,
        }));
        due
    }

    /// Whether something that was sent is still of use.
    pub fn wants(&self, duty: &Duty, rules: &Rules) -> bool {
        match *duty {
            Duty::Enlist => self.has_stake && !self.is_listed,
            Duty::StartTerm { number } => {
                number == self.term + 1 && self.now >= self.over_at(rules)
            }
            Duty::Reveal { term, seat, up_to } => self
                .seats
                .iter()
                .filter(|of| (of.term, of.seat) == (term, seat) && of.next <= up_to)
                .any(|of| self.reveal(of, rules).is_some()),
            Duty::Report { batch } => self
                .batches
                .iter()
                .any(|of| of.number == batch && self.is_withheld(of, rules)),
        }
    }

    fn reveal(&self, seat: &Seat, rules: &Rules) -> Option<Duty> {
        let batch = self.batches.iter().find(|batch| {
            batch.term == seat.term && batch.number >= seat.next && batch.opened_at <= self.deep
        })?;
        let alive = batch.waits && self.now < batch.opened_at + rules.window;
        alive.then_some(Duty::Reveal {
            term: seat.term,
            seat: seat.seat,
            up_to: batch.number.min(seat.next + MAX_LINKS - 1),
        })
    }

    /// Whether others kept back a link of it. Nobody reports himself.
    pub(crate) fn is_withheld(&self, batch: &Batch, rules: &Rules) -> bool {
        let own = self.seats.iter().filter(|seat| seat.term == batch.term);
        let own = own.fold(0, |bits, seat| bits | 1 << seat.seat);
        let over = self.now > batch.opened_at + rules.window;
        batch.waits && over && batch.missing != 0 && batch.missing & own == 0
    }

    fn over_at(&self, rules: &Rules) -> u64 {
        match (self.term, self.is_seated) {
            (0, _) => 0,
            (_, true) => self.started_at + rules.term,
            (_, false) => self.started_at + rules.window,
        }
    }

    fn head_start(&self) -> u64 {
        self.rank.min(6) * HEAD_START
    }
}

impl Duty {
    /// Whether sending this one makes the other needless.
    pub fn covers(&self, other: &Self) -> bool {
        match (*self, *other) {
            // One at a time: what comes meanwhile is covered by the next.
            (
                Self::Reveal { term, seat, .. },
                Self::Reveal {
                    term: other_term,
                    seat: other_seat,
                    ..
                },
            ) => (term, seat) == (other_term, other_seat),
            (one, other) => one == other,
        }
    }
}

/// As it is kept: `enlist`, `start-term:4`, `reveal:3:0:17`, `report:17`.
impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enlist => f.write_str("enlist"),
            Self::StartTerm { number } => write!(f, "start-term:{number}"),
            Self::Reveal { term, seat, up_to } => write!(f, "reveal:{term}:{seat}:{up_to}"),
            Self::Report { batch } => write!(f, "report:{batch}"),
        }
    }
}

/// A text that is no duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such duty")]
pub struct NoSuchDuty;

impl FromStr for Duty {
    type Err = NoSuchDuty;

    fn from_str(text: &str) -> Result<Self, NoSuchDuty> {
        let words: Vec<_> = text.split(':').collect();
        fn number<T: FromStr>(word: &str) -> Result<T, NoSuchDuty> {
            word.parse().map_err(|_| NoSuchDuty)
        }
        Ok(match words[..] {
            ["enlist"] => Self::Enlist,
            ["start-term", term] => Self::StartTerm {
                number: number(term)?,
            },
            ["reveal", term, seat, up_to] => Self::Reveal {
                term: number(term)?,
                seat: number(seat)?,
                up_to: number(up_to)?,
            },
            ["report", batch] => Self::Report {
                batch: number(batch)?,
            },
            _ => return Err(NoSuchDuty),
        })
    }
}

#[cfg(test)]
mod tests;
