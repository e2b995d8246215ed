//! A file of routes, read again when it has changed. A change that makes no sense is said, and changes nothing.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::{MissedTickBehavior, interval};

use super::SourceError;
use crate::routes::Routes;
use crate::table::{MAX_TABLE, Table};

/// A table in a file.
#[derive(Debug)]
pub struct RoutesFile {
    path: PathBuf,
    every: Duration,
    read: Option<Stamp>,
}

/// What changes whenever the file is written or replaced: device, inode, length, time of its last change.
type Stamp = (u64, u64, u64, i64, i64);

impl RoutesFile {
    /// The file at this path, looked at so often.
    pub fn new(path: PathBuf, every: Duration) -> Self {
        Self {
            path,
            every,
            read: None,
        }
    }

    pub(super) async fn begin(&mut self, routes: &Routes) -> Result<(), SourceError> {
        self.read = stamp(&self.path).await.ok();
        routes.replace(&read_table(&self.path).await?);
        Ok(())
    }

    pub(super) async fn follow(mut self, routes: &Routes) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let stamp = stamp(&self.path).await.ok();
            if stamp == self.read {
                continue;
            }
            // Taken before the file is read: what is written meanwhile is seen the next time.
            self.read = stamp;
            match read_table(&self.path).await {
                Ok(table) => {
                    tracing::info!(functions = table.functions.len(), "new routes");
                    routes.replace(&table);
                }
                Err(error) => tracing::warn!(%error, "the routes stay as they were"),
            }
        }
    }
}

async fn stamp(path: &Path) -> io::Result<Stamp> {
    let of = |data: Metadata| {
        let (seconds, nanos) = (data.ctime(), data.ctime_nsec());
        (data.dev(), data.ino(), data.len(), seconds, nanos)
    };
    tokio::fs::metadata(path).await.map(of)
}

/// Reads a table, of which no more than its bound.
pub(super) async fn read_table(path: &Path) -> Result<Table, SourceError> {
    let unreadable = |error| SourceError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut bytes = Vec::new();
    let mut file = file.take(MAX_TABLE as u64 + 1);
    file.read_to_end(&mut bytes).await.map_err(unreadable)?;
    Table::from_toml(&bytes).map_err(|error| SourceError::Table {
        path: path.to_owned(),
        error,
    })
}
