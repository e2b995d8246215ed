//! Watchers, and what stands behind them and behind nodes.

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::WatcherId;
use sqlx::query;

use crate::store::{Connection, RowExt as _, StoreError, big};

/// A watcher as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatcherRow {
    pub watcher: WatcherId,
    pub name: String,
    pub added_ms: u64,
    /// In force now.
    pub stake: u64,
    /// Epochs to which it signed two commitments.
    pub said_twice: u32,
}

/// Adds a watcher, or changes its name and, from now on, its stake.
pub(crate) async fn set_watcher(
    on: &mut Connection,
    watcher: &WatcherId,
    name: &str,
    stake: u64,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO watchers (id, name, added_ms) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    )
    .bind(watcher.to_string())
    .bind(name)
    .bind(big(now_ms)?)
    .execute(&mut *on)
    .await?;
    set_watcher_stake(on, watcher, stake, now_ms).await
}

/// Changes a known watcher's stake from now on.
pub(crate) async fn set_watcher_stake(
    on: &mut Connection,
    watcher: &WatcherId,
    stake: u64,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO watcher_stakes (watcher, from_ms, stake) VALUES ($1, $2, $3)
         ON CONFLICT (watcher, from_ms) DO UPDATE SET stake = excluded.stake",
    )
    .bind(watcher.to_string())
    .bind(big(now_ms)?)
    .bind(big(stake)?)
    .execute(on)
    .await?;
    Ok(())
}

/// All watchers that ever were, by id.
pub(crate) async fn watchers(on: &mut Connection) -> Result<Vec<WatcherRow>, StoreError> {
    let rows = query(
        "SELECT w.id, w.name, w.added_ms,
             COALESCE((SELECT s.stake FROM watcher_stakes s WHERE s.watcher = w.id
                       ORDER BY s.from_ms DESC LIMIT 1), 0) AS stake,
             (SELECT COUNT(*) FROM uptime_commits c
              WHERE c.watcher = w.id AND c.other_commitment IS NOT NULL) AS said_twice
         FROM watchers w ORDER BY w.id",
    )
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(WatcherRow {
                watcher: row.parsed("id")?,
                name: row.text("name")?,
                added_ms: row.number("added_ms")?,
                stake: row.number("stake")?,
                said_twice: row.number("said_twice")?,
            })
        })
        .collect()
}

/// Whether somebody added this watcher.
pub(crate) async fn is_watcher(
    on: &mut Connection,
    watcher: &WatcherId,
) -> Result<bool, StoreError> {
    let row = query("SELECT id FROM watchers WHERE id = $1")
        .bind(watcher.to_string())
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// The watchers with stake at a moment, by id.
pub(crate) async fn weights(
    on: &mut Connection,
    at_ms: u64,
) -> Result<Vec<(WatcherId, u64)>, StoreError> {
    let rows = query(
        "SELECT s.watcher, s.stake FROM watcher_stakes s
         WHERE s.stake > 0 AND s.from_ms = (
             SELECT MAX(t.from_ms) FROM watcher_stakes t
             WHERE t.watcher = s.watcher AND t.from_ms <= $1)
         ORDER BY s.watcher",
    )
    .bind(big(at_ms)?)
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| Ok((row.parsed("watcher")?, row.number("stake")?)))
        .collect()
}

/// When there first was a watcher.
pub(crate) async fn first_weight(on: &mut Connection) -> Result<Option<u64>, StoreError> {
    let row = query("SELECT MIN(from_ms) AS first FROM watcher_stakes")
        .fetch_one(on)
        .await?;
    row.number_opt("first")
}

/// Changes a node's stake from now on.
pub(crate) async fn set_node_stake(
    on: &mut Connection,
    node: &NodeId,
    stake: u64,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO node_stakes (node, from_ms, stake) VALUES ($1, $2, $3)
         ON CONFLICT (node, from_ms) DO UPDATE SET stake = excluded.stake",
    )
    .bind(node.to_string())
    .bind(big(now_ms)?)
    .bind(big(stake)?)
    .execute(on)
    .await?;
    Ok(())
}

/// The most that stood behind a node at any moment of a time: who withdraws in it does not come away with it.
pub(crate) async fn most_behind(
    on: &mut Connection,
    node: &NodeId,
    within: core::ops::Range<u64>,
) -> Result<u64, StoreError> {
    let row = query(
        "SELECT COALESCE(MAX(stake), 0) AS stake FROM node_stakes
         WHERE node = $1 AND from_ms < $3 AND from_ms >= COALESCE((
             SELECT MAX(from_ms) FROM node_stakes WHERE node = $1 AND from_ms <= $2), 0)",
    )
    .bind(node.to_string())
    .bind(big(within.start)?)
    .bind(big(within.end)?)
    .fetch_one(on)
    .await?;
    row.number("stake")
}
