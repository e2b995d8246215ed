//! What excuses a node, and which run of its enclave was its own when.

use core::ops::Range;

use nacre_protocol::ids::{BootId, NodeId};
use sqlx::query;

use crate::store::{Connection, RowExt as _, StoreError, big};

/// Notes that no control plane was at work.
pub(crate) async fn note_outage(
    on: &mut Connection,
    outage: &Range<u64>,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO outages (from_ms, to_ms) VALUES ($1, $2)
         ON CONFLICT (from_ms) DO UPDATE SET to_ms = excluded.to_ms",
    )
    .bind(big(outage.start)?)
    .bind(big(outage.end)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Outages of ours that touch a time.
pub(crate) async fn outages(
    on: &mut Connection,
    within: &Range<u64>,
) -> Result<Vec<Range<u64>>, StoreError> {
    let rows = query("SELECT from_ms, to_ms FROM outages WHERE to_ms > $1 AND from_ms < $2")
        .bind(big(within.start)?)
        .bind(big(within.end)?)
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| Ok(row.number("from_ms")?..row.number("to_ms")?))
        .collect()
}

/// Notes that this run is the node's from now on, whose registration was just written. That nobody reaches the node holds
/// for the run of which watchers said it: with another it is forgotten, with the same one the node stays offline.
/// Says whether it does.
pub(crate) async fn note_boot(
    on: &mut Connection,
    node: &NodeId,
    boot: &BootId,
    another: bool,
    now_ms: u64,
) -> Result<bool, StoreError> {
    query(
        "INSERT INTO node_boots (node, from_ms, boot_id) VALUES ($1, $2, $3)
         ON CONFLICT (node, from_ms, boot_id) DO NOTHING",
    )
    .bind(node.to_string())
    .bind(big(now_ms)?)
    .bind(boot.to_string())
    .execute(&mut *on)
    .await?;
    if another {
        query("UPDATE node_uptime SET unreachable_ms = NULL WHERE node = $1")
            .bind(node.to_string())
            .execute(&mut *on)
            .await?;
    }
    offline_if_unreachable(on, node).await
}

/// Takes a node offline if watchers agree that nobody reaches it. Says whether they do.
pub(crate) async fn offline_if_unreachable(
    on: &mut Connection,
    node: &NodeId,
) -> Result<bool, StoreError> {
    let done = query(
        "UPDATE nodes SET online = FALSE WHERE id = $1 AND EXISTS (
             SELECT 1 FROM node_uptime WHERE node = $1 AND unreachable_ms IS NOT NULL)",
    )
    .bind(node.to_string())
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The runs that were a node's at any moment of a time.
pub(crate) async fn boots(
    on: &mut Connection,
    node: &NodeId,
    within: &Range<u64>,
) -> Result<Vec<BootId>, StoreError> {
    let rows = query(
        "SELECT boot_id FROM node_boots
         WHERE node = $1 AND from_ms < $3 AND from_ms >= COALESCE((
             SELECT MAX(from_ms) FROM node_boots WHERE node = $1 AND from_ms <= $2), 0)",
    )
    .bind(node.to_string())
    .bind(big(within.start)?)
    .bind(big(within.end)?)
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("boot_id")).collect()
}
