//! API keys.

use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};
use crate::token::{KeyId, SecretHash};

/// A key as it is listed; its secret is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public id.
    pub id: KeyId,
    /// What it is for.
    pub name: String,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Since when it is refused, Unix milliseconds.
    pub revoked_ms: Option<u64>,
}

/// Stores a new key.
pub(crate) async fn insert(
    on: &mut Connection,
    id: &KeyId,
    name: &str,
    hash: SecretHash,
    now_ms: u64,
) -> Result<(), StoreError> {
    query("INSERT INTO api_keys (id, name, secret_sha256, created_ms) VALUES ($1, $2, $3, $4)")
        .bind(id.as_str())
        .bind(name)
        .bind(hash.to_hex())
        .bind(big(now_ms)?)
        .execute(on)
        .await?;
    Ok(())
}

/// The hash of a key that is not revoked.
pub(crate) async fn hash(
    on: &mut Connection,
    id: &KeyId,
) -> Result<Option<SecretHash>, StoreError> {
    let row = query("SELECT secret_sha256 FROM api_keys WHERE id = $1 AND revoked_ms IS NULL")
        .bind(id.as_str())
        .fetch_optional(on)
        .await?;
    row.map(|row| {
        let text = row.text("secret_sha256")?;
        SecretHash::from_hex(&text).ok_or(StoreError::Corrupt("secret_sha256"))
    })
    .transpose()
}

/// All keys, oldest first.
pub(crate) async fn list(on: &mut Connection) -> Result<Vec<KeyRecord>, StoreError> {
    let rows =
        query("SELECT id, name, created_ms, revoked_ms FROM api_keys ORDER BY created_ms, id")
            .fetch_all(on)
            .await?;
    rows.iter()
        .map(|row| {
            Ok(KeyRecord {
                id: KeyId::parse(&row.text("id")?).ok_or(StoreError::Corrupt("id"))?,
                name: row.text("name")?,
                created_ms: row.number("created_ms")?,
                revoked_ms: row.number_opt("revoked_ms")?,
            })
        })
        .collect()
}

/// Refuses a key from now on. False when there is no such key; revoking twice keeps the first time.
pub(crate) async fn revoke(
    on: &mut Connection,
    id: &KeyId,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let done = query("UPDATE api_keys SET revoked_ms = COALESCE(revoked_ms, $1) WHERE id = $2")
        .bind(big(now_ms)?)
        .bind(id.as_str())
        .execute(on)
        .await?;
    Ok(done.rows_affected() > 0)
}
