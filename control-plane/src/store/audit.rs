//! The audit log.

use nacre_protocol::api::audit::AuditEntry;
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};
use crate::owner::Owner;

/// Adds an entry.
pub(crate) async fn append(
    on: &mut Connection,
    owner: &Owner,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO audit (id, organisation, at_ms, key_id, action, method, path, address, status, code)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&entry.id)
    .bind(owner.as_str())
    .bind(big(entry.at_ms)?)
    .bind(&entry.key)
    .bind(&entry.action)
    .bind(&entry.method)
    .bind(&entry.path)
    .bind(&entry.address)
    .bind(i64::from(entry.status))
    .bind(entry.code.clone())
    .execute(on)
    .await?;
    Ok(())
}

/// An owner's entries, the latest first, after the one that `after` names by its time and id.
pub(crate) async fn page(
    on: &mut Connection,
    owner: &Owner,
    after: Option<(u64, String)>,
    limit: u32,
) -> Result<Vec<AuditEntry>, StoreError> {
    let (time, id) = match after {
        Some((time, id)) => (big(time)?, id),
        None => (i64::MAX, String::new()),
    };
    let rows = query(
        "SELECT * FROM audit
         WHERE organisation = $1 AND (at_ms < $2 OR (at_ms = $2 AND id < $3))
         ORDER BY at_ms DESC, id DESC LIMIT $4",
    )
    .bind(owner.as_str())
    .bind(time)
    .bind(id)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AuditEntry {
                id: row.text("id")?,
                at_ms: row.number("at_ms")?,
                key: row.text("key_id")?,
                action: row.text("action")?,
                method: row.text("method")?,
                path: row.text("path")?,
                address: row.text("address")?,
                status: row.number("status")?,
                code: row.text_opt("code")?,
            })
        })
        .collect()
}

/// Forgets entries of before `before_ms`.
pub(crate) async fn forget(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query("DELETE FROM audit WHERE at_ms < $1")
        .bind(big(before_ms)?)
        .execute(on)
        .await?;
    Ok(())
}
