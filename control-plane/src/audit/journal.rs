//! Entries: numbered without gaps, in the order of time, each balanced and with a cause of its own; balances are their sums.

use std::collections::BTreeMap;

use nacre_ledger::{Account, Amount, Audit, Stored};

use super::Auditor;
use crate::store::StoreError;
use crate::store::ledger::{balances, journal};

/// Entries that are held at a time.
const PAGE: u32 = 1000;

impl Auditor {
    pub(super) async fn journal(&mut self) -> Result<(), StoreError> {
        let mut audit = Audit::default();
        let (mut last, mut time) = (0, 0);
        loop {
            let page = journal(&mut self.tx, last, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for booked in page {
                if booked.id != last + 1 {
                    let message = format!("entries {} to {} are gone", last + 1, booked.id - 1);
                    self.find("ledger-gone", message);
                }
                if booked.at_ms < time {
                    let message =
                        format!("`{}` was booked before the entry before it", booked.cause);
                    self.find("ledger-order", message);
                }
                (last, time) = (booked.id, booked.at_ms);
                self.latest_ms = self.latest_ms.max(time);
                self.report.entries += 1;
                audit.take(Stored {
                    cause: booked.cause,
                    postings: booked.postings,
                });
            }
        }
        let balances: BTreeMap<String, Amount> =
            balances(&mut self.tx).await?.into_iter().collect();
        self.report.accounts = balances.len() as u64;
        for (account, amount) in &balances {
            let owed = matches!(account.parse(), Ok(Account::Owed(_)));
            if owed && *amount > Amount::ZERO {
                self.find(
                    "ledger-owed",
                    format!("`{account}` is owed {amount} itself"),
                );
            }
        }
        for finding in audit.finish(&balances) {
            self.find(finding.code(), finding.to_string());
        }
        Ok(())
    }
}
