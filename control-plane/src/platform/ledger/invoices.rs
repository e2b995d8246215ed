//! Invoices: what was charged in a calendar month (UTC).

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use nacre_ledger::{Amount, Customer, Period};
use nacre_protocol::api::Page;
use nacre_protocol::api::ledger::{Invoice, InvoiceLine};

use super::Platform;
use crate::error::{Error, LedgerError, RequestError};
use crate::store::ledger::invoices::{self, Issued, Line};
use crate::store::{Transaction, commit};

/// How long after its end a month is invoiced: clocks of several control planes may differ.
const AFTER_MS: u64 = 60 * 60 * 1000;

/// A calendar month.
struct Month {
    name: String,
    from_ms: u64,
    to_ms: u64,
}

impl Platform {
    /// Invoices of the customer that were issued, the oldest first, without lines.
    pub(crate) async fn invoices(
        &self,
        customer: &Customer,
        after: &str,
        limit: u32,
    ) -> Result<Page<Invoice>, Error> {
        let mut tx = self.store.read().await?;
        let mut items = invoices::list(&mut tx, Some(customer), after, limit + 1).await?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        Ok(Page {
            next: items
                .last()
                .filter(|_| more)
                .map(|last| last.period.clone()),
            items: items
                .into_iter()
                .map(|issued| invoice(issued, vec![]))
                .collect(),
        })
    }

    /// A month's invoice; of a month that was not invoiced yet, what it comes to so far. No name: the month that is now.
    pub(crate) async fn invoice(
        &self,
        customer: &Customer,
        month: Option<&str>,
    ) -> Result<Invoice, Error> {
        let month = match month {
            Some(name) => Month::named(name)?,
            None => Month::of(self.clock.now_ms()).ok_or(Error::Internal("no such time"))?,
        };
        let mut tx = self.store.read().await?;
        if let Some(issued) = invoices::get(&mut tx, customer, &month.name).await? {
            let lines = invoices::lines(&mut tx, customer, &month.name).await?;
            return Ok(invoice(issued, lines));
        }
        if self.clock.now_ms() < month.from_ms {
            return Err(LedgerError::NoInvoice(month.name).into());
        }
        let lines = invoices::sums(&mut tx, customer, month.from_ms, month.to_ms).await?;
        Ok(Invoice {
            customer: customer.to_string(),
            from_ms: month.from_ms,
            to_ms: month.to_ms,
            issued_ms: None,
            total: total(&lines)?.micros(),
            lines: lines.into_iter().map(line).collect(),
            period: month.name,
        })
    }

    /// Issues invoices of months that are over.
    pub(super) async fn issue_invoices(&self) -> Result<(), Error> {
        loop {
            let now = self.clock.now_ms();
            let mut tx = self.store.read().await?;
            let first = invoices::first_open(&mut tx).await?;
            drop(tx);
            let month = first.and_then(Month::of);
            let Some(month) = month.filter(|month| month.to_ms.saturating_add(AFTER_MS) <= now)
            else {
                return Ok(());
            };
            let mut tx = self.store.write().await?;
            issue(&mut tx, &month, now).await?;
            commit(tx).await?;
        }
    }
}

/// All customers' invoices for one month. From then on nothing is booked into it.
async fn issue(tx: &mut Transaction, month: &Month, now_ms: u64) -> Result<(), Error> {
    let (from, to) = (month.from_ms, month.to_ms);
    for customer in invoices::due(tx, &month.name, from, to).await? {
        let lines = invoices::sums(tx, &customer, from, to).await?;
        let issued = Issued {
            period: month.name.clone(),
            from_ms: from,
            to_ms: to,
            total: total(&lines)?,
            issued_ms: now_ms,
            customer,
        };
        invoices::issue(tx, &issued, &lines).await?;
        tracing::info!(customer = %issued.customer, period = issued.period, total = %issued.total, "invoice");
    }
    Ok(())
}

impl Month {
    fn of(at_ms: u64) -> Option<Self> {
        let at = Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
        Self::from_date(at.to_zoned(TimeZone::UTC).date().first_of_month())
    }

    /// Reads `2026-11`.
    fn named(name: &str) -> Result<Self, Error> {
        let wrong = || RequestError::Path("a month is written 2026-11".to_owned());
        let date: Date = format!("{name}-01").parse().map_err(|_| wrong())?;
        let month = Self::from_date(date).filter(|month| month.name == name);
        Ok(month.ok_or_else(wrong)?)
    }

    fn from_date(first: Date) -> Option<Self> {
        let start = |date: Date| {
            let start = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
            u64::try_from(start.as_millisecond()).ok()
        };
        let from_ms = start(first)?;
        Some(Self {
            name: first.strftime("%Y-%m").to_string(),
            // The same rule as the caps'.
            from_ms: Period::Month.start_ms(from_ms),
            to_ms: start(first.last_of_month().tomorrow().ok()?)?,
        })
    }
}

fn total(lines: &[Line]) -> Result<Amount, Error> {
    let sum = lines
        .iter()
        .try_fold(Amount::ZERO, |sum, line| sum.plus(line.amount));
    sum.map_err(|_| Error::Internal("an invoice beyond counting"))
}

fn invoice(issued: Issued, lines: Vec<Line>) -> Invoice {
    Invoice {
        customer: issued.customer.to_string(),
        period: issued.period,
        from_ms: issued.from_ms,
        to_ms: issued.to_ms,
        issued_ms: Some(issued.issued_ms),
        total: issued.total.micros(),
        lines: lines.into_iter().map(line).collect(),
    }
}

fn line(line: Line) -> InvoiceLine {
    InvoiceLine {
        function: line.function,
        lease: line.lease,
        agreement: line.rate,
        price: line.gib_second,
        cpu_price: line.cpu_second,
        receipts: line.receipts,
        compute_micros: line.compute_micros,
        bytes: line.bytes,
        amount: line.amount.micros(),
    }
}
