//! The watcher's folder: what must survive its death at any moment.
//!
//! ```text
//! lock                   held while a watcher works here
//! key                    the watcher's secret, 64 hex digits
//! schedule.json          how time is cut; other slots or epochs take another folder
//! journal/EPOCH          scores of an epoch that runs: one line a slot, appended and synced
//! sealed/EPOCH.json      scores of an epoch that is over: written once, never changed
//! sealed/EPOCH.committed, sealed/EPOCH.done    how far it was posted
//! evidence/SLOT.jsonl    records of a slot's answers, one a line
//! ```
//!
//! The commitment follows from key and sealed scores alone, so it is the same whenever it is posted again; and sealed scores
//! are written before any commitment, so what was committed to can always be revealed.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre_protocol::uptime::{Epoch, Row, Schedule, Slot};
use rustix::fs::{FlockOperation, flock};

use super::round::SlotSeen;
use crate::error::WatchError;
use crate::evidence::EvidenceRecord;
use crate::scores::{EpochScores, Score};
use crate::seeds::WatcherKey;

mod evidence;
mod files;
mod journal;
mod sealed;

pub use evidence::Limits;
pub(crate) use files::read_bounded;
pub use sealed::Progress;

use evidence::EvidenceFiles;
use journal::Journal;
use sealed::SealedEpochs;

const SCHEDULE: &str = "schedule.json";

/// The folder of one watcher, locked.
#[derive(Debug)]
pub struct Store {
    schedule: Schedule,
    key: WatcherKey,
    journal: Journal,
    sealed: SealedEpochs,
    evidence: EvidenceFiles,
    _lock: File,
}

impl Store {
    /// Opens the folder, or makes it with a new key.
    ///
    /// # Errors
    ///
    /// Where another watcher works in it, it was begun with another schedule, or its files cannot be read or written.
    pub fn open(folder: &Path, schedule: Schedule, limits: Limits) -> Result<Self, WatchError> {
        let (journal, sealed, evidence) = ("journal", "sealed", "evidence");
        for name in [journal, sealed, evidence] {
            let folder = folder.join(name);
            std::fs::create_dir_all(&folder).map_err(WatchError::file(&folder))?;
        }
        let lock = lock(folder)?;
        check_schedule(folder, &schedule)?;
        Ok(Self {
            schedule,
            key: key(folder)?,
            journal: Journal::open(folder.join(journal))?,
            sealed: SealedEpochs::open(folder.join(sealed))?,
            evidence: EvidenceFiles::open(folder.join(evidence), limits)?,
            _lock: lock,
        })
    }

    /// The watcher's key.
    pub fn key(&self) -> &WatcherKey {
        &self.key
    }

    /// The last slot that was written down, or that can no longer be.
    pub fn last_slot(&self) -> Option<Slot> {
        let sealed = self.sealed.last();
        let sealed = sealed.map(|epoch| Slot(self.schedule.first_slot(Epoch(epoch.0 + 1)).0 - 1));
        sealed.max(self.journal.last_slot())
    }

    /// Writes a slot down: first the evidence, then the scores that name it.
    pub(crate) fn keep(&mut self, seen: SlotSeen) -> Result<(), WatchError> {
        let epoch = self.schedule.epoch_of(seen.slot);
        if self.last_slot().is_some_and(|last| seen.slot <= last) {
            return Ok(());
        }
        let records = seen.nodes.iter().filter_map(|(_, seen)| seen.as_ref().ok());
        self.evidence.write(seen.slot, records.map(Vec::as_slice))?;
        let scores = seen.nodes.iter().map(|(node, seen)| {
            let score = match seen {
                Ok(record) => Score::Up(EvidenceRecord::hash(record)),
                Err(reason) => Score::Down(*reason),
            };
            (*node, score)
        });
        self.journal.append(epoch, seen.slot, scores.collect())
    }

