//! What customers are asked to pay, a month.

use nacre_ledger::{Amount, Customer};
use nacre_protocol::ids::{FunctionName, LeaseId};
use sqlx::any::AnyRow;
use sqlx::query;

use super::amount;
use crate::store::{Connection, RowExt as _, StoreError, big};

/// An invoice that was issued.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub customer: Customer,
    /// `2026-11`.
    pub period: String,
    pub from_ms: u64,
    pub to_ms: u64,
    pub total: Amount,
    pub issued_ms: u64,
}

/// What was charged by one agreement for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub function: FunctionName,
    pub lease: LeaseId,
    /// The number of the agreement.
    pub rate: u32,
    /// Its prices.
    pub gib_second: u64,
    pub cpu_second: u64,
    pub receipts: u64,
    pub compute_micros: u64,
    pub bytes: u64,
    pub amount: Amount,
}

/// Sums over the receipts that were taken in a span and that somebody pays for, by function, lease and agreement.
pub(crate) async fn sums(
    on: &mut Connection,
    customer: &Customer,
    from_ms: u64,
    to_ms: u64,
) -> Result<Vec<Line>, StoreError> {
    let rows = query(
        "SELECT t.function, t.lease, a.number AS rate, a.gib_second, a.cpu_second, COUNT(*) AS receipts,
                CAST(SUM(r.compute_micros) AS BIGINT) AS compute_micros,
                CAST(SUM(r.bytes_in + r.bytes_out) AS BIGINT) AS bytes,
                CAST(SUM(r.charged) AS BIGINT) AS amount
         FROM usage_receipts r JOIN lease_terms t ON t.lease = r.lease
         JOIN lease_rates a ON a.lease = r.lease AND a.number = r.rate
         WHERE t.customer = $1 AND r.booked_ms >= $2 AND r.booked_ms < $3
         GROUP BY t.function, t.lease, a.number, a.gib_second, a.cpu_second
         ORDER BY t.function, t.lease, a.number",
    )
    .bind(customer.as_str())
    .bind(big(from_ms)?)
    .bind(big(to_ms)?)
    .fetch_all(on)
    .await?;
    rows.iter().map(read_line).collect()
}

/// Customers with receipts in a span that have no invoice for it.
pub(crate) async fn due(
    on: &mut Connection,
    period: &str,
    from_ms: u64,
    to_ms: u64,
) -> Result<Vec<Customer>, StoreError> {
    let rows = query(
        "SELECT DISTINCT t.customer FROM usage_receipts r JOIN lease_terms t ON t.lease = r.lease
         WHERE r.rate IS NOT NULL AND r.booked_ms >= $1 AND r.booked_ms < $2 AND NOT EXISTS (
             SELECT 1 FROM invoices i WHERE i.customer = t.customer AND i.period = $3)
         ORDER BY t.customer",
    )
    .bind(big(from_ms)?)
    .bind(big(to_ms)?)
    .bind(period)
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("customer")).collect()
}

/// When the first receipt was taken that no invoice covers yet.
pub(crate) async fn first_open(on: &mut Connection) -> Result<Option<u64>, StoreError> {
    let row = query(
        "SELECT MIN(booked_ms) AS first FROM usage_receipts
         WHERE rate IS NOT NULL AND booked_ms >= COALESCE((SELECT MAX(to_ms) FROM invoices), 0)",
    )
    .fetch_one(on)
    .await?;
    row.number_opt("first")
}

/// Issues an invoice.
pub(crate) async fn issue(
    on: &mut Connection,
    issued: &Issued,
    lines: &[Line],
) -> Result<(), StoreError> {
    query(
        "INSERT INTO invoices (customer, period, from_ms, to_ms, total, issued_ms)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(issued.customer.as_str())
    .bind(&issued.period)
    .bind(big(issued.from_ms)?)
    .bind(big(issued.to_ms)?)
    .bind(issued.total.micros())
    .bind(big(issued.issued_ms)?)
    .execute(&mut *on)
    .await?;
    for line in lines {
        query(
            "INSERT INTO invoice_lines (customer, period, function, lease, rate, gib_second, cpu_second,
                 receipts, compute_micros, bytes, amount)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(issued.customer.as_str())
        .bind(&issued.period)
        .bind(line.function.as_str())
        .bind(line.lease.to_string())
        .bind(i64::from(line.rate))
        .bind(big(line.gib_second)?)
        .bind(big(line.cpu_second)?)
        .bind(big(line.receipts)?)
        .bind(big(line.compute_micros)?)
        .bind(big(line.bytes)?)
        .bind(line.amount.micros())
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}

/// An invoice that was issued.
pub(crate) async fn get(
    on: &mut Connection,
    customer: &Customer,
    period: &str,
) -> Result<Option<Issued>, StoreError> {
    let row = query("SELECT * FROM invoices WHERE customer = $1 AND period = $2")
        .bind(customer.as_str())
        .bind(period)
        .fetch_optional(on)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// The lines of an invoice that was issued.
pub(crate) async fn lines(
    on: &mut Connection,
    customer: &Customer,
    period: &str,
) -> Result<Vec<Line>, StoreError> {
    let rows = query(
        "SELECT * FROM invoice_lines WHERE customer = $1 AND period = $2
         ORDER BY function, lease, rate",
    )
    .bind(customer.as_str())
    .bind(period)
    .fetch_all(on)
    .await?;
    rows.iter().map(read_line).collect()
}

/// Issued invoices after a period, the oldest first: a customer's, or everybody's.
pub(crate) async fn list(
    on: &mut Connection,
    customer: Option<&Customer>,
    after: &str,
    limit: u32,
) -> Result<Vec<Issued>, StoreError> {
    let rows = query(
        "SELECT * FROM invoices WHERE ($1 = '' OR customer = $1) AND period > $2
         ORDER BY period, customer LIMIT $3",
    )
    .bind(customer.map_or("", Customer::as_str))
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Issued, StoreError> {
    Ok(Issued {
        customer: row.parsed("customer")?,
        period: row.text("period")?,
        from_ms: row.number("from_ms")?,
        to_ms: row.number("to_ms")?,
        total: amount(row, "total")?,
        issued_ms: row.number("issued_ms")?,
    })
}

fn read_line(row: &AnyRow) -> Result<Line, StoreError> {
    Ok(Line {
        function: row.parsed("function")?,
        lease: row.parsed("lease")?,
        rate: row.number("rate")?,
        gib_second: row.number("gib_second")?,
        cpu_second: row.number("cpu_second")?,
        receipts: row.number("receipts")?,
        compute_micros: row.number("compute_micros")?,
        bytes: row.number("bytes")?,
        amount: amount(row, "amount")?,
    })
}
