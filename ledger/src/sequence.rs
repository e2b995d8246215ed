//! Numbers of usage receipts: rising by one in each run of an enclave (DESIGN §3.3).
//!
//! Nodes hand receipts over until they are acknowledged, so the same one may come twice, and two may change places. Both
//! are told apart from what is not innocent: a number under which two different receipts were signed, numbers that never
//! come, and numbers from nowhere.

use std::collections::BTreeMap;

/// How far a number may be ahead of the one that is due.
const MAX_AHEAD: u64 = 4096;
/// How many separate gaps one boot may have.
const MAX_GAPS: usize = 64;

/// The numbers of one boot that came so far. The first is 1, as enclaves count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    next: u64,
    /// First to last missing number, below `next`.
    gaps: BTreeMap<u64, u64>,
}

/// Whether a number is to be booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It came for the first time: book it.
    New,
    /// It came before. The same receipt again is nothing; another one is [`Incident::Repeat`].
    Known,
}

/// What an operator must explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Incident {
    /// Receipts were passed over. They are booked if they come after all.
    #[error("receipts {from} to {to} are missing")]
    Gap {
        /// The first that is missing.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Two different receipts carry one number.
    #[error("receipt {0} came with two contents")]
    Repeat(u64),
    /// A number far from all others; it is not booked.
    #[error("receipt {got} came when {due} was due")]
    Jump {
        /// The number.
        got: u64,
        /// The one that was due.
        due: u64,
    },
}

impl Incident {
    /// Stable code: `usage-gap`, `usage-repeat`, `usage-jump`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "usage-gap",
            Self::Repeat(_) => "usage-repeat",
            Self::Jump { .. } => "usage-jump",
        }
    }
}

/// None came yet.
impl Default for Sequence {
    fn default() -> Self {
        Self::restore(1, [])
    }
}

impl Sequence {
    /// The numbers below `next` but for these gaps (first to last), as they were stored.
    pub fn restore(next: u64, gaps: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let gaps = gaps
            .into_iter()
            .filter(|(from, to)| from <= to && *to < next)
            .collect();
        Self { next, gaps }
    }

    /// The number that is due.
    pub fn due(&self) -> u64 {
        self.next
    }

    /// First to last of each run of missing numbers.
    pub fn gaps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.gaps.iter().map(|(from, to)| (*from, *to))
    }

    /// Takes a number. A gap is new and an incident at once; a jump is an error and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Incident::Jump`].
    pub fn take(&mut self, seq: u64) -> Result<(Standing, Option<Incident>), Incident> {
        if seq < self.next {
            return match seq {
                0 => Err(Incident::Jump {
                    got: 0,
                    due: self.next,
                }),
                seq => Ok((self.take_late(seq), None)),
            };
        }
        let ahead = seq - self.next;
        let jump = Incident::Jump {
            got: seq,
            due: self.next,
        };
        if ahead > MAX_AHEAD || (ahead > 0 && self.gaps.len() >= MAX_GAPS) {
            return Err(jump);
        }
        let after = seq.checked_add(1).ok_or(jump)?;
        let gap = (ahead > 0).then(|| Incident::Gap {
            from: self.next,
            to: seq - 1,
        });
        if ahead > 0 {
            self.gaps.insert(self.next, seq - 1);
        }
        self.next = after;
        Ok((Standing::New, gap))
    }

    fn take_late(&mut self, seq: u64) -> Standing {
        let gap = self
            .gaps
            .range(..=seq)
            .next_back()
            .map(|(from, to)| (*from, *to));
        let Some((from, to)) = gap.filter(|(_, to)| seq <= *to) else {
            return Standing::Known;
        };
        self.gaps.remove(&from);
        if from < seq {
            self.gaps.insert(from, seq - 1);
        }
        if seq < to {
            self.gaps.insert(seq + 1, to);
        }
        Standing::New
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_in_order_are_new_and_again_are_known() {
        let mut sequence = Sequence::default();
        for seq in 1..10 {
            assert_eq!(sequence.take(seq), Ok((Standing::New, None)));
            assert_eq!(sequence.take(seq), Ok((Standing::Known, None)));
        }
    }

    #[test]
    fn what_was_passed_over_is_told_and_may_still_come() {
        let mut sequence = Sequence::default();
        let gap = Incident::Gap { from: 1, to: 3 };
        assert_eq!(sequence.take(4), Ok((Standing::New, Some(gap))));
        assert_eq!(sequence.take(2), Ok((Standing::New, None)));
        assert_eq!(sequence.gaps().collect::<Vec<_>>(), [(1, 1), (3, 3)]);
    }

    #[test]
    fn a_number_from_nowhere_changes_nothing() {
        let mut sequence = Sequence::default();
        let jump = Incident::Jump {
            got: MAX_AHEAD + 2,
            due: 1,
        };
        assert_eq!(sequence.take(MAX_AHEAD + 2), Err(jump));
        assert_eq!(
            sequence.take(0),
            Err(Incident::Jump { got: 0, due: 1 }),
            "no enclave issues it"
        );
        assert!(sequence.take(u64::MAX).is_err());
        assert_eq!(sequence, Sequence::default());
    }

    #[test]
    fn gaps_are_bounded() {
        let mut sequence = Sequence::default();
        for gap in 0..MAX_GAPS as u64 {
            assert!(sequence.take(2 * gap + 2).is_ok());
        }
        let due = sequence.due();
        assert!(sequence.take(due + 1).is_err());
        assert_eq!(sequence.take(due), Ok((Standing::New, None)));
    }

    proptest! {
        #[test]
        fn each_number_is_new_once_in_whatever_order_they_come(numbers in proptest::collection::vec(1_u64..60, 0..200)) {
            let mut sequence = Sequence::default();
            let mut seen = BTreeSet::new();
            for seq in numbers {
                let (standing, _) = sequence.take(seq).unwrap();
                prop_assert_eq!(standing == Standing::New, seen.insert(seq), "{}", seq);
                let missing: BTreeSet<u64> = sequence.gaps().flat_map(|(from, to)| from..=to).collect();
                let wanted: BTreeSet<u64> = (1..sequence.due()).filter(|n| !seen.contains(n)).collect();
                prop_assert_eq!(missing, wanted);
                let stored = Sequence::restore(sequence.due(), sequence.gaps());
                prop_assert_eq!(&stored, &sequence);
            }
        }
    }
}
