//! Announced drains. Times are Unix milliseconds.

use nacre_protocol::ids::NodeId;
use sqlx::query;

use crate::store::{Connection, RowExt as _, StoreError, big};

/// An announced drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DrainRow {
    pub node: NodeId,
    /// When the node is to be empty, and its absence begins.
    pub from_ms: u64,
    pub to_ms: u64,
    pub announced_ms: u64,
    /// Nobody said when the node will be back: `to_ms` is the latest, and it ends when the node is.
    pub open_end: bool,
    pub market: Market,
}

/// What the market knows of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Market {
    /// Nothing yet.
    NotTold,
    /// That the node leaves.
    Told,
    /// That it is over.
    Over,
}

impl Market {
    fn number(self) -> i64 {
        match self {
            Self::NotTold => 0,
            Self::Told => 1,
            Self::Over => 2,
        }
    }

    fn of(number: i64) -> Result<Self, StoreError> {
        match number {
            0 => Ok(Self::NotTold),
            1 => Ok(Self::Told),
            2 => Ok(Self::Over),
            _ => Err(StoreError::Corrupt("market")),
        }
    }
}

/// Keeps a drain, in place of one of the node's with the same begin.
pub(crate) async fn put(on: &mut Connection, row: &DrainRow) -> Result<(), StoreError> {
    query(
        "INSERT INTO node_drains (node, from_ms, to_ms, announced_ms, open_end, market)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (node, from_ms) DO UPDATE SET to_ms = excluded.to_ms,
             announced_ms = excluded.announced_ms, open_end = excluded.open_end, market = excluded.market",
    )
    .bind(row.node.to_string())
    .bind(big(row.from_ms)?)
    .bind(big(row.to_ms)?)
    .bind(big(row.announced_ms)?)
    .bind(i64::from(row.open_end))
    .bind(row.market.number())
    .execute(on)
    .await?;
    Ok(())
}

/// Notes what the market knows of a drain.
pub(crate) async fn set_market(
    on: &mut Connection,
    row: &DrainRow,
    market: Market,
) -> Result<(), StoreError> {
    query("UPDATE node_drains SET market = $1 WHERE node = $2 AND from_ms = $3")
        .bind(market.number())
        .bind(row.node.to_string())
        .bind(big(row.from_ms)?)
        .execute(on)
        .await?;
    Ok(())
}

/// Lets a drain end now; one that has not begun is forgotten. The market knows.
pub(crate) async fn end(
    on: &mut Connection,
    row: &DrainRow,
    now_ms: u64,
) -> Result<(), StoreError> {
    if row.from_ms < now_ms {
        let ended = DrainRow {
            to_ms: now_ms,
            open_end: false,
            market: Market::Over,
            ..*row
        };
        return put(on, &ended).await;
    }
    query("DELETE FROM node_drains WHERE node = $1 AND from_ms = $2")
        .bind(row.node.to_string())
        .bind(big(row.from_ms)?)
        .execute(on)
        .await?;
    Ok(())
}

/// A node's drains that end after `after_ms`, in order.
pub(crate) async fn of(
    on: &mut Connection,
    node: &NodeId,
    after_ms: u64,
) -> Result<Vec<DrainRow>, StoreError> {
    let rows = query("SELECT * FROM node_drains WHERE node = $1 AND to_ms > $2 ORDER BY from_ms")
        .bind(node.to_string())
        .bind(big(after_ms)?)
        .fetch_all(on)
        .await?;
    rows.iter().map(read).collect()
}

/// All nodes' drains that end after `after_ms` and begin before `before_ms`.
pub(crate) async fn all(
    on: &mut Connection,
    after_ms: u64,
    before_ms: u64,
) -> Result<Vec<DrainRow>, StoreError> {
    let rows =
        query("SELECT * FROM node_drains WHERE to_ms > $1 AND from_ms < $2 ORDER BY node, from_ms")
            .bind(big(after_ms)?)
            .bind(big(before_ms)?)
            .fetch_all(on)
            .await?;
    rows.iter().map(read).collect()
}

/// Drains that the market is to hear of: those that begin within `lead_ms`, and those that it knows and that are over.
pub(crate) async fn due(
    on: &mut Connection,
    now_ms: u64,
    lead_ms: u64,
) -> Result<Vec<DrainRow>, StoreError> {
    let rows = query(
        "SELECT * FROM node_drains
         WHERE (market = 0 AND from_ms <= $1 AND to_ms > $2)
            OR (market = 1 AND open_end = 0 AND to_ms <= $2)
         ORDER BY to_ms, node",
    )
    .bind(big(now_ms.saturating_add(lead_ms))?)
    .bind(big(now_ms)?)
    .fetch_all(on)
    .await?;
    rows.iter().map(read).collect()
}

/// Whether it is this drain for which the market lets the node leave.
pub(crate) async fn leaves_by(on: &mut Connection, row: &DrainRow) -> Result<bool, StoreError> {
    let found = query("SELECT id FROM nodes WHERE id = $1 AND leaves_ms = $2")
        .bind(row.node.to_string())
        .bind(big(row.from_ms)?)
        .fetch_optional(on)
        .await?;
    Ok(found.is_some())
}

fn read(row: &sqlx::any::AnyRow) -> Result<DrainRow, StoreError> {
    Ok(DrainRow {
        node: row.parsed("node")?,
        from_ms: row.number("from_ms")?,
        to_ms: row.number("to_ms")?,
        announced_ms: row.number("announced_ms")?,
        open_end: row.flag("open_end")?,
        market: Market::of(row.number("market")?)?,
    })
}
