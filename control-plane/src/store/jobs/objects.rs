//! Which objects of jobs there may be, and from when on they are to be deleted.

use sqlx::query;

use crate::store::{Connection, RowExt as _, StoreError, big};

/// Notes an object that is about to be written.
pub(crate) async fn note_object(
    on: &mut Connection,
    name: &str,
    expires_ms: u64,
) -> Result<(), StoreError> {
    query("INSERT INTO job_objects (name, expires_ms) VALUES ($1, $2)")
        .bind(name)
        .bind(big(expires_ms)?)
        .execute(on)
        .await?;
    Ok(())
}

/// Changes from when on an object is deleted. False if it is gone already.
pub(crate) async fn expire_object(
    on: &mut Connection,
    name: &str,
    expires_ms: u64,
) -> Result<bool, StoreError> {
    let done = query("UPDATE job_objects SET expires_ms = $1 WHERE name = $2")
        .bind(big(expires_ms)?)
        .bind(name)
        .execute(on)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Objects to delete now; at most 256.
pub(crate) async fn expired_objects(
    on: &mut Connection,
    now_ms: u64,
) -> Result<Vec<String>, StoreError> {
    let rows = query("SELECT name FROM job_objects WHERE expires_ms <= $1 LIMIT 256")
        .bind(big(now_ms)?)
        .fetch_all(on)
        .await?;
    rows.iter().map(|row| row.text("name")).collect()
}

/// Forgets an object that was deleted.
pub(crate) async fn forget_object(on: &mut Connection, name: &str) -> Result<(), StoreError> {
    query("DELETE FROM job_objects WHERE name = $1")
        .bind(name)
        .execute(on)
        .await?;
    Ok(())
}
