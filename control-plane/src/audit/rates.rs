//! What was agreed for leases: a history that can be, that ends with what the market says and what is to be set aside.

use nacre_ledger::Agreement;
use nacre_protocol::ids::LeaseId;

use super::Auditor;
use crate::store::StoreError;
use crate::store::ledger::rates;
use crate::store::ledger::terms::{self, Terms};

impl Auditor {
    pub(super) async fn rates(&mut self) -> Result<(), StoreError> {
        for (lease, agreement) in rates::all(&mut self.tx).await? {
            self.agreements.entry(lease).or_default().push(agreement);
            self.report.agreements += 1;
        }
        let all: Vec<_> = self.terms.values().cloned().collect();
        for terms in &all {
            self.history(terms);
        }
        let known = |lease: &&LeaseId| !self.terms.contains_key(lease);
        let stray: Vec<_> = self.agreements.keys().filter(known).copied().collect();
        for lease in stray {
            self.find("lease-rates", format!("{lease}: agreed for no lease"));
        }
        self.market_says().await
    }

    fn history(&mut self, terms: &Terms) {
        let lease = terms.lease;
        let history = self.agreements.get(&lease).cloned().unwrap_or_default();
        if let Err(error) = Agreement::check(&history) {
            self.find("lease-rates", format!("{lease}: {error}"));
            return;
        }
        let (first, last) = (history.first(), history.last());
        if first.is_some_and(|first| first.from_ms != terms.granted_ms) {
            let message = format!("{lease}: its first agreement is not of its grant");
            self.find("lease-rates", message);
        }
        if last.is_some_and(|last| last.hold != terms.hold) {
            let message = format!("{lease}: what is to be set aside is not what was agreed last");
            self.find("lease-rates", message);
        }
    }

    /// Leases that run in the term that was agreed last are at the market's price.
    async fn market_says(&mut self) -> Result<(), StoreError> {
        for (lease, asked) in terms::open(&mut self.tx).await? {
            let until = self.terms.get(&lease).map(|terms| terms.until_ms);
            let last = self.agreements.get(&lease).and_then(|of| of.last());
            let (Some(until), Some(last)) = (until, last) else {
                self.find(
                    "lease-rates",
                    format!("{lease} runs, and nothing was agreed"),
                );
                continue;
            };
            // One that runs since before agreements were kept is agreed with the next change.
            if until == 0 {
                continue;
            }
            let prices = |rate: nacre_ledger::Rate| (rate.gib_second, rate.cpu_second);
            let same = prices(last.rate) == prices(asked.rate) && last.reserved == asked.reserved;
            if until != asked.until_ms || !same {
                let message =
                    format!("{lease}: the market has another price or term than was agreed last");
                self.find("lease-rates", message);
            }
        }
        Ok(())
    }
}
