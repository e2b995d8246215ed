//! Usage receipts: numbered without gaps but those that are known, signed, charged what they cost, and booked as charged.

use nacre_ledger::{Account, Amount, Cause, Usage};
use nacre_protocol::ids::BootId;
use sqlx::query;

use super::Auditor;
use crate::store::ledger::entry_of;
use crate::store::ledger::spending::DAY_MS;
use crate::store::ledger::terms::Terms;
use crate::store::ledger::usage::{self, Taken};
use crate::store::{RowExt as _, StoreError};

/// Receipts that are held at a time.
const PAGE: u32 = 1000;

impl Auditor {
    pub(super) async fn receipts(&mut self) -> Result<(), StoreError> {
        let mut booked = 0;
        for boot in usage::boots(&mut self.tx).await? {
            booked += self.boot(&boot).await?;
        }
        let sql = "SELECT COUNT(*) AS n FROM ledger_entries WHERE cause LIKE 'usage:%'";
        let row = query(sql).fetch_one(&mut *self.tx).await?;
        let entries: u64 = row.number("n")?;
        if entries != booked {
            let message =
                format!("{entries} entries for usage, {booked} receipts that were charged");
            self.find("usage-unproven", message);
        }
        Ok(())
    }

    /// Says how many receipts of the boot were charged.
    async fn boot(&mut self, boot: &BootId) -> Result<u64, StoreError> {
        let sequence = usage::sequence(&mut self.tx, boot).await?;
        let key = usage::boot(&mut self.tx, boot).await?.map(|(_, key)| key);
        let mut gaps = sequence.gaps().peekable();
        let (mut due, mut booked) = (1, 0);
        let mut last = 0;
        loop {
            let page = usage::after(&mut self.tx, boot, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = end.signed.receipt.seq;
            for taken in &page {
                let seq = taken.signed.receipt.seq;
                while let Some((from, to)) = gaps.next_if(|(from, _)| *from == due) {
                    self.held_back(boot, from, to);
                    due = to + 1;
                }
                if seq != due {
                    let message = format!("{boot}: receipts {due} to {} are gone", seq - 1);
                    self.find("usage-gone", message);
                }
                due = seq + 1;
                self.report.receipts += 1;
                if key.is_none_or(|key| taken.signed.verify(&key).is_err()) {
                    let message = format!("{boot}: receipt {seq} is not signed by its boot");
                    self.find("usage-signature", message);
                }
                booked += u64::from(self.receipt(taken).await?);
            }
        }
        for (from, to) in gaps {
            self.held_back(boot, from, to);
            due = due.max(to + 1);
        }
        if due != sequence.due() {
            let message = format!(
                "{boot}: receipt {} is due, but {due} would be",
                sequence.due()
            );
            self.find("usage-gone", message);
        }
        Ok(booked)
    }

    fn held_back(&mut self, boot: &BootId, from: u64, to: u64) {
        let note = format!("{boot}: receipts {from} to {to} never came");
        self.report.notes.push(note);
    }

    /// Says whether it was charged.
    async fn receipt(&mut self, taken: &Taken) -> Result<bool, StoreError> {
        let receipt = &taken.signed.receipt;
        let name = format!("{}:{}", receipt.boot_id, receipt.seq);
        let terms = receipt
            .lease
            .and_then(|lease| self.terms.get(&lease))
            .cloned();
        let cost = terms
            .as_ref()
            .map_or(Amount::ZERO, |terms| cost(taken, terms));
        // What nobody pays for was taken with a cost of nothing.
        let unpaid = taken.cost == Amount::ZERO && taken.charged == Amount::ZERO;
        if taken.cost != cost && !unpaid {
            let message = format!("{name}: costs {cost}, and was taken as {}", taken.cost);
            self.find("usage-cost", message);
        }
        if taken.charged > taken.cost || taken.charged < Amount::ZERO {
            let message = format!(
                "{name}: costs {}, and {} was charged",
                taken.cost, taken.charged
            );
            self.find("usage-charged", message);
        }
        let cause = Cause::Usage(receipt.boot_id, receipt.seq).to_string();
        let entry = entry_of(&mut self.tx, &cause).await?;
        let Some(terms) = terms.filter(|_| taken.charged != Amount::ZERO) else {
            if entry.is_some() {
                self.find(
                    "usage-booked",
                    format!("`{cause}` was booked, and nothing charged"),
                );
            }
            return Ok(false);
        };
        let day = taken.booked_ms / DAY_MS;
        *self.charged.entry((terms.lease, day)).or_default() += i128::from(taken.charged.micros());
        let wanted = parts(taken, &terms);
        let got = entry.map(|entry| {
            let of = |account: &Account| {
                let name = account.to_string();
                let mine = entry
                    .postings
                    .iter()
                    .filter(move |(account, _)| *account == name);
                mine.map(|(_, amount)| i128::from(*amount)).sum::<i128>()
            };
            let customer = of(&Account::Customer(terms.customer.clone()))
                + of(&Account::Owed(terms.customer.clone()));
            let operator = of(&Account::Operator(terms.operator));
            [
                customer,
                operator,
                of(&Account::Platform),
                i128::from(entry.at_ms),
            ]
        });
        if got != Some(wanted) {
            self.find(
                "usage-booked",
                format!("`{cause}` was not booked as it was charged"),
            );
        }
        Ok(true)
    }
}

fn cost(taken: &Taken, terms: &Terms) -> Amount {
    let receipt = &taken.signed.receipt;
    let used = Usage {
        compute_micros: receipt.compute_micros.into(),
        bytes: receipt.bytes_in.saturating_add(receipt.bytes_out),
    };
    let cost = terms.rate.cost(terms.reserved, used);
    cost.unwrap_or(Amount::from_micros(i64::MAX))
}

/// What the customer, the operator and the platform get of it, and when.
fn parts(taken: &Taken, terms: &Terms) -> [i128; 4] {
    let (operator, platform) = terms.fee.split(taken.charged);
    [
        -i128::from(taken.charged.micros()),
        operator.micros().into(),
        platform.micros().into(),
        taken.booked_ms.into(),
    ]
}
