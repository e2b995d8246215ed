//! What the two engines do differently: how they are opened, how transactions begin, what a lock is.

use std::path::Path;
use std::time::Duration;

use nacre_protocol::digest::Digest;
use sqlx::AnyPool;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::query;
use url::Url;

use super::{Connection, StoreError};
use crate::config::Database;

/// The database's file in the data folder.
pub(crate) const DATABASE_FILE: &str = "nacre.db";

/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(20);

/// SQLite: readers beside the writer, which waits for those of other processes (keys are made beside a running server).
const SQLITE: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";
const SQLITE_READER: &str = "PRAGMA busy_timeout = 10000; PRAGMA query_only = ON;";
/// PostgreSQL: whoever hangs, cut off from the database with a lock in hand, loses it after a while.
const POSTGRES: &str = "SET lock_timeout = '10s'; SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '30s'; SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;";

/// The advisory locks' first numbers, apart from anybody else's in the same database; `BEGIN_WRITE` has the first.
const BLOB_LOCKS: i32 = 0x6e61_6372;
const BEGIN_WRITE: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(1851876209, 0)";

/// Which engine.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    /// A file of this process's own.
    Sqlite,
    /// A server that others may use too.
    Postgres {
        /// For the listener's connection of its own.
        url: Url,
    },
}

impl Engine {
    /// How a transaction begins that has its turn.
    pub(super) fn write(&self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres { .. } => BEGIN_WRITE,
        }
    }

    /// How a transaction of one statement begins.
    pub(super) fn write_alone(&self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres { .. } => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// How a transaction begins that only reads.
    pub(super) fn read(&self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres { .. } => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// How a transaction begins that holds a blob's lock: a large blob's last bytes may take their time.
    pub(super) fn guard(&self) -> &'static str {
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10min'; SET LOCAL lock_timeout = '10min';
         SET LOCAL statement_timeout = '10min'"
    }
}

/// Connections by what they are for, so that those who wait for their turn to write keep nobody from reading, and those
/// who hold a guard keep nobody from writing.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub(super) writers: AnyPool,
    pub(super) readers: AnyPool,
    pub(super) guards: AnyPool,
}

impl Pools {
    pub(super) async fn close(&self) {
        self.guards.close().await;
        self.readers.close().await;
        self.writers.close().await;
    }
}

/// Connects.
pub(super) async fn open(database: &Database) -> Result<(Engine, Pools), StoreError> {
    install_default_drivers();
    match database {
        Database::Folder(folder) => sqlite(folder).await,
        Database::Postgres(url) => postgres(url.clone()).await,
    }
}

async fn sqlite(folder: &Path) -> Result<(Engine, Pools), StoreError> {
    let file = std::path::absolute(folder.join(DATABASE_FILE)).map_err(sqlx::Error::Io)?;
    let named = |()| StoreError::Url(format!("{} cannot be named in a URL", file.display()));
    let path = Url::from_file_path(&file).map_err(named)?;
    let url = format!("sqlite://{}?mode=rwc", path.path());
    let url = url.parse().map_err(|_| named(()))?;
    let options = AnyConnectOptions::from_url_of(&url)?;
    // The first connection makes the file and its journal before another reads it.
    let writers = pool(1, SQLITE).connect_with(options.clone()).await?;
    let readers = pool(4, SQLITE_READER).connect_with(options).await?;
    let pools = Pools {
        guards: readers.clone(),
        writers,
        readers,
    };
    Ok((Engine::Sqlite, pools))
}

/// At most 17 connections to a control plane; the server's `max_connections` is 100 unless it was told otherwise.
async fn postgres(url: Url) -> Result<(Engine, Pools), StoreError> {
    let options = AnyConnectOptions::from_url_of(&url)?;
    let pools = Pools {
        writers: pool(4, POSTGRES).connect_with(options.clone()).await?,
        readers: pool(8, POSTGRES).connect_lazy_with(options.clone()),
        guards: pool(4, POSTGRES).connect_lazy_with(options),
    };
    Ok((Engine::Postgres { url }, pools))
}

fn pool(connections: u32, settings: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .acquire_timeout(ACQUIRE)
        .max_connections(connections)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(settings).execute(connection).await?;
                Ok(())
            })
        })
}

trait FromUrl: Sized {
    fn from_url_of(url: &Url) -> Result<Self, StoreError>;
}

impl FromUrl for AnyConnectOptions {
    fn from_url_of(url: &Url) -> Result<Self, StoreError> {
        Ok(sqlx::ConnectOptions::from_url(url)?)
    }
}

/// Waits for the lock of a blob, of one of the few blobs whose digest begins alike.
pub(super) async fn lock_blob(on: &mut Connection, digest: &Digest) -> Result<(), StoreError> {
    let [a, b, c, d, ..] = *digest.as_bytes();
    query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind(BLOB_LOCKS)
        .bind(i32::from_be_bytes([a, b, c, d]))
        .execute(on)
        .await?;
    Ok(())
}
