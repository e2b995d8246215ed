//! The database: all SQL of the crate, by noun.
//!
//! One text for two engines. SQLite, in the data folder, is the default; PostgreSQL, by its URL, is for several control
//! planes on one database. What is written is SQL that both read, with types that both have (BIGINT, TEXT, BOOLEAN), and
//! only [`mod@self`], `engine` and `changes` know which of them it is.
//!
//! **Writing.** Transactions that decide something from what they read run one after the other, on both engines: what a
//! plan, a version number or an idempotency key is based on still holds when it is written. SQLite has one connection
//! that writes, in `BEGIN IMMEDIATE`; on PostgreSQL every such transaction first takes one advisory lock, which ends with
//! it, however it ends: a control plane that is killed leaves no lock behind. Behind the lock each statement sees all
//! that was committed before (READ COMMITTED), so there is nothing to fail for being stale and nothing to try again:
//! a retry loop for 40001 would never run. Deadlocks (40P01) need two locks; who holds this one waits for row locks only
//! of [`Store::write_alone`], whose transactions are one statement long and never take it.
//!
//! **Reading** sees one snapshot, beside the writers: WAL, or REPEATABLE READ READ ONLY.
//!
//! **Durability.** `synchronous=FULL`, and PostgreSQL's own default: a 201, a node's token or a ledger entry that was
//! answered must survive a power cut, and the few writes a second cost little.

pub(crate) mod audit;
pub(crate) mod blobs;
pub(crate) mod census;
pub(crate) mod chain_keys;
mod changes;
pub(crate) mod deployments;
mod engine;
pub(crate) mod functions;
pub(crate) mod idempotency;
pub(crate) mod incidents;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod market;
mod migrations;
pub(crate) mod nodes;
pub(crate) mod nonces;
pub(crate) mod orders;
pub(crate) mod organisations;
pub(crate) mod queue;
mod row;
pub(crate) mod secrets;
#[cfg(test)]
mod tests;
pub(crate) mod uptime;

use std::sync::Arc;

use nacre_protocol::digest::Digest;
use tokio::sync::{Mutex, OwnedMutexGuard};

pub(crate) use changes::{Changes, Heard};
pub(crate) use row::RowExt;

use crate::config::Database;
use engine::{Engine, Pools};

/// A transaction or a connection, for the functions of this module.
pub(crate) type Connection = sqlx::AnyConnection;

/// A transaction. Dropped without `commit`, it leaves nothing.
pub(crate) type Transaction = sqlx::Transaction<'static, sqlx::Any>;

/// The database cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The engine refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The URL cannot be used.
    #[error("database-url: {0}")]
    Url(String),
    /// A later version of this program wrote the database.
    #[error(
        "database-too-new: the schema has step {0}, which this program does not know; use the program that wrote it, or a later one"
    )]
    TooNew(i64),
    /// A step of the schema was not made by the text that this program has for it.
    #[error(
        "database-foreign: step {0} of the schema was made from another text than this program's"
    )]
    Foreign(i64),
    /// The schema could not be brought up to date.
    #[error("database-migration: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A later version of this program keeps the market.
    #[error(
        "market-too-new: a later version of this program keeps the market by rules {0}, which this one does not know; stop this one"
    )]
    LaterRules(u32),
    /// A stored value is not what this version writes.
    #[error("column {0} holds what was never written there")]
    Corrupt(&'static str),
    /// An account would have less than nothing.
    #[error("the account {0} has less than it is to give")]
    Overdrawn(String),
    /// A number beyond 2⁶³ − 1.
    #[error("the number {0} does not fit into the database")]
    OutOfRange(u64),
}

impl StoreError {
    /// Whether the same request may succeed in a moment: the database was away, shutting down, or busy for too long.
    pub fn is_passing(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
            // PostgreSQL: connection exceptions, no free place, lock or statement timeout, operator intervention.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                let class = code.get(..2).unwrap_or_default();
                matches!(class, "08" | "57") || matches!(&*code, "53300" | "55P03" | "25P03")
            }),
            _ => false,
        }
    }
}

/// The database of one control plane, or of several.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    engine: Engine,
    pools: Pools,
    /// SQLite's guard of blobs: only one process uses it.
    publishing: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the database, makes it if it is a file that is not there, and brings its schema up to date. Others may do
    /// the same at the same moment.
    pub(crate) async fn open(database: &Database) -> Result<Self, StoreError> {
        let (engine, pools) = engine::open(database).await?;
        let store = Self {
            engine,
            pools,
            publishing: Arc::default(),
        };
        let mut tx = store.write().await?;
        migrations::run(&mut tx).await?;
        commit(tx).await?;
        Ok(store)
    }

    /// Starts a transaction that may read and write whatever it likes. They run one after the other, at all control
    /// planes of the database.
    pub(crate) async fn write(&self) -> Result<Transaction, StoreError> {
        Ok(self.pools.writers.begin_with(self.engine.write()).await?)
    }

    /// Starts a transaction of one statement, which carries its own conditions and so needs no turn.
    pub(crate) async fn write_alone(&self) -> Result<Transaction, StoreError> {
        let begin = self.engine.write_alone();
        Ok(self.pools.writers.begin_with(begin).await?)
    }

    /// Starts a transaction that reads one snapshot.
    pub(crate) async fn read(&self) -> Result<Transaction, StoreError> {
        Ok(self.pools.readers.begin_with(self.engine.read()).await?)
    }

    /// Keeps everybody else, at all control planes, from publishing or deleting the blob's object while the guard
    /// lives.
    pub(crate) async fn guard(&self, digest: &Digest) -> Result<Guard, StoreError> {
        match self.engine {
            Engine::Sqlite => Ok(Guard::Here(Arc::clone(&self.publishing).lock_owned().await)),
            Engine::Postgres { .. } => {
                let begin = self.engine.guard();
                let mut tx: Transaction = self.pools.guards.begin_with(begin).await?;
                engine::lock_blob(&mut tx, digest).await?;
                Ok(Guard::Everywhere(tx))
            }
        }
    }

    /// Whether other control planes may be at work on the same database.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres { .. })
    }

    /// Closes all connections; SQLite's write-ahead log is folded into the database.
    pub(crate) async fn close(&self) {
        self.pools.close().await;
    }
}

/// Kept while an object and its row appear or disappear together. Dropped, it lets go.
#[must_use]
#[derive(Debug)]
pub(crate) enum Guard {
    /// Within this process.
    Here(#[expect(dead_code, reason = "held, not read")] OwnedMutexGuard<()>),
    /// A transaction that holds a lock and nothing else.
    Everywhere(#[expect(dead_code, reason = "held, not read")] Transaction),
}

/// Makes a transaction's changes last.
pub(crate) async fn commit(transaction: Transaction) -> Result<(), StoreError> {
    Ok(transaction.commit().await?)
}

/// Integers are stored as BIGINT.
fn big(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::OutOfRange(number))
}
