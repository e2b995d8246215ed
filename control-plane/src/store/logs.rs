//! Functions' logs.

use nacre_protocol::api::LogLine;
use nacre_protocol::control::Event;
use nacre_protocol::ids::{BootId, FunctionName, NodeId};
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// Adds an event to its function's log. False when it is there already, or the function is gone.
pub(crate) async fn append(
    on: &mut Connection,
    node: &NodeId,
    boot: &BootId,
    event: &Event,
) -> Result<bool, StoreError> {
    let done = query(
        "INSERT INTO logs (function, id, node, boot_id, seq, at_ms, code, message)
         SELECT f.name, f.last_log + 1, $2, $3, $4, $5, $6, $7 FROM functions f WHERE f.name = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(event.function.as_str())
    .bind(node.to_string())
    .bind(boot.to_string())
    .bind(big(event.seq)?)
    .bind(big(event.at_ms)?)
    .bind(&event.code)
    .bind(&event.message)
    .execute(&mut *on)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    query("UPDATE functions SET last_log = last_log + 1 WHERE name = $1")
        .bind(event.function.as_str())
        .execute(on)
        .await?;
    Ok(true)
}

/// Lines after `after`, in order.
pub(crate) async fn after(
    on: &mut Connection,
    function: &FunctionName,
    after: u64,
    limit: u32,
) -> Result<Vec<LogLine>, StoreError> {
    let rows = query("SELECT * FROM logs WHERE function = $1 AND id > $2 ORDER BY id LIMIT $3")
        .bind(function.as_str())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(LogLine {
                id: row.number("id")?,
                node: row.parsed("node")?,
                boot_id: row.parsed("boot_id")?,
                event: Event {
                    seq: row.number("seq")?,
                    at_ms: row.number("at_ms")?,
                    function: row.parsed("function")?,
                    code: row.text("code")?,
                    message: row.text("message")?,
                },
            })
        })
        .collect()
}

/// Forgets all but the newest `keep` lines of every function.
pub(crate) async fn trim(on: &mut Connection, keep: u32) -> Result<(), StoreError> {
    query(
        "DELETE FROM logs WHERE id <= (
             SELECT f.last_log FROM functions f WHERE f.name = logs.function) - $1",
    )
    .bind(i64::from(keep))
    .execute(on)
    .await?;
    Ok(())
}
