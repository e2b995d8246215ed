//! The key that nonces are made with, and the nonces that were used.

use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// The key, which is `fresh` if there is none yet.
pub(crate) async fn key(on: &mut Connection, fresh: &[u8; 32]) -> Result<[u8; 32], StoreError> {
    query(
        "INSERT INTO secrets (name, value) VALUES ('challenges', $1) ON CONFLICT (name) DO NOTHING",
    )
    .bind(hex::encode(fresh))
    .execute(&mut *on)
    .await?;
    let row = query("SELECT value FROM secrets WHERE name = 'challenges'")
        .fetch_one(on)
        .await?;
    let mut key = [0; 32];
    hex::decode_to_slice(row.text("value")?, &mut key).map_err(|_| StoreError::Corrupt("value"))?;
    Ok(key)
}

/// Whether the nonce was used.
pub(crate) async fn is_used(on: &mut Connection, nonce: &[u8; 32]) -> Result<bool, StoreError> {
    let row = query("SELECT nonce FROM used_nonces WHERE nonce = $1")
        .bind(hex::encode(nonce))
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// Uses the nonce: false if it was used before.
pub(crate) async fn take(
    on: &mut Connection,
    nonce: &[u8; 32],
    now_ms: u64,
) -> Result<bool, StoreError> {
    let done = query(
        "INSERT INTO used_nonces (nonce, used_ms) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING",
    )
    .bind(hex::encode(nonce))
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets nonces that were used before `before_ms`, when they are too old to be used in any case.
pub(crate) async fn forget(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query("DELETE FROM used_nonces WHERE used_ms < $1")
        .bind(big(before_ms)?)
        .execute(on)
        .await?;
    Ok(())
}
