//! Usage receipts: numbered without gaps but those that are known, signed, charged what they cost, and booked as charged.

use std::collections::BTreeMap;

use nacre_ledger::{Account, Agreement, Amount, Cause, Gap, Usage};
use nacre_protocol::ids::{BootId, NodeId};
use sqlx::query;

use super::Auditor;
use crate::store::ledger::entry_of;
use crate::store::ledger::spending::DAY_MS;
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
        let owner = usage::boot(&mut self.tx, boot).await?;
        let key = owner.map(|(_, key)| key);
        self.dates(boot, owner.map(|(node, _)| node)).await?;
        let mut gaps = sequence.gaps().peekable();
        let (mut due, mut booked) = (1, 0);
        let mut last = 0;
        loop {
            let page = usage::after(&mut self.tx, boot, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = end.signed.receipt.seq;
            for taken in &page {
                let seq = taken.signed.receipt.seq;
                while let Some(gap) = gaps.next_if(|gap| gap.from == due) {
                    self.held_back(boot, gap);
                    due = gap.to + 1;
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
        for gap in gaps {
            self.held_back(boot, gap);
            due = due.max(gap.to + 1);
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

    /// From the highest number down, so that it is known of each when it was signed at the latest: receipts are charged by the
    /// agreement of then, and gaps were noted then.
    async fn dates(&mut self, boot: &BootId, node: Option<NodeId>) -> Result<(), StoreError> {
        let sequence = usage::sequence(&mut self.tx, boot).await?;
        let gaps: BTreeMap<u64, Gap> = sequence.gaps().map(|gap| (gap.to, gap)).collect();
        let (mut last, mut signed_by_ms) = (i64::MAX as u64, u64::MAX);
        let mut latest_ms = 0;
        loop {
            let page = usage::before(&mut self.tx, boot, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            let lowest = end.signed.receipt.seq;
            for taken in &page {
                let seq = taken.signed.receipt.seq;
                for gap in gaps.range(seq..last).map(|(_, gap)| gap) {
                    if gap.noted_ms != signed_by_ms {
                        let message = format!(
                            "{boot}: the gap from {} was not noted when it was",
                            gap.from
                        );
                        self.find("usage-dated", message);
                    }
                }
                last = seq;
                signed_by_ms = signed_by_ms.min(taken.booked_ms);
                latest_ms = latest_ms.max(taken.booked_ms);
                self.dated(taken, signed_by_ms, node);
            }
            last = lowest;
        }
        if latest_ms != sequence.latest_ms() {
            let message = format!("{boot}: its latest receipt is not the one that is noted");
            self.find("usage-dated", message);
        }
        Ok(())
    }

    /// The agreement that it was charged by is the one that counts.
    fn dated(&mut self, taken: &Taken, signed_by_ms: u64, node: Option<NodeId>) {
        let receipt = &taken.signed.receipt;
        let name = format!("{}:{}", receipt.boot_id, receipt.seq);
        let terms = receipt.lease.and_then(|lease| self.terms.get(&lease));
        let history = terms.and_then(|terms| self.agreements.get(&terms.lease));
        let right = history.and_then(|history| Agreement::charged_by(history, signed_by_ms));
        let right = right.map(|agreement| agreement.number);
        // Nobody pays for a lease that is another node's, or settled.
        let open = terms.is_some_and(|terms| terms.settled_ms.is_none());
        let own = terms.is_some_and(|terms| Some(terms.node) == node);
        let message = match taken.rate {
            Some(_) if !own => format!("{name}: charged to a lease that is not its node's"),
            Some(rate) if right != Some(rate) => {
                format!("{name}: charged by agreement {rate}, where another one counts")
            }
            None if own && open => format!("{name}: nobody was charged, though its lease is open"),
            _ => return,
        };
        self.find("usage-rate", message);
    }

    fn held_back(&mut self, boot: &BootId, Gap { from, to, .. }: Gap) {
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
        let agreed = receipt.lease.and_then(|lease| {
            let number = usize::try_from(taken.rate?.checked_sub(1)?).ok()?;
            self.agreements.get(&lease)?.get(number).copied()
        });
        // What nobody pays for was taken with a cost of nothing.
        let cost = agreed.map_or(Amount::ZERO, |agreed| cost(taken, &agreed));
        if taken.cost != cost {
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
        let paid = terms.zip(agreed).filter(|_| taken.charged != Amount::ZERO);
        let Some((terms, agreed)) = paid else {
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
        let wanted = parts(taken, &agreed);
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

fn cost(taken: &Taken, agreed: &Agreement) -> Amount {
    let receipt = &taken.signed.receipt;
    let used = Usage {
        compute_micros: receipt.compute_micros.into(),
        bytes: receipt.bytes_in.saturating_add(receipt.bytes_out),
    };
    agreed.cost(used).unwrap_or(Amount::from_micros(i64::MAX))
}

/// What the customer, the operator and the platform get of it, and when.
fn parts(taken: &Taken, agreed: &Agreement) -> [i128; 4] {
    let (operator, platform) = agreed.fee.split(taken.charged);
    [
        -i128::from(taken.charged.micros()),
        operator.micros().into(),
        platform.micros().into(),
        taken.booked_ms.into(),
    ]
}
