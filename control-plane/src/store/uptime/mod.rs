//! Uptime: who watches, what they said, what was judged of it, and what it cost.

pub(crate) mod circumstances;
pub(crate) mod drains;
pub(crate) mod epochs;
mod runs;
pub(crate) mod stakes;
pub(crate) mod windows;
pub(crate) mod words;

use sqlx::query;

use super::{Connection, RowExt as _, StoreError};

/// A value that all control planes share.
pub(crate) async fn state(
    on: &mut Connection,
    name: &'static str,
) -> Result<Option<String>, StoreError> {
    let row = query("SELECT value FROM uptime_state WHERE name = $1")
        .bind(name)
        .fetch_optional(on)
        .await?;
    row.map(|row| row.text("value")).transpose()
}

/// Sets it.
pub(crate) async fn set_state(
    on: &mut Connection,
    name: &'static str,
    value: &str,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO uptime_state (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(on)
    .await?;
    Ok(())
}
