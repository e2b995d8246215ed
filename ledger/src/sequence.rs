//! Numbers of usage receipts: rising by one in each run of an enclave (DESIGN §3.3).
//!
//! Nodes hand receipts over until they are acknowledged, so the same one may come twice, and two may change places. Both
//! are told apart from what is not innocent: a number under which two different receipts were signed, numbers that never
//! come, and numbers from nowhere.
//!
//! A receipt says no time, but its number does: it was signed before the first one above it came. So a receipt that was held
//! back counts for when it was passed over, not for when it is brought after all.

use std::collections::BTreeMap;

/// How far a number may be ahead of the one that is due.
const MAX_AHEAD: u64 = 4096;
/// How many separate gaps one boot may have.
const MAX_GAPS: usize = 64;

/// The numbers of one boot that came so far. The first is 1, as enclaves count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequence {
    /// How many numbers lie below the one that is due.
    below: u64,
    /// By the first missing number.
    gaps: BTreeMap<u64, Gap>,
    latest_ms: u64,
}

/// A run of missing numbers below the one that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first that is missing.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// When the first number above it came, Unix milliseconds.
    pub noted_ms: u64,
}

/// Whether a number is to be booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It came for the first time: book it.
    New {
        /// When it had been signed at the latest, Unix milliseconds: now, or when the first number above it came.
        signed_by_ms: u64,
    },
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

impl Sequence {
    /// The numbers below `due` but for these gaps, as they were stored; the latest came at `latest_ms`.
    pub fn restore(due: u64, gaps: impl IntoIterator<Item = Gap>, latest_ms: u64) -> Self {
        let fits = |gap: &Gap| gap.from <= gap.to && gap.to < due;
        let gaps = gaps.into_iter().filter(fits).map(|gap| (gap.from, gap));
        Self {
            below: due.saturating_sub(1),
            gaps: gaps.collect(),
            latest_ms,
        }
    }

    /// The number that is due.
    pub fn due(&self) -> u64 {
        self.below + 1
    }