    /// Seals the epochs before this one; how many there were.
    pub(crate) fn seal_before(&mut self, current: Epoch) -> Result<usize, WatchError> {
        let over = self.journal.epochs_before(current);
        for epoch in &over {
            let mut scores = EpochScores::new(self.schedule, *epoch);
            for (slot, nodes) in self.journal.read(*epoch)? {
                for (node, score) in nodes {
                    scores.note(node, slot, score);
                }
            }
            self.sealed.seal(*epoch, &scores.rows())?;
            self.journal.remove(*epoch)?;
        }
        // What is done is kept as long as its evidence may be.
        let kept = self
            .evidence
            .oldest()
            .map(|slot| self.schedule.epoch_of(slot));
        // A contract may have to be told what the control plane was told already.
        let open = self.first_open(current);
        self.sealed
            .forget_before(kept.unwrap_or(current).min(open))?;
        Ok(over.len())
    }

    /// The first epoch of which words may be taken while this one runs.
    fn first_open(&self, current: Epoch) -> Epoch {
        let schedule = &self.schedule;
        let now = schedule.slot_start(schedule.first_slot(current));
        let mut open = current;
        while open.0 > 0 && schedule.closed_from(Epoch(open.0 - 1)) > now {
            open.0 -= 1;
        }
        open
    }

    /// Sealed epochs of which reveals are still taken at this time, in order, wherever they were posted.
    pub(crate) fn open_at(&self, now_ms: u64) -> Vec<Epoch> {
        let epochs = self.sealed.epochs().rev();
        let open = epochs.take_while(|epoch| self.schedule.closed_from(*epoch) > now_ms);
        let mut open: Vec<_> = open.collect();
        open.reverse();
        open
    }

    /// Sealed epochs that are not done, in order.
    pub fn pending(&self) -> Vec<(Epoch, Progress)> {
        self.sealed.pending()
    }

    /// What was sealed of an epoch.
    pub fn sealed_rows(&self, epoch: Epoch) -> Result<Vec<Row>, WatchError> {
        self.sealed.rows(epoch)
    }

    /// Notes how far an epoch was posted.
    pub(crate) fn mark(&mut self, epoch: Epoch, progress: Progress) -> Result<(), WatchError> {
        self.sealed.mark(epoch, progress)
    }
}

/// The store of several tasks.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<Store>>);

impl Shared {
    pub(crate) fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    /// For what does not touch the disk.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Store> {
        // What a panic left half-done in memory is read from the disk at the next start.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For what does: on a thread that may wait.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, WatchError> + Send + 'static,
    ) -> Result<T, WatchError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut store.lock())).await;
        done.map_err(|error| WatchError::System(std::io::Error::other(error)))?
    }
}

fn lock(folder: &Path) -> Result<File, WatchError> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(WatchError::file(&path))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| WatchError::Locked(folder.display().to_string()))?;
    Ok(file)
}

/// The schedule that a folder was begun with, if it was.
pub(crate) fn kept_schedule(folder: &Path) -> Option<Schedule> {
    let bytes = read_bounded(&folder.join(SCHEDULE), 1 << 10).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn check_schedule(folder: &Path, schedule: &Schedule) -> Result<(), WatchError> {
    let path = folder.join(SCHEDULE);
    let lengths = [schedule.slot_ms(), schedule.epoch_slots().into()];
    if !path.exists() {
        let json = serde_json::to_vec(schedule).map_err(|e| WatchError::content(&path, e))?;
        return files::write_new(&path, &json);
    }
    let kept: serde_json::Value = serde_json::from_slice(&read_bounded(&path, 1 << 10)?)
        .map_err(|e| WatchError::content(&path, e))?;
    let same = kept["slot_ms"] == lengths[0] && kept["epoch_slots"] == lengths[1];
    let differs = || WatchError::OtherSchedule(folder.display().to_string());
    same.then_some(()).ok_or_else(differs)
}

fn key(folder: &Path) -> Result<WatcherKey, WatchError> {
    let path: PathBuf = folder.join("key");
    if !path.exists() {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| WatchError::System(std::io::Error::other(e)))?;
        files::write_new(&path, hex::encode(seed).as_bytes())?;
    }
    let mut text = String::new();
    File::open(&path)
        .and_then(|file| file.take(128).read_to_string(&mut text))
        .map_err(WatchError::file(&path))?;
    let seed = nacre_protocol::encoding::array_from_hex(text.trim());
    let seed = seed.map_err(|e| WatchError::content(&path, e))?;
    Ok(WatcherKey::from_seed(&seed))
}

#[cfg(test)]
mod tests;
