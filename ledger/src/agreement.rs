//! What was agreed for a lease, one agreement after another.
//!
//! A lease runs for a term, and its next term may be agreed at another price (DESIGN §6). A usage receipt says no time, so which
//! agreement it is charged by must follow from what the ledger can show:
//!
//! - **What a receipt is dated by.** It was signed before it came, and before any receipt of its boot with a higher number came:
//!   the earliest of these moments dates it ([`Standing::New`](crate::Standing::New)). A receipt that was held back is dated by
//!   the one that passed it over, so nobody gains by bringing it under the next agreement.
//! - **When an agreement begins to count.** A cheaper one at once. A dearer one later by the lag: the time within which a use
//!   comes to be booked. So what was used under the cheaper price and is on its way is charged at that price.
//! - **Which one counts.** The last that had begun when the receipt is dated; the first for whatever is dated before it.
//!
//! A host that keeps all of its receipts back for longer than the lag brings them under the dearer agreement all the same; no
//! agreement is dearer than the payer's order allows.

use crate::{Amount, Fee, Overflow, Rate, Reserved, Usage};

/// One agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// From 1, without gaps, in each lease.
    pub number: u32,
    /// When it was made, Unix milliseconds.
    pub agreed_ms: u64,
    /// From when on it counts.
    pub from_ms: u64,
    /// What the lease has of its node.
    pub reserved: Reserved,
    /// What that costs.
    pub rate: Rate,
    /// The platform's share.
    pub fee: Fee,
    /// What is set aside while it is the last.
    pub hold: Amount,
}

/// What an agreement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// What the lease has of its node.
    pub reserved: Reserved,
    /// What that costs.
    pub rate: Rate,
    /// The platform's share.
    pub fee: Fee,
    /// What is to be set aside for it.
    pub hold: Amount,
}

/// A history that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// There is no agreement.
    #[error("nothing was agreed")]
    Empty,
    /// Numbers do not rise by one from 1.
    #[error("agreement {0} is missing")]
    Missing(u32),
    /// It counts before it was made, or was made before the one before it, or counts before that does.
    #[error("agreement {0} is out of order")]
    Order(u32),
    /// It is the same as the one before.
    #[error("agreement {0} changes nothing")]
    Same(u32),
}

impl Agreement {
    /// The first of a lease: it counts from the grant on.
    pub fn first(offer: Offer, granted_ms: u64) -> Self {
        Self::new(1, granted_ms, granted_ms, offer)
    }

    /// What follows when a term begins anew at `now_ms` with this offer; none where nothing changes.
    pub fn next(&self, offer: Offer, now_ms: u64, lag_ms: u64) -> Option<Self> {
        if offer == self.offer() {
            return None;
        }
        let agreed_ms = now_ms.max(self.agreed_ms);
        let lag_ms = if offer.hold > self.hold { lag_ms } else { 0 };
        let from_ms = agreed_ms.saturating_add(lag_ms).max(self.from_ms);
        let number = self.number.saturating_add(1);
        Some(Self::new(number, agreed_ms, from_ms, offer))
    }

    fn new(number: u32, agreed_ms: u64, from_ms: u64, offer: Offer) -> Self {
        let Offer {
            reserved,
            rate,
            fee,
            hold,
        } = offer;
        Self {
            number,
            agreed_ms,
            from_ms,
            reserved,
            rate,
            fee,
            hold,
        }
    }

    /// What it is about.
    pub fn offer(&self) -> Offer {
        Offer {
            reserved: self.reserved,
            rate: self.rate,
            fee: self.fee,
            hold: self.hold,
        }
    }

    /// What a usage costs by it.
    ///
    /// # Errors
    ///
    /// [`Overflow`].
    pub fn cost(&self, usage: Usage) -> Result<Amount, Overflow> {
        self.rate.cost(self.reserved, usage)
    }

    /// The one of a lease's history, in order, that a receipt is charged by which was signed by then.
    pub fn charged_by(history: &[Self], signed_by_ms: u64) -> Option<&Self> {
        let begun = |agreement: &&Self| agreement.from_ms <= signed_by_ms;
        history.iter().rev().find(begun).or(history.first())
    }

