//! Settled windows, slashes, and where nodes stand.

use std::collections::BTreeMap;

use nacre_protocol::ids::{NodeId, OperatorId};
use nacre_protocol::uptime::{SlashRecord, Window};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::store::{Connection, RowExt as _, StoreError, big};

/// The last window that was settled.
pub(crate) async fn last(on: &mut Connection) -> Result<Option<Window>, StoreError> {
    let row = query("SELECT MAX(number) AS last FROM uptime_windows")
        .fetch_one(on)
        .await?;
    Ok(row.number_opt("last")?.map(Window))
}

/// Writes that a window is settled; false where it was before.
pub(crate) async fn insert(
    on: &mut Connection,
    window: Window,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let done = query(
        "INSERT INTO uptime_windows (number, settled_ms) VALUES ($1, $2)
         ON CONFLICT (number) DO NOTHING",
    )
    .bind(big(window.0)?)
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Whose each node is.
pub(crate) async fn operators(
    on: &mut Connection,
) -> Result<BTreeMap<NodeId, OperatorId>, StoreError> {
    let rows = query("SELECT id, operator FROM nodes")
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| Ok((row.parsed("id")?, row.parsed("operator")?)))
        .collect()
}

/// Writes a slash. A second one for the same node and window is an error of the database's.
pub(crate) async fn slash(on: &mut Connection, slash: &SlashRecord) -> Result<(), StoreError> {
    query(
        "INSERT INTO slashes (node, number, operator, stake, window_slots, up, missing, excused,
                              unjudged, amount, settled_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(slash.node.to_string())
    .bind(big(slash.window.0)?)
    .bind(slash.operator.to_string())
    .bind(big(slash.stake)?)
    .bind(i64::from(slash.window_slots))
    .bind(i64::from(slash.up))
    .bind(i64::from(slash.missing))
    .bind(i64::from(slash.excused))
    .bind(i64::from(slash.unjudged))
    .bind(big(slash.amount)?)
    .bind(big(slash.settled_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Slashes, the newest window first; those after this one, if any.
pub(crate) async fn slashes(
    on: &mut Connection,
    after: Option<(Window, NodeId)>,
    limit: u32,
) -> Result<Vec<SlashRecord>, StoreError> {
    let (window, node) = match after {
        Some((window, node)) => (big(window.0)?, node.to_string()),
        None => (i64::MAX, String::new()),
    };
    let rows = query(
        "SELECT * FROM slashes WHERE number < $1 OR (number = $1 AND node > $2)
         ORDER BY number DESC, node LIMIT $3",
    )
    .bind(window)
    .bind(node)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter().map(read_slash).collect()
}

fn read_slash(row: &AnyRow) -> Result<SlashRecord, StoreError> {
    Ok(SlashRecord {
        node: row.parsed("node")?,
        operator: row.parsed("operator")?,
        window: Window(row.number("number")?),
        stake: row.number("stake")?,
        window_slots: row.number("window_slots")?,
        up: row.number("up")?,
        missing: row.number("missing")?,
        excused: row.number("excused")?,
        unjudged: row.number("unjudged")?,
        amount: row.number("amount")?,
        settled_ms: row.number("settled_ms")?,
    })
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NodeStanding {
    /// Hundredths of a percent.
    pub score: Option<u32>,
    /// Since when watchers agree that nobody reaches it.
    pub unreachable_ms: Option<u64>,
}

/// Where all nodes stand of which anything is known.
pub(crate) async fn standings(
    on: &mut Connection,
) -> Result<BTreeMap<NodeId, NodeStanding>, StoreError> {
    let rows = query("SELECT node, score, unreachable_ms FROM node_uptime")
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            let standing = NodeStanding {
                score: row.number_opt("score")?,
                unreachable_ms: row.number_opt("unreachable_ms")?,
            };
            Ok((row.parsed("node")?, standing))
        })
        .collect()
}

/// Writes where a node stands.
pub(crate) async fn set_standing(
    on: &mut Connection,
    node: &NodeId,
    standing: &NodeStanding,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO node_uptime (node, score, unreachable_ms) VALUES ($1, $2, $3)
         ON CONFLICT (node) DO UPDATE SET
             score = excluded.score, unreachable_ms = excluded.unreachable_ms",
    )
    .bind(node.to_string())
    .bind(standing.score.map(i64::from))
    .bind(standing.unreachable_ms.map(big).transpose()?)
    .execute(on)
    .await?;
    Ok(())
}
