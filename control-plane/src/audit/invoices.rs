//! Invoices say what was charged in their month, line by line.

use nacre_ledger::Amount;

use super::Auditor;
use crate::store::StoreError;
use crate::store::ledger::invoices;

/// Invoices that are held at a time.
const PAGE: u32 = 100_000;

impl Auditor {
    pub(super) async fn invoices(&mut self) -> Result<(), StoreError> {
        for issued in invoices::list(&mut self.tx, None, "", PAGE).await? {
            self.report.invoices += 1;
            let name = format!("{} {}", issued.customer, issued.period);
            let lines = invoices::lines(&mut self.tx, &issued.customer, &issued.period).await?;
            let (from, to) = (issued.from_ms, issued.to_ms);
            let charged = invoices::sums(&mut self.tx, &issued.customer, from, to).await?;
            if lines != charged {
                self.find(
                    "invoice-lines",
                    format!("{name}: the lines are not what was charged"),
                );
            }
            let sum = lines.iter().map(|line| i128::from(line.amount.micros()));
            let sum: i128 = sum.sum();
            let total: Amount = issued.total;
            if sum != i128::from(total.micros()) {
                self.find(
                    "invoice-total",
                    format!("{name}: {total}, and its lines {sum} micro-units"),
                );
            }
        }
        Ok(())
    }
}
