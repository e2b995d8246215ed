//! How many there are of what, for the metrics.

use sqlx::query;

use super::{Connection, RowExt as _, Store, StoreError};

/// Counts by state or kind. A state that this program does not know is `other`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Nodes: online, offline.
    pub nodes: Vec<(&'static str, u64)>,
    /// Leases that have not ended.
    pub leases: Vec<(&'static str, u64)>,
    /// Jobs that are kept.
    pub jobs: Vec<(&'static str, u64)>,
    /// Pieces of work in the queue.
    pub queue: Vec<(&'static str, u64)>,
    /// For how many milliseconds the first of each kind has been due.
    pub overdue_ms: Vec<(&'static str, u64)>,
    /// Orders that have fewer replicas than they ask for.
    pub short_orders: u64,
}

const NODES: &[&str] = &["online", "offline"];
const LEASES: &[&str] = &["loading", "ready", "failed"];
const JOBS: &[&str] = &[
    "queued",
    "leased",
    "running",
    "done",
    "failed",
    "expired",
    "cancelled",
];
const QUEUE: &[&str] = &["webhook"];

impl Store {
    /// Counts, in one snapshot.
    pub(crate) async fn census(&self, now_ms: u64) -> Result<Census, StoreError> {
        let mut tx = self.read().await?;
        let nodes = "SELECT CASE WHEN online THEN 'online' ELSE 'offline' END AS name,
            COUNT(*) AS counted FROM nodes GROUP BY online";
        let leases = "SELECT state AS name, COUNT(*) AS counted FROM leases
            WHERE ended_ms IS NULL GROUP BY state";
        let jobs = "SELECT state AS name, COUNT(*) AS counted FROM jobs GROUP BY state";
        let queue = "SELECT kind AS name, COUNT(*) AS counted FROM queue GROUP BY kind";
        let oldest = "SELECT kind AS name, MIN(due_ms) AS counted FROM queue GROUP BY kind";
        let short = "SELECT 'short' AS name, COUNT(*) AS counted FROM orders
            WHERE shortage IS NOT NULL";
        let oldest = rows(&mut tx, oldest).await?;
        let overdue = |kind: &&'static str| {
            let due_ms = oldest.iter().find(|(found, _)| found == kind);
            let overdue_ms = due_ms.map_or(0, |(_, due_ms)| now_ms.saturating_sub(*due_ms));
            (*kind, overdue_ms)
        };
        Ok(Census {
            nodes: sums(NODES, &rows(&mut tx, nodes).await?),
            leases: sums(LEASES, &rows(&mut tx, leases).await?),
            jobs: sums(JOBS, &rows(&mut tx, jobs).await?),
            queue: sums(QUEUE, &rows(&mut tx, queue).await?),
            overdue_ms: QUEUE.iter().map(overdue).collect(),
            short_orders: rows(&mut tx, short).await?.iter().map(|(_, n)| n).sum(),
        })
    }
}

async fn rows(on: &mut Connection, sql: &'static str) -> Result<Vec<(String, u64)>, StoreError> {
    let rows = query(sql).fetch_all(on).await?;
    let rows = rows.iter();
    rows.map(|row| Ok((row.text("name")?, row.number("counted")?)))
        .collect()
}

/// Every known name with its count, which may be none, and what is left of others.
fn sums(known: &'static [&'static str], rows: &[(String, u64)]) -> Vec<(&'static str, u64)> {
    let count = |name: &str| {
        let of_name = rows.iter().find(|(found, _)| found == name);
        of_name.map_or(0, |(_, count)| *count)
    };
    let mut sums: Vec<_> = known.iter().map(|name| (*name, count(name))).collect();
    let strange = rows
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()));
    let strange: u64 = strange.map(|(_, count)| count).sum();
    if strange > 0 {
        sums.push(("other", strange));
    }
    sums
}
