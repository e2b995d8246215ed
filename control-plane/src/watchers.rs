//! Watchers and stakes: set by whoever reaches the database, while the control plane runs or not.

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::WatcherId;

use crate::clock::Clock;
use crate::config::Database;
use crate::keys::{MAX_NAME, check_name, open};
use crate::store::uptime::stakes;
use crate::store::{StoreError, commit, nodes};

/// A watcher as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// Its public key.
    pub id: WatcherId,
    /// What it is called.
    pub name: String,
    /// Its stake from now on, micro-units; 0: its word counts no more.
    pub stake: u64,
    /// Unix milliseconds.
    pub added_ms: u64,
}

/// Why watchers or stakes cannot be dealt with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatcherError {
    /// An empty, long or unprintable name.
    #[error("a watcher's name is 1 to {MAX_NAME} printable characters")]
    Name,
    /// Beyond 2⁶³ − 1, or none.
    #[error("a watcher's stake is 1 to 2^63 - 1 micro-units, a node's 0 to that")]
    Stake,
    /// Nobody added it.
    #[error("there is no watcher {0}")]
    NoWatcher(WatcherId),
    /// It never registered.
    #[error("there is no node {0}: it registers first")]
    NoNode(NodeId),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] crate::keys::KeyError),
    /// The database.
    #[error("database: {0}")]
    Store(#[from] StoreError),
}

/// Lets a watcher report, or changes its name and stake. What it weighs in an epoch is its stake at the epoch's begin.
pub async fn set(
    database: &Database,
    watcher: &WatcherId,
    name: &str,
    stake: u64,
    clock: &Clock,
) -> Result<(), WatcherError> {
    check_name(name).map_err(|_| WatcherError::Name)?;
    if stake == 0 || i64::try_from(stake).is_err() {
        return Err(WatcherError::Stake);
    }
    let store = open(database).await?;
    let mut tx = store.write().await?;
    stakes::set_watcher(&mut tx, watcher, name, stake, clock.now_ms()).await?;
    commit(tx).await?;
    store.close().await;
    Ok(())
}

/// All watchers, removed ones too, by id.
pub async fn list(database: &Database) -> Result<Vec<Watcher>, WatcherError> {
    let store = open(database).await?;
    let mut tx = store.read().await?;
    let rows = stakes::watchers(&mut tx).await?;
    drop(tx);
    store.close().await;
    let rows = rows.into_iter().map(|row| Watcher {
        id: row.watcher,
        name: row.name,
        stake: row.stake,
        added_ms: row.added_ms,
    });
    Ok(rows.collect())
}

/// Lets a watcher's word count no more, from the next epoch on.
pub async fn remove(
    database: &Database,
    watcher: &WatcherId,
    clock: &Clock,
) -> Result<(), WatcherError> {
    let store = open(database).await?;
    let mut tx = store.write().await?;
    let known = stakes::is_watcher(&mut tx, watcher).await?;
    if known {
        stakes::set_watcher_stake(&mut tx, watcher, 0, clock.now_ms()).await?;
    }
    commit(tx).await?;
    store.close().await;
    known.then_some(()).ok_or(WatcherError::NoWatcher(*watcher))
}

/// Says what stands behind a node from now on. A slash takes of the most that stood behind it in its window.
pub async fn stake_node(
    database: &Database,
    node: &NodeId,
    stake: u64,
    clock: &Clock,
) -> Result<(), WatcherError> {
    if i64::try_from(stake).is_err() {
        return Err(WatcherError::Stake);
    }
    let store = open(database).await?;
    let mut tx = store.write().await?;
    let known = nodes::known(&mut tx, node).await?.is_some();
    if known {
        stakes::set_node_stake(&mut tx, node, stake, clock.now_ms()).await?;
    }
    commit(tx).await?;
    store.close().await;
    known.then_some(()).ok_or(WatcherError::NoNode(*node))
}
