//! Answers that are kept for the same question.

use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// An answer, and the hash of the request it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// SHA-256 over method, path and body, hex.
    pub fingerprint: String,
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

/// The answer kept under a principal's key, if it was made after `after_ms`.
pub(crate) async fn get(
    on: &mut Connection,
    principal: &str,
    key: &str,
    after_ms: u64,
) -> Result<Option<Kept>, StoreError> {
    let row = query(
        "SELECT fingerprint, status, body FROM idempotency
         WHERE principal = $1 AND key = $2 AND created_ms > $3",
    )
    .bind(principal)
    .bind(key)
    .bind(big(after_ms)?)
    .fetch_optional(on)
    .await?;
    row.map(|row| {
        Ok(Kept {
            fingerprint: row.text("fingerprint")?,
            status: row.number("status")?,
            body: row.text("body")?,
        })
    })
    .transpose()
}

/// Keeps an answer; one that expired under the same key gives way.
pub(crate) async fn put(
    on: &mut Connection,
    principal: &str,
    key: &str,
    kept: &Kept,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO idempotency (principal, key, fingerprint, status, body, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (principal, key) DO UPDATE SET
             fingerprint = excluded.fingerprint, status = excluded.status,
             body = excluded.body, created_ms = excluded.created_ms",
    )
    .bind(principal)
    .bind(key)
    .bind(&kept.fingerprint)
    .bind(i64::from(kept.status))
    .bind(&kept.body)
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Forgets answers that are older.
pub(crate) async fn forget(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query("DELETE FROM idempotency WHERE created_ms <= $1")
        .bind(big(before_ms)?)
        .execute(on)
        .await?;
    Ok(())
}
