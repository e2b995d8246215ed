//! What was agreed for leases, one agreement after another. Rows are added and never changed.

use nacre_ledger::{Agreement, Fee, Rate, Reserved};
use nacre_protocol::ids::LeaseId;
use sqlx::any::AnyRow;
use sqlx::query;

use super::amount;
use crate::store::{Connection, RowExt as _, StoreError, big};

/// Keeps an agreement.
pub(crate) async fn insert(
    on: &mut Connection,
    lease: &LeaseId,
    agreement: &Agreement,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO lease_rates (lease, number, agreed_ms, from_ms, memory_bytes, cpu_milli,
             gib_second, cpu_second, gib_carried, fee, hold)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(lease.to_string())
    .bind(i64::from(agreement.number))
    .bind(big(agreement.agreed_ms)?)
    .bind(big(agreement.from_ms)?)
    .bind(big(agreement.reserved.memory_bytes)?)
    .bind(i64::from(agreement.reserved.cpu_milli))
    .bind(big(agreement.rate.gib_second)?)
    .bind(big(agreement.rate.cpu_second)?)
    .bind(big(agreement.rate.gib_carried)?)
    .bind(i64::from(agreement.fee.basis_points()))
    .bind(agreement.hold.micros())
    .execute(on)
    .await?;
    Ok(())
}

/// The last agreement of a lease.
pub(crate) async fn last(
    on: &mut Connection,
    lease: &LeaseId,
) -> Result<Option<Agreement>, StoreError> {
    let row = query("SELECT * FROM lease_rates WHERE lease = $1 ORDER BY number DESC LIMIT 1")
        .bind(lease.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The one that a receipt is charged by which was signed by then ([`Agreement::charged_by`]).
pub(crate) async fn charged_by(
    on: &mut Connection,
    lease: &LeaseId,
    signed_by_ms: u64,
) -> Result<Option<Agreement>, StoreError> {
    let row = query(
        "SELECT * FROM lease_rates WHERE lease = $1 AND (number = 1 OR from_ms <= $2)
         ORDER BY number DESC LIMIT 1",
    )
    .bind(lease.to_string())
    .bind(big(signed_by_ms)?)
    .fetch_optional(on)
    .await?;
    row.as_ref().map(read).transpose()
}

/// All agreements with their leases, in order.
pub(crate) async fn all(on: &mut Connection) -> Result<Vec<(LeaseId, Agreement)>, StoreError> {
    let rows = query("SELECT * FROM lease_rates ORDER BY lease, number")
        .fetch_all(on)
        .await?;
    let pairs = rows
        .iter()
        .map(|row| Ok((row.parsed("lease")?, read(row)?)));
    pairs.collect()
}

fn read(row: &AnyRow) -> Result<Agreement, StoreError> {
    let fee = Fee::from_basis_points(row.number("fee")?);
    Ok(Agreement {
        number: row.number("number")?,
        agreed_ms: row.number("agreed_ms")?,
        from_ms: row.number("from_ms")?,
        reserved: Reserved {
            memory_bytes: row.number("memory_bytes")?,
            cpu_milli: row.number("cpu_milli")?,
        },
        rate: Rate {
            gib_second: row.number("gib_second")?,
            cpu_second: row.number("cpu_second")?,
            gib_carried: row.number("gib_carried")?,
        },
        fee: fee.map_err(|_| StoreError::Corrupt("fee"))?,
        hold: amount(row, "hold")?,
    })
}
