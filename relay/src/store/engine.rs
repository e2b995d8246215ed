//! What the two engines do differently: how they are opened, how transactions begin, how a second relay is kept out.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::{ConnectOptions as _, Connection as _, query};
use tokio::sync::Mutex;
use tokio::time::{Instant, interval};
use url::Url;

use super::{Connection, Store, StoreError};

const DATABASE_FILE: &str = "relay.db";
const LOCK_FILE: &str = "relay.lock";

/// How long the relay before may take to let go of a folder.
const LETS_GO: Duration = Duration::from_secs(3);
/// How long a transaction waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(20);

const SQLITE: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";
const SQLITE_READER: &str = "PRAGMA busy_timeout = 10000; PRAGMA query_only = ON;";
const POSTGRES: &str = "SET lock_timeout = '10s'; SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '30s'; SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;";
/// A server lets a lock go a moment after its session's end: that is waited for, another relay's life is not.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";
/// The lock's number, apart from anybody else's in the same database.
const TAKE_LOCK: &str = "SELECT pg_advisory_lock(1851876210, 0)";
/// PostgreSQL's code for a lock that was waited for too long.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Where the database is.
#[derive(Clone)]
pub enum Database {
    /// SQLite in a folder, which is made if absent.
    Folder(PathBuf),
    /// PostgreSQL, by its URL.
    Postgres(Url),
}

/// Without the URL's password.
impl core::fmt::Debug for Database {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Folder(folder) => f.debug_tuple("Folder").field(folder).finish(),
            Self::Postgres(url) => write!(f, "Postgres({:?}{})", url.host_str(), url.path()),
        }
    }
}

impl Database {
    /// `postgres://USER@HOST[:PORT]/NAME`. To another machine it is TLS with the server's name verified
    /// (`sslmode=verify-full`), unless the URL names another `sslmode`.
    ///
    /// # Errors
    ///
    /// It is no such URL.
    pub fn postgres(url: &str) -> Result<Self, StoreError> {
        let refused = |why: &str| StoreError::Url(why.to_owned());
        let mut url: Url = url.parse().map_err(|_| refused("it is no URL"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refused("it begins with postgres://"));
        }
        if url.path().len() < 2 {
            return Err(refused("it names a database: postgres://HOST/NAME"));
        }
        let names = |key: &str| url.query_pairs().any(|(name, _)| name == key);
        let here = url.host_str().is_none_or(|host| {
            matches!(host, "" | "localhost" | "127.0.0.1" | "[::1]") || host.starts_with("%2F")
        });
        if !(names("sslmode") || (here && !names("hostaddr"))) {
            url.query_pairs_mut().append_pair("sslmode", "verify-full");
        }
        Ok(Self::Postgres(url))
    }
}

/// Which engine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(super) fn write(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => {
                "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(1851876210, 1)"
            }
        }
    }

    pub(super) fn read(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

/// Keeps a second relay out while it lives.
#[derive(Debug)]
pub(super) enum Owner {
    /// A lock on a file; the system lets it go when the process ends, however it ends.
    File(#[expect(dead_code, reason = "held, not read")] File),
    /// A session that holds an advisory lock.
    Session(Mutex<Option<Connection>>),
}

impl Owner {
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let Self::Session(session) = self else {
            return Ok(());
        };
        match session.lock().await.as_mut() {
            Some(session) => session.ping().await.map_err(|_| StoreError::LockLost),
            None => Err(StoreError::LockLost),
        }
    }

    pub(super) async fn release(&self) {
        if let Self::Session(session) = self
            && let Some(session) = session.lock().await.take()
        {
            // The server lets the lock go in any case.
            let _ = session.close().await;
        }
    }
}

pub(super) async fn open(database: &Database) -> Result<Store, StoreError> {
    install_default_drivers();
    match database {
        Database::Folder(folder) => sqlite(folder).await,
        Database::Postgres(url) => postgres(url).await,
    }
}

async fn sqlite(folder: &Path) -> Result<Store, StoreError> {
    let refused = |error: std::io::Error| StoreError::Url(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(refused)?;
    let lock = File::create(folder.join(LOCK_FILE)).map_err(refused)?;
    // A process that is just being started by the one before may hold its files for a moment.
    let until = Instant::now() + LETS_GO;
    let mut again = interval(Duration::from_millis(20));
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => again.tick().await,
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        };
    }
    let file = std::path::absolute(folder.join(DATABASE_FILE)).map_err(refused)?;
    let path = Url::from_file_path(&file)
        .map_err(|()| StoreError::Url(format!("{} cannot be named in a URL", file.display())))?;
    let url = format!("sqlite://{}?mode=rwc", path.path());
    let url = url.parse().map_err(|_| StoreError::Url(url.clone()))?;
    let options = AnyConnectOptions::from_url(&url)?;
    // The first connection makes the file and its journal before another reads it.
    let writers = pool(1, SQLITE).connect_with(options.clone()).await?;
    let readers = pool(4, SQLITE_READER).connect_with(options).await?;
    Ok(Store {
        engine: Engine::Sqlite,
        writers,
        readers,
        owner: Owner::File(lock),
    })
}

async fn postgres(url: &Url) -> Result<Store, StoreError> {
    let options = AnyConnectOptions::from_url(url)?;
    let mut session = Connection::connect_with(&options).await?;
    query(LOCK_TIMEOUT).execute(&mut session).await?;
    let taken = query(TAKE_LOCK).execute(&mut session).await;
    taken.map_err(|error| match error.as_database_error() {
        Some(refused) if refused.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => StoreError::InUse,
        _ => error.into(),
    })?;
    Ok(Store {
        engine: Engine::Postgres,
        writers: pool(2, POSTGRES).connect_with(options.clone()).await?,
        readers: pool(4, POSTGRES).connect_lazy_with(options),
        owner: Owner::Session(Mutex::new(Some(session))),
    })
}

fn pool(connections: u32, settings: &'static str) -> sqlx::pool::PoolOptions<sqlx::Any> {
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
