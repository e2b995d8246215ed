//! Work that waits for somebody: each piece is taken by one at a time, and taken anew when that one's time is up.
//!
//! On PostgreSQL takers pass over what others are just taking (SKIP LOCKED), so that none waits for another and a
//! transaction of [`super::Store::write_alone`] is enough; on SQLite they come one after the other anyway. What is done
//! with a piece belongs into the transaction that ends it with [`finish`]: true there means that nobody else has ended
//! it or will.

use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// A piece that was taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Taken {
    /// Which.
    pub id: String,
    /// How often it was taken, this time included.
    pub tries: u32,
}

/// Lays a piece in, to be taken from `due_ms` on. False if it is there.
pub(crate) async fn put(
    on: &mut Connection,
    kind: &str,
    id: &str,
    due_ms: u64,
) -> Result<bool, StoreError> {
    let done = query(
        "INSERT INTO queue (kind, id, due_ms, tries) VALUES ($1, $2, $3, 0)
         ON CONFLICT (kind, id) DO NOTHING",
    )
    .bind(kind)
    .bind(id)
    .bind(big(due_ms)?)
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

macro_rules! take {
    ($lock:literal) => {
        // Materialized: planned into the update, the inner query might run, and lock, more than once.
        concat!(
            "WITH next AS MATERIALIZED (
                 SELECT id FROM queue WHERE kind = $1 AND due_ms <= $2
                 ORDER BY due_ms, id LIMIT $3 ",
            $lock,
            ")
             UPDATE queue SET due_ms = $4, holder = $5, tries = tries + 1
             FROM next WHERE queue.kind = $1 AND queue.id = next.id
             RETURNING queue.id, queue.tries"
        )
    };
}

/// Takes up to `limit` pieces that are due at `now_ms`, the longest due first, until `until_ms`. `holder` is the taker's
/// name for this one taking: nobody else's, and not one of another taking of its own.
pub(crate) async fn take(
    on: &mut Connection,
    kind: &str,
    limit: u32,
    holder: &str,
    now_ms: u64,
    until_ms: u64,
) -> Result<Vec<Taken>, StoreError> {
    let sql = match on.backend_name() {
        "PostgreSQL" => take!("FOR UPDATE SKIP LOCKED"),
        _ => take!(""),
    };
    let rows = query(sql)
        .bind(kind)
        .bind(big(now_ms)?)
        .bind(i64::from(limit))
        .bind(big(until_ms)?)
        .bind(holder)
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Taken {
                id: row.text("id")?,
                tries: row.number("tries")?,
            })
        })
        .collect()
}

/// Moves the time of a piece that `holder` still holds: later, to go on, or sooner, to give it back. False if it was taken
/// by another since, or ended.
pub(crate) async fn postpone(
    on: &mut Connection,
    kind: &str,
    id: &str,
    holder: &str,
    until_ms: u64,
) -> Result<bool, StoreError> {
    let done = query("UPDATE queue SET due_ms = $1 WHERE kind = $2 AND id = $3 AND holder = $4")
        .bind(big(until_ms)?)
        .bind(kind)
        .bind(id)
        .bind(holder)
        .execute(on)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends a piece that `holder` still holds. False if it was taken by another since, or ended.
pub(crate) async fn finish(
    on: &mut Connection,
    kind: &str,
    id: &str,
    holder: &str,
) -> Result<bool, StoreError> {
    let done = query("DELETE FROM queue WHERE kind = $1 AND id = $2 AND holder = $3")
        .bind(kind)
        .bind(id)
        .bind(holder)
        .execute(on)
        .await?;
    Ok(done.rows_affected() > 0)
}
