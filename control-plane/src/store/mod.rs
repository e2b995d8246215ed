//! The database: all SQL of the crate, by noun.
//!
//! One connection writes, in `BEGIN IMMEDIATE` transactions; others read snapshots beside it (WAL). `synchronous=FULL`:
//! a 201, a node's token or a ledger entry that was answered must survive a power cut, and the few writes a second cost
//! little. What is written is plain SQL, so that PostgreSQL can take SQLite's place; only this file names the engine.

pub(crate) mod blobs;
pub(crate) mod deployments;
pub(crate) mod functions;
pub(crate) mod idempotency;
pub(crate) mod keys;
pub(crate) mod logs;
pub(crate) mod market;
pub(crate) mod nodes;
mod row;

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

pub(crate) use row::RowExt;

/// The database's file in the data folder.
pub(crate) const DATABASE_FILE: &str = "nacre.db";

/// A transaction or a connection, for the functions of this module.
pub(crate) type Connection = sqlx::SqliteConnection;

/// A transaction. Dropped without `commit`, it leaves nothing.
pub(crate) type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

/// The database cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The engine refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A stored value is not what this version writes.
    #[error("column {0} holds what was never written there")]
    Corrupt(&'static str),
    /// A number beyond 2⁶³ − 1.
    #[error("the number {0} does not fit into the database")]
    OutOfRange(u64),
}

/// The database of one control plane.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Store {
    /// Opens or makes the database in an existing folder and brings its schema up to date.
    pub(crate) async fn open(folder: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(folder.join(DATABASE_FILE))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().acquire_timeout(Duration::from_secs(20));
        let writer = pool
            .clone()
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        sqlx::migrate!().run(&writer).await?;
        let read_only = options.pragma("query_only", "ON");
        let readers = pool.max_connections(4).connect_with(read_only).await?;
        Ok(Self { writer, readers })
    }

    /// Starts a transaction that may write. They run one after the other.
    pub(crate) async fn write(&self) -> Result<Transaction, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Starts a transaction that reads one snapshot.
    pub(crate) async fn read(&self) -> Result<Transaction, StoreError> {
        Ok(self.readers.begin().await?)
    }

    /// Closes all connections; the write-ahead log is folded into the database.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Makes a transaction's changes last.
pub(crate) async fn commit(transaction: Transaction) -> Result<(), StoreError> {
    Ok(transaction.commit().await?)
}

/// Integers are stored as BIGINT.
fn big(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::OutOfRange(number))
}
