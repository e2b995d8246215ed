//! Checks a ledger as it was stored, trusting nothing about how it was written.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Account, Amount};

/// An entry as a database gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The cause's text.
    pub cause: String,
    /// Account and micro-units of each posting.
    pub postings: Vec<(String, i64)>,
}

/// Something that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// An entry's postings do not sum to zero.
    #[error("`{cause}` sums to {sum} micro-units")]
    Unbalanced {
        /// Which entry.
        cause: String,
        /// Its sum.
        sum: i128,
    },
    /// A posting's account is none.
    #[error("`{cause}` moves money of `{account}`, which is no account")]
    UnknownAccount {
        /// Which entry.
        cause: String,
        /// The text.
        account: String,
    },
    /// An account that must not owe did.
    #[error("`{account}` was at {balance} micro-units after `{cause}`")]
    Negative {
        /// Which account.
        account: String,
        /// After which entry.
        cause: String,
        /// What it had.
        balance: i128,
    },
    /// One cause was booked twice.
    #[error("`{0}` was booked more than once")]
    Twice(String),
    /// A stored balance is not the sum of the account's postings.
    #[error("`{account}` is stored as {stored} micro-units; its postings sum to {counted}")]
    Balance {
        /// Which account.
        account: String,
        /// What is stored.
        stored: i128,
        /// What it should be.
        counted: i128,
    },
}

impl Finding {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unbalanced { .. } => "ledger-unbalanced",
            Self::UnknownAccount { .. } => "ledger-account",
            Self::Negative { .. } => "ledger-negative",
            Self::Twice(_) => "ledger-twice",
            Self::Balance { .. } => "ledger-balance",
        }
    }
}

/// Goes through entries in the order in which they were booked and holds the sums against the stored balances.
pub fn audit(
    entries: impl IntoIterator<Item = Stored>,
    balances: &BTreeMap<String, Amount>,
) -> Vec<Finding> {
    let mut audit = Audit::default();
    for entry in entries {
        audit.take(entry);
    }
    audit.finish(balances)
}

/// The same, entry by entry. Memory: one sum an account, one short string an entry.
#[derive(Debug, Default)]
pub struct Audit {
    findings: Vec<Finding>,
    sums: BTreeMap<String, i128>,
    causes: BTreeSet<String>,
}

impl Audit {
    /// Takes the next entry.
    pub fn take(&mut self, entry: Stored) {
        let micros = entry.postings.iter().map(|(_, micros)| i128::from(*micros));
        let sum: i128 = micros.sum();
        if sum != 0 {
            let cause = entry.cause.clone();
            self.findings.push(Finding::Unbalanced { cause, sum });
        }
        for (account, micros) in &entry.postings {
            *self.sums.entry(account.clone()).or_default() += i128::from(*micros);
        }
        for (account, _) in &entry.postings {
            let balance = self.sums.get(account).copied().unwrap_or(0);
            self.findings.extend(judge(account, balance, &entry.cause));
        }
        if !self.causes.insert(entry.cause.clone()) {
            self.findings.push(Finding::Twice(entry.cause));
        }
    }

    /// All that was found, when no entry is left.
    pub fn finish(mut self, balances: &BTreeMap<String, Amount>) -> Vec<Finding> {
        for account in balances.keys() {
            self.sums.entry(account.clone()).or_default();
        }
        for (account, counted) in self.sums {
            let stored = balances
                .get(&account)
                .map_or(0, |amount| i128::from(amount.micros()));
            if stored != counted {
                self.findings.push(Finding::Balance {
                    account,
                    stored,
                    counted,
                });
            }
        }
        self.findings
    }
}

fn judge(account: &str, balance: i128, cause: &str) -> Option<Finding> {
    match account.parse::<Account>() {
        Err(_) => Some(Finding::UnknownAccount {
            cause: cause.to_owned(),
            account: account.to_owned(),
        }),
        Ok(known) if balance < 0 && !known.may_owe() => Some(Finding::Negative {
            account: account.to_owned(),
            cause: cause.to_owned(),
            balance,
        }),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(cause: &str, postings: &[(&str, i64)]) -> Stored {
        Stored {
            cause: cause.to_owned(),
            postings: postings
                .iter()
                .map(|(account, micros)| ((*account).to_owned(), *micros))
                .collect(),
        }
    }

    fn balances(of: &[(&str, i64)]) -> BTreeMap<String, Amount> {
        let amounts = of
            .iter()
            .map(|(account, micros)| ((*account).to_owned(), Amount::from_micros(*micros)));
        amounts.collect()
    }

    fn codes(entries: Vec<Stored>, of: &[(&str, i64)]) -> Vec<&'static str> {
        audit(entries, &balances(of))
            .iter()
            .map(Finding::code)
            .collect()
    }

    #[test]
    fn an_honest_ledger_has_no_findings() {
        let entries = vec![
            entry("deposit:1", &[("external", -10), ("customer:a", 10)]),
            entry("usage:x:0", &[("customer:a", -10), ("platform", 10)]),
        ];
        assert!(
            codes(
                entries,
                &[("external", -10), ("platform", 10), ("customer:a", 0)]
            )
            .is_empty()
        );
    }

    #[test]
    fn each_way_to_be_wrong_is_found() {
        let deposit = || entry("deposit:1", &[("external", -10), ("customer:a", 10)]);
        let right = [("external", -10), ("customer:a", 10)];
        assert_eq!(
            codes(
                vec![entry("deposit:1", &[("external", -10), ("customer:a", 9)])],
                &[("external", -10), ("customer:a", 9)]
            ),
            ["ledger-unbalanced"]
        );
        assert_eq!(
            codes(
                vec![deposit(), deposit()],
                &[("external", -20), ("customer:a", 20)]
            ),
            ["ledger-twice"]
        );
        assert_eq!(
            codes(vec![deposit()], &[("external", -10), ("customer:a", 11)]),
            ["ledger-balance"]
        );
        assert_eq!(codes(vec![deposit()], &[right[0]]), ["ledger-balance"]);
        assert_eq!(
            codes(
                vec![entry("deposit:1", &[("external", -1), ("bank", 1)])],
                &[("external", -1), ("bank", 1)]
            ),
            ["ledger-account"]
        );
        // Below zero in between, though the last balance is right.
        let early = entry("usage:x:0", &[("customer:a", -10), ("platform", 10)]);
        assert_eq!(
            codes(
                vec![early, deposit()],
                &[("external", -10), ("platform", 10)]
            ),
            ["ledger-negative"]
        );
    }
}