    /// Each run of missing numbers, in order.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> + '_ {
        self.gaps.values().copied()
    }

    /// When the latest number came, Unix milliseconds. Times of this boot do not go back behind it.
    pub fn latest_ms(&self) -> u64 {
        self.latest_ms
    }

    /// Takes a number that comes at `now_ms`. A gap is new and an incident at once; a jump is an error and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Incident::Jump`].
    pub fn take(
        &mut self,
        seq: u64,
        now_ms: u64,
    ) -> Result<(Standing, Option<Incident>), Incident> {
        let due = self.due();
        let jump = Incident::Jump { got: seq, due };
        let now_ms = now_ms.max(self.latest_ms);
        if seq < due {
            return match seq {
                0 => Err(jump),
                seq => Ok((self.take_late(seq, now_ms), None)),
            };
        }
        let ahead = seq - due;
        let full = ahead > 0 && self.gaps.len() >= MAX_GAPS;
        if ahead > MAX_AHEAD || full || seq == u64::MAX {
            return Err(jump);
        }
        let gap = (ahead > 0).then(|| Gap {
            from: due,
            to: seq - 1,
            noted_ms: now_ms,
        });
        self.gaps.extend(gap.map(|gap| (gap.from, gap)));
        self.below = seq;
        self.latest_ms = now_ms;
        let signed_by_ms = now_ms;
        let gap = gap.map(|Gap { from, to, .. }| Incident::Gap { from, to });
        Ok((Standing::New { signed_by_ms }, gap))
    }

    fn take_late(&mut self, seq: u64, now_ms: u64) -> Standing {
        let before = self.gaps.range(..=seq).next_back();
        let Some(gap) = before.map(|(_, gap)| *gap).filter(|gap| seq <= gap.to) else {
            return Standing::Known;
        };
        self.gaps.remove(&gap.from);
        if gap.from < seq {
            let to = seq - 1;
            self.gaps.insert(gap.from, Gap { to, ..gap });
        }
        if seq < gap.to {
            let from = seq + 1;
            self.gaps.insert(from, Gap { from, ..gap });
        }
        self.latest_ms = now_ms;
        let signed_by_ms = gap.noted_ms;
        Standing::New { signed_by_ms }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn new(signed_by_ms: u64) -> Standing {
        Standing::New { signed_by_ms }
    }

    #[test]
    fn numbers_in_order_are_new_and_again_are_known() {
        let mut sequence = Sequence::default();
        for seq in 1..10 {
            assert_eq!(sequence.take(seq, seq), Ok((new(seq), None)));
            assert_eq!(sequence.take(seq, 99), Ok((Standing::Known, None)));
        }
    }

    #[test]
    fn what_was_passed_over_is_told_and_may_still_come() {
        let mut sequence = Sequence::default();
        let gap = Incident::Gap { from: 1, to: 3 };
        assert_eq!(sequence.take(4, 100), Ok((new(100), Some(gap))));
        assert_eq!(sequence.take(2, 200), Ok((new(100), None)));
        let ends = |gap: Gap| (gap.from, gap.to);
        assert_eq!(
            sequence.gaps().map(ends).collect::<Vec<_>>(),
            [(1, 1), (3, 3)]
        );
    }

    #[test]
    fn a_clock_that_goes_back_does_not_take_receipts_back_in_time() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.take(1, 100), Ok((new(100), None)));
        assert_eq!(sequence.take(2, 50), Ok((new(100), None)));
        assert_eq!(sequence.latest_ms(), 100);
    }

    #[test]
    fn a_number_from_nowhere_changes_nothing() {
        let mut sequence = Sequence::default();
        let jump = Incident::Jump {
            got: MAX_AHEAD + 2,
            due: 1,
        };
        assert_eq!(sequence.take(MAX_AHEAD + 2, 1), Err(jump));
        assert_eq!(
            sequence.take(0, 1),
            Err(Incident::Jump { got: 0, due: 1 }),
            "no enclave issues it"
        );
        assert!(sequence.take(u64::MAX, 1).is_err());
        assert_eq!(sequence, Sequence::default());
        let mut last = Sequence::restore(u64::MAX, [], 0);
        assert!(last.take(u64::MAX, 1).is_err(), "no number follows it");
    }

    #[test]
    fn gaps_are_bounded() {
        let mut sequence = Sequence::default();
        for gap in 0..MAX_GAPS as u64 {
            assert!(sequence.take(2 * gap + 2, 1).is_ok());
        }
        let due = sequence.due();
        assert!(sequence.take(due + 1, 1).is_err());
        assert_eq!(sequence.take(due, 1), Ok((new(1), None)));
    }

    proptest! {
        #[test]
        fn each_number_is_new_once_and_was_signed_before_any_above_it_came(
            numbers in proptest::collection::vec((1_u64..60, 0_u64..5), 0..200),
        ) {
            let mut sequence = Sequence::default();
            let mut seen = BTreeMap::new();
            let mut now = 0;
            for (seq, passed) in numbers {
                now += passed;
                let first_above = seen.range(seq + 1..).map(|(_, at)| *at).min();
                let (standing, _) = sequence.take(seq, now).unwrap();
                match standing {
                    Standing::Known => prop_assert!(seen.contains_key(&seq), "{}", seq),
                    Standing::New { signed_by_ms } => {
                        prop_assert_eq!(signed_by_ms, first_above.unwrap_or(now));
                        prop_assert_eq!(seen.insert(seq, now), None, "{}", seq);
                    }
                }
                let missing: Vec<u64> = sequence.gaps().flat_map(|gap| gap.from..=gap.to).collect();
                let wanted: Vec<u64> = (1..sequence.due()).filter(|n| !seen.contains_key(n)).collect();
                prop_assert_eq!(missing, wanted);
                let stored = Sequence::restore(sequence.due(), sequence.gaps(), sequence.latest_ms());
                prop_assert_eq!(&stored, &sequence);
            }
        }
    }
}
