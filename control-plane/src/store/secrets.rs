//! Keys that all control planes of a database share.

use sqlx::query;

use super::{Connection, RowExt as _, StoreError};

/// The key of this name, which is `fresh` if there is none yet.
pub(crate) async fn get_or_put(
    on: &mut Connection,
    name: &str,
    fresh: &[u8; 32],
) -> Result<[u8; 32], StoreError> {
    query("INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(hex::encode(fresh))
        .execute(&mut *on)
        .await?;
    let row = query("SELECT value FROM secrets WHERE name = $1")
        .bind(name)
        .fetch_one(on)
        .await?;
    let mut key = [0; 32];
    hex::decode_to_slice(row.text("value")?, &mut key).map_err(|_| StoreError::Corrupt("value"))?;
    Ok(key)
}
