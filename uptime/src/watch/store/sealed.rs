//! Scores of epochs that are over, and how far they were posted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nacre_protocol::uptime::{Epoch, Row};

use super::files::{numbered, read_bounded, remove, write_new};
use crate::error::WatchError;

/// Largest sealed epoch that is read: 10,000 nodes of 1,024 slots.
const MAX_SEALED: u64 = 64 << 20;

/// How far an epoch was posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Its scores will not change.
    Sealed,
    /// The commitment was taken.
    Committed,
    /// The reveal was taken, or it is too late.
    Done,
}

impl Progress {
    /// What it waits for, in a word.
    pub(crate) fn awaits(self) -> &'static str {
        match self {
            Self::Sealed => "commit",
            Self::Committed => "reveal",
            Self::Done => "nothing",
        }
    }
}

#[derive(Debug)]
pub(super) struct SealedEpochs {
    folder: PathBuf,
    epochs: BTreeMap<Epoch, Progress>,
}

const JSON: &str = ".json";
const COMMITTED: &str = ".committed";
const DONE: &str = ".done";

impl SealedEpochs {
    pub(super) fn open(folder: PathBuf) -> Result<Self, WatchError> {
        let mut epochs = BTreeMap::new();
        for (suffix, progress) in [
            (JSON, Progress::Sealed),
            (COMMITTED, Progress::Committed),
            (DONE, Progress::Done),
        ] {
            for epoch in numbered(&folder, suffix)? {
                epochs.insert(Epoch(epoch), progress);
            }
        }
        Ok(Self { folder, epochs })
    }

    pub(super) fn last(&self) -> Option<Epoch> {
        self.epochs.last_key_value().map(|(epoch, _)| *epoch)
    }

    /// All of them, rising.
    pub(super) fn epochs(&self) -> impl DoubleEndedIterator<Item = Epoch> {
        self.epochs.keys().copied()
    }

    /// Writes an epoch's scores down, once: what was sealed before stays.
    pub(super) fn seal(&mut self, epoch: Epoch, rows: &[Row]) -> Result<(), WatchError> {
        let path = self.path(epoch, JSON);
        let json = serde_json::to_vec(rows).map_err(|e| WatchError::content(&path, e))?;
        write_new(&path, &json)?;
        self.epochs.entry(epoch).or_insert(Progress::Sealed);
        Ok(())
    }

    pub(super) fn rows(&self, epoch: Epoch) -> Result<Vec<Row>, WatchError> {
        let path = self.path(epoch, JSON);
        let json = read_bounded(&path, MAX_SEALED)?;
        serde_json::from_slice(&json).map_err(|e| WatchError::content(&path, e))
    }

    pub(super) fn pending(&self) -> Vec<(Epoch, Progress)> {
        let pending = self
            .epochs
            .iter()
            .map(|(epoch, progress)| (*epoch, *progress));
        pending
            .filter(|(_, progress)| *progress != Progress::Done)
            .collect()
    }

    pub(super) fn mark(&mut self, epoch: Epoch, progress: Progress) -> Result<(), WatchError> {
        let suffix = match progress {
            Progress::Sealed => return Ok(()),
            Progress::Committed => COMMITTED,
            Progress::Done => DONE,
        };
        write_new(&self.path(epoch, suffix), b"")?;
        self.epochs.insert(epoch, progress);
        Ok(())
    }

    /// Forgets epochs before this one that are done, but for the last of all: it says what was scored already, to a watcher
    /// whose clock stepped back.
    pub(super) fn forget_before(&mut self, epoch: Epoch) -> Result<(), WatchError> {
        let before = self.last().map_or(epoch, |last| last.min(epoch));
        let old: Vec<_> = self.epochs.range(..before).map(|(e, p)| (*e, *p)).collect();
        for (old, _) in old
            .iter()
            .filter(|(_, progress)| *progress == Progress::Done)
        {
            // The mark goes last: without it the epoch would be posted again.
            for suffix in [JSON, COMMITTED, DONE] {
                remove(&self.path(*old, suffix))?;
            }
            self.epochs.remove(old);
        }
        Ok(())
    }

    fn path(&self, epoch: Epoch, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}{suffix}", epoch.0))
    }
}
