//! What moves money: one cause, postings that sum to zero.

use core::fmt;

use nacre_protocol::ids::{BootId, NodeId};

use crate::{Account, Amount, Overflow};

/// Why money moved. Its text is unique in a ledger: `usage:boot_…:17`, `hold:<job>`, `slash:node_…:20514`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Money came in; the reference is the payment's own.
    Deposit(String),
    /// Money went out; the reference is the payment's own.
    Payout(String),
    /// A usage receipt: the enclave's run, and the receipt's number in it.
    Usage(BootId, u64),
    /// A job's price ceiling was set aside.
    Hold(String),
    /// A job ended: what was set aside is paid, or given back.
    Settle(String),
    /// A node was below the level in a window (its number since 1970).
    Slash(NodeId, u64),
}

/// One account's part in an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Which account.
    pub account: Account,
    /// What it gets; negative where it gives. Never zero.
    pub amount: Amount,
}

/// A balanced entry. There is no way to make one that is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    cause: Cause,
    at_ms: u64,
    postings: Vec<Posting>,
}

/// What cannot be booked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The postings do not sum to zero.
    #[error("the postings of {cause} sum to {sum}, not to zero")]
    Unbalanced {
        /// The entry's cause.
        cause: Cause,
        /// What they sum to.
        sum: Amount,
    },
    /// A negative sum was to be paid.
    #[error("{0} would pay a negative amount")]
    Negative(Cause),
    /// Nothing would move.
    #[error("{0} moves nothing")]
    Empty(Cause),
    /// Too much money.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

impl Entry {
    /// One account pays the others. Parts of nothing are left out; parts of the same account are added up.
    ///
    /// # Errors
    ///
    /// [`EntryError::Negative`], [`EntryError::Empty`], [`EntryError::Overflow`].
    pub fn pay(
        cause: Cause,
        at_ms: u64,
        from: &Account,
        to: impl IntoIterator<Item = (Account, Amount)>,
    ) -> Result<Self, EntryError> {
        let mut postings = vec![];
        for (account, amount) in to {
            if amount < Amount::ZERO {
                return Err(EntryError::Negative(cause));
            }
            add(&mut postings, &account, amount)?;
            add(&mut postings, from, Amount::ZERO.minus(amount)?)?;
        }
        Self::new(cause, at_ms, postings)
    }

    /// An entry of these postings, as it was stored.
    ///
    /// # Errors
    ///
    /// [`EntryError::Unbalanced`], [`EntryError::Empty`], [`EntryError::Overflow`].
    pub fn new(cause: Cause, at_ms: u64, postings: Vec<Posting>) -> Result<Self, EntryError> {
        let mut merged = vec![];
        for posting in &postings {
            add(&mut merged, &posting.account, posting.amount)?;
        }
        merged.retain(|posting| posting.amount != Amount::ZERO);
        merged.sort_by(|a, b| a.account.cmp(&b.account));
        let mut sum = Amount::ZERO;
        for posting in &merged {
            sum = sum.plus(posting.amount)?;
        }
        if sum != Amount::ZERO {
            return Err(EntryError::Unbalanced { cause, sum });
        }
        if merged.is_empty() {
            return Err(EntryError::Empty(cause));
        }
        Ok(Self {
            cause,
            at_ms,
            postings: merged,
        })
    }

    /// Why.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// When, Unix milliseconds.
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// By account, each once; they sum to zero.
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }
}

fn add(postings: &mut Vec<Posting>, account: &Account, amount: Amount) -> Result<(), Overflow> {
    match postings
        .iter_mut()
        .find(|posting| posting.account == *account)
    {
        Some(posting) => posting.amount = posting.amount.plus(amount)?,
        None => postings.push(Posting {
            account: account.clone(),
            amount,
        }),
    }
    Ok(())
}

impl Cause {
    /// Its kind alone, as reports group by it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Deposit(_) => "deposit",
            Self::Payout(_) => "payout",
            Self::Usage(..) => "usage",
            Self::Hold(_) => "hold",
            Self::Settle(_) => "settle",
            Self::Slash(..) => "slash",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Deposit(reference) | Self::Payout(reference) => write!(f, "{kind}:{reference}"),
            Self::Hold(job) | Self::Settle(job) => write!(f, "{kind}:{job}"),
            Self::Usage(boot, seq) => write!(f, "{kind}:{boot}:{seq}"),
            Self::Slash(node, window) => write!(f, "{kind}:{node}:{window}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accounts() -> Vec<Account> {
        [
            "external",
            "platform",
            "treasury",
            "customer:a",
            "held:a",
            "customer:b",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec()
    }

    fn cause() -> Cause {
        Cause::Deposit("1".to_owned())
    }

    proptest! {
        #[test]
        fn whatever_is_paid_the_sum_is_zero(
            from in 0_usize..6,
            to in proptest::collection::vec((0_usize..6, 0_i64..1_000_000_000), 0..8),
        ) {
            let all = accounts();
            let parts = to.iter().map(|(to, micros)| (all[*to].clone(), Amount::from_micros(*micros)));
            match Entry::pay(cause(), 1, &all[from], parts) {
                Ok(entry) => {
                    prop_assert_eq!(entry.postings().iter().map(|p| p.amount.micros()).sum::<i64>(), 0);
                    prop_assert!(entry.postings().iter().all(|p| p.amount != Amount::ZERO));
                    for (index, account) in all.iter().enumerate() {
                        let wanted: i64 = to.iter().filter(|(to, _)| *to == index).map(|(_, micros)| micros).sum();
                        let paid: i64 = if index == from { to.iter().map(|(_, micros)| micros).sum() } else { 0 };
                        let got: i64 = entry.postings().iter().filter(|p| p.account == *account).map(|p| p.amount.micros()).sum();
                        prop_assert_eq!(got, wanted - paid);
                    }
                }
                Err(EntryError::Empty(_)) => {
                    prop_assert!(to.iter().all(|(to, micros)| *to == from || *micros == 0));
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }

    #[test]
    fn what_does_not_balance_is_no_entry() {
        let postings = vec![Posting {
            account: Account::Platform,
            amount: Amount::from_micros(1),
        }];
        let refused = Entry::new(cause(), 1, postings);
        assert!(
            matches!(refused, Err(EntryError::Unbalanced { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn nobody_is_paid_less_than_nothing() {
        let part = (Account::Platform, Amount::from_micros(-5));
        let refused = Entry::pay(cause(), 1, &Account::External, [part]);
        assert!(
            matches!(refused, Err(EntryError::Negative(_))),
            "{refused:?}"
        );
    }
}
