//! The relay's database: SQLite in a folder, or PostgreSQL. One text of SQL for both.
//!
//! Everything that must not be forgotten is written before it is acted on, and what belongs together is one transaction:
//! blocks with what happened in them, a nonce with what it is for, a signed transaction before it is sent. Writing
//! transactions run one after the other. One relay uses a database at a time; a second one is refused.

mod answers;
mod chain;
mod engine;
mod entries;
mod jobs;
mod migrations;
mod row;
#[cfg(test)]
mod tests;

pub use answers::Answer;
pub use chain::BlockRef;
pub use engine::Database;
pub use entries::{Outgoing, Purpose, Signed};
pub use jobs::{JobRow, NewJob};

use engine::{Engine, Owner};

/// A transaction. Dropped without `commit`, it leaves nothing.
pub type Transaction = sqlx::Transaction<'static, sqlx::Any>;

pub(crate) type Connection = sqlx::AnyConnection;

/// The database cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The engine refused.
    #[error("database-failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The URL or the folder cannot be used.
    #[error("database-url: {0}")]
    Url(String),
    /// Another relay uses it.
    #[error("database-in-use: another relay uses this database; each has its own")]
    InUse,
    /// The connection that kept other relays out was lost.
    #[error("database-lock-lost: another relay may use this database now")]
    LockLost,
    /// It is another contract's, chain's or account's.
    #[error("database-of-another: the database is for {name} {kept}, not {asked}")]
    OfAnother {
        /// What differs.
        name: &'static str,
        /// Whose it is.
        kept: String,
        /// For whom it was opened.
        asked: String,
    },
    /// A later version of this program wrote the database.
    #[error("database-too-new: the schema has step {0}, which this program does not know")]
    TooNew(i64),
    /// A step of the schema was not made by the text that this program has for it.
    #[error(
        "database-foreign: step {0} of the schema was made from another text than this program's"
    )]
    Foreign(i64),
    /// The schema could not be brought up to date.
    #[error("database-migration: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A stored value is not what this version writes.
    #[error("database-corrupt: column {0} holds what was never written there")]
    Corrupt(&'static str),
    /// A number beyond 2⁶³ − 1.
    #[error("database-range: the number {0} does not fit into the database")]
    OutOfRange(u64),
}

/// The database of one relay.
#[derive(Debug)]
pub struct Store {
    engine: Engine,
    writers: sqlx::AnyPool,
    readers: sqlx::AnyPool,
    owner: Owner,
}

impl Store {
    /// Opens the database, makes it if it is a file that is not there, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// Another relay uses it, or the engine refuses.
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        let store = engine::open(database).await?;
        let mut tx = store.write().await?;
        migrations::run(&mut tx).await?;
        commit(tx).await?;
        Ok(store)
    }

    /// Starts a transaction that may read and write. They run one after the other.
    ///
    /// # Errors
    ///
    /// The engine refuses, or is busy for too long.
    pub async fn write(&self) -> Result<Transaction, StoreError> {
        Ok(self.writers.begin_with(self.engine.write()).await?)
    }

    /// Starts a transaction that reads one snapshot.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn read(&self) -> Result<Transaction, StoreError> {
        Ok(self.readers.begin_with(self.engine.read()).await?)
    }

    /// Whether this is still the only relay on the database.
    ///
    /// # Errors
    ///
    /// [`StoreError::LockLost`].
    pub async fn still_owned(&self) -> Result<(), StoreError> {
        self.owner.check().await
    }

    /// Makes the database this relay's, or finds that it is.
    ///
    /// # Errors
    ///
    /// [`StoreError::OfAnother`].
    pub async fn belongs_to(&self, names: &[(&'static str, String)]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for (name, asked) in names {
            let kept = chain::name(&mut tx, name, asked).await?;
            if kept != *asked {
                let asked = asked.clone();
                return Err(StoreError::OfAnother { name, kept, asked });
            }
        }
        commit(tx).await
    }

    /// Closes all connections; SQLite's write-ahead log is folded into the database.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
        self.owner.release().await;
    }
}

/// Makes a transaction's changes last.
///
/// # Errors
///
/// The engine refuses; then nothing of it lasts.
pub async fn commit(transaction: Transaction) -> Result<(), StoreError> {
    Ok(transaction.commit().await?)
}

/// Integers are stored as BIGINT.
fn big(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::OutOfRange(number))
}