    /// Whether this can be a lease's history.
    ///
    /// # Errors
    ///
    /// [`HistoryError`].
    pub fn check(history: &[Self]) -> Result<(), HistoryError> {
        let first = history.first().ok_or(HistoryError::Empty)?;
        if first.number != 1 {
            return Err(HistoryError::Missing(1));
        }
        if first.from_ms != first.agreed_ms {
            return Err(HistoryError::Order(1));
        }
        for pair in history.windows(2) {
            let [before, after] = pair else { continue };
            if after.number != before.number.saturating_add(1) {
                return Err(HistoryError::Missing(before.number.saturating_add(1)));
            }
            let least = after.agreed_ms.max(before.from_ms);
            if after.agreed_ms < before.agreed_ms || after.from_ms < least {
                return Err(HistoryError::Order(after.number));
            }
            if after.offer() == before.offer() {
                return Err(HistoryError::Same(after.number));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAG: u64 = 15_000;

    fn offer(price: u64) -> Offer {
        Offer {
            reserved: Reserved {
                memory_bytes: 1 << 30,
                cpu_milli: 1000,
            },
            rate: Rate {
                gib_second: price,
                ..Rate::default()
            },
            fee: Fee::default(),
            hold: Amount::from_micros(price.try_into().unwrap()),
        }
    }

    #[test]
    fn a_dearer_price_waits_for_what_is_on_its_way_and_a_cheaper_one_counts_at_once() {
        let first = Agreement::first(offer(10), 1_000);
        let dearer = first.next(offer(20), 100_000, LAG).unwrap();
        assert_eq!(
            (dearer.number, dearer.agreed_ms, dearer.from_ms),
            (2, 100_000, 115_000)
        );
        let cheaper = dearer.next(offer(5), 200_000, LAG).unwrap();
        assert_eq!((cheaper.number, cheaper.from_ms), (3, 200_000));
        assert_eq!(cheaper.next(offer(5), 300_000, LAG), None);

        let history = [first, dearer, cheaper];
        let price = |at| Agreement::charged_by(&history, at).unwrap().rate.gib_second;
        let at = [0, 1_000, 114_999, 115_000, 199_999, 200_000, u64::MAX];
        assert_eq!(at.map(price), [10, 10, 10, 20, 20, 5, 5]);
        assert_eq!(Agreement::charged_by(&[], 0), None);
    }

    #[test]
    fn an_agreement_does_not_count_before_the_one_before_it() {
        let first = Agreement::first(offer(10), 1_000);
        let dearer = first.next(offer(20), 100_000, LAG).unwrap();
        let soon = dearer.next(offer(1), 101_000, LAG).unwrap();
        assert_eq!(soon.from_ms, dearer.from_ms);
        assert_eq!(Agreement::check(&[first, dearer, soon]), Ok(()));
        let clock_went_back = first.next(offer(1), 0, LAG).unwrap();
        assert_eq!(clock_went_back.from_ms, 1_000);
    }

    #[test]
    fn what_cannot_be_is_found() {
        let first = Agreement::first(offer(10), 1_000);
        let second = first.next(offer(20), 2_000, LAG).unwrap();
        let third = second.next(offer(30), 60_000, LAG).unwrap();
        let early = Agreement {
            from_ms: 1_999,
            ..second
        };
        let same = Agreement {
            rate: first.rate,
            hold: first.hold,
            ..second
        };
        let late = Agreement {
            from_ms: 2_000,
            ..first
        };
        for (history, found) in [
            (vec![], HistoryError::Empty),
            (vec![second], HistoryError::Missing(1)),
            (vec![first, third], HistoryError::Missing(2)),
            (vec![first, early], HistoryError::Order(2)),
            (vec![late], HistoryError::Order(1)),
            (vec![first, same], HistoryError::Same(2)),
        ] {
            assert_eq!(Agreement::check(&history), Err(found));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_renewed_when_the_history_holds_and_each_moment_has_its_price(
            renewals in proptest::collection::vec((0_u64..5, 0_u64..40_000), 0..20),
            at in 0_u64..400_000,
        ) {
            let mut history = vec![Agreement::first(offer(3), 0)];
            let mut now = 0_u64;
            // Asked naively: at each agreement, until when the cheaper of two counts.
            let mut wanted = 3;
            for (price, passed) in renewals {
                now += passed;
                let last = *history.last().unwrap();
                if let Some(next) = last.next(offer(price), now, LAG) {
                    let lag = if price > last.rate.gib_second { LAG } else { 0 };
                    if at >= (now + lag).max(last.from_ms) {
                        wanted = price;
                    }
                    history.push(next);
                }
            }
            prop_assert_eq!(Agreement::check(&history), Ok(()));
            prop_assert_eq!(Agreement::charged_by(&history, at).unwrap().rate.gib_second, wanted);
        }
    }
}
