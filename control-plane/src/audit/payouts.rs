//! What was paid is booked as it was paid, and nothing else is booked as paid.

use std::collections::BTreeMap;

use nacre_ledger::{Account, Amount, Cause};
use nacre_protocol::api::payouts::{Payout, PayoutState};
use nacre_protocol::ids::OperatorId;
use sqlx::query;

use super::Auditor;
use crate::store::ledger::{entry_of, payouts};
use crate::store::{RowExt as _, StoreError};

/// Payouts that are held at a time.
const PAGE: u32 = 1000;

impl Auditor {
    pub(super) async fn payouts(&mut self) -> Result<(), StoreError> {
        let mut asked: BTreeMap<OperatorId, i128> = BTreeMap::new();
        let (mut last, mut paid) = (String::new(), 0);
        loop {
            let page = payouts::all(&mut self.tx, &last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = end.id.to_string();
            for payout in &page {
                self.report.payouts += 1;
                match payout.state {
                    PayoutState::Asked => {
                        *asked.entry(payout.operator).or_default() += i128::from(payout.amount);
                    }
                    PayoutState::Paid => {
                        paid += 1;
                        self.paid(payout).await?;
                    }
                    PayoutState::Withdrawn => {}
                }
                if payout.amount <= 0 {
                    let message = format!("{}: of {} micro-units", payout.id, payout.amount);
                    self.find("payout-amount", message);
                }
            }
        }
        let sql = "SELECT COUNT(*) AS n FROM ledger_entries WHERE cause LIKE 'payout:%'";
        let row = query(sql).fetch_one(&mut *self.tx).await?;
        let entries: u64 = row.number("n")?;
        if entries != paid {
            let message = format!("{entries} entries for payouts, {paid} that were paid");
            self.find("payout-unfounded", message);
        }
        for (operator, asked) in asked {
            let standing = payouts::standing(&mut self.tx, &operator).await?;
            let has = standing.payable().unwrap_or(Amount::ZERO);
            if asked > i128::from(has.micros()) {
                let note = format!("{operator} asked for {asked} micro-units, and {has} is there");
                self.report.notes.push(note);
            }
        }
        Ok(())
    }

    async fn paid(&mut self, payout: &Payout) -> Result<(), StoreError> {
        let reference = payout.reference.clone().unwrap_or_default();
        let cause = Cause::Payout(reference).to_string();
        let entry = entry_of(&mut self.tx, &cause).await?;
        let (id, amount) = (payout.id, payout.amount);
        let wanted = [
            (Account::External.to_string(), amount),
            (Account::Operator(payout.operator).to_string(), -amount),
        ];
        let booked = entry.is_some_and(|entry| {
            let same = wanted.iter().all(|part| entry.postings.contains(part));
            same && entry.postings.len() == wanted.len() && Some(entry.at_ms) == payout.ended_ms
        });
        if !booked {
            let message = format!("{id} was paid, and `{cause}` is not booked so");
            self.find("payout-booked", message);
        }
        Ok(())
    }
}
