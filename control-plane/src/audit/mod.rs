//! Checks the ledger and the market of a live database: everything that must hold of them, from the rows alone.
//!
//! One snapshot is read, beside whoever writes. Nothing is believed because it was checked when it was written: receipts are
//! verified again against the keys that evidence vouched for, their costs are computed again, and what they were charged is
//! held against the entries, the entries against the balances, the sums against caps and invoices. The market's log is taken in
//! again, and what follows from it held against the tables of leases, orders, routes, nodes and weights.

mod caps;
mod invoices;
mod journal;
mod market;
mod payouts;
mod rates;
mod receipts;

pub use market::market;

use std::collections::BTreeMap;

use nacre_ledger::{Agreement, Amount};
use nacre_protocol::ids::LeaseId;
use serde::Serialize;

use crate::config::Database;
use crate::store::ledger::slashes;
use crate::store::ledger::terms::{self, Terms};
use crate::store::{Store, StoreError, Transaction};

/// What an audit came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries that were read.
    pub entries: u64,
    /// Accounts.
    pub accounts: u64,
    /// Usage receipts whose signature, cost and booking were checked.
    pub receipts: u64,
    /// Leases.
    pub leases: u64,
    /// What was agreed for them.
    pub agreements: u64,
    /// Caps.
    pub caps: u64,
    /// Invoices.
    pub invoices: u64,
    /// Entries of the market's log that were taken in again.
    pub events: u64,
    /// Payouts that were asked for, paid or withdrawn.
    pub payouts: u64,
    /// What is not settled, and breaks no rule of the ledger: receipts that nodes held back, slashes that nothing covers.
    pub notes: Vec<String>,
    /// What cannot be. None: all holds.
    pub findings: Vec<Finding>,
}

/// Something that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable code.
    pub code: &'static str,
    /// Where, and what.
    pub message: String,
}

/// Checks all of it. An error is a database that cannot be read, or holds what no version of this program writes.
pub async fn audit(database: &Database) -> Result<Report, StoreError> {
    let store = Store::open(database).await?;
    let mut auditor = Auditor {
        tx: store.read().await?,
        report: Report::default(),
        terms: BTreeMap::new(),
        agreements: BTreeMap::new(),
        charged: BTreeMap::new(),
        latest_ms: 0,
    };
    auditor.leases().await?;
    auditor.rates().await?;
    auditor.journal().await?;
    auditor.receipts().await?;
    auditor.spending().await?;
    auditor.invoices().await?;
    auditor.slashes().await?;
    auditor.payouts().await?;
    auditor.market().await?;
    let report = auditor.report;
    drop(auditor.tx);
    store.close().await;
    Ok(report)
}

struct Auditor {
    tx: Transaction,
    report: Report,
    terms: BTreeMap<LeaseId, Terms>,
    /// What was agreed for each, in order.
    agreements: BTreeMap<LeaseId, Vec<Agreement>>,
    /// What receipts say was charged under each lease, a day.
    charged: BTreeMap<(LeaseId, u64), i128>,
    /// The latest time of which the ledger knows.
    latest_ms: u64,
}

impl Auditor {
    fn find(&mut self, code: &'static str, message: String) {
        self.report.findings.push(Finding { code, message });
    }

    /// Slashes are booked as uptime settled them, or wait.
    async fn slashes(&mut self) -> Result<(), StoreError> {
        for due in slashes::pending(&mut self.tx, None).await? {
            let note = format!(
                "{}, window {}: {} is to be slashed",
                due.node, due.number, due.amount
            );
            self.report.notes.push(note);
        }
        for cause in slashes::unfounded(&mut self.tx).await? {
            self.find(
                "slash-unfounded",
                format!("`{cause}` is no slash that was settled"),
            );
        }
        Ok(())
    }

    /// What is set aside is within what is to be, and nothing once a lease is settled.
    async fn leases(&mut self) -> Result<(), StoreError> {
        for terms in terms::all(&mut self.tx).await? {
            self.report.leases += 1;
            let open = terms.settled_ms.is_none();
            let most = if open { terms.hold } else { Amount::ZERO };
            if terms.held < Amount::ZERO || terms.held > most {
                let (lease, held) = (terms.lease, terms.held);
                let message = format!("{lease}: {held} is set aside, of at most {most}");
                self.find("lease-held", message);
            }
            self.latest_ms = self.latest_ms.max(terms.granted_ms);
            self.terms.insert(terms.lease, terms);
        }
        Ok(())
    }
}
