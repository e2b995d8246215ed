//! Records of what was answered: one file a slot, within bounds of age and size.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use nacre_protocol::uptime::Slot;

use super::files::{numbered, remove, sync_folder};
use crate::error::WatchError;

/// How much evidence is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together. The oldest slots go first; the newest always stays.
    pub bytes: u64,
    /// How many slots back.
    pub slots: u64,
}

#[derive(Debug)]
pub(super) struct EvidenceFiles {
    folder: PathBuf,
    limits: Limits,
    /// Each slot's bytes.
    slots: BTreeMap<Slot, u64>,
    total: u64,
}

impl EvidenceFiles {
    pub(super) fn open(folder: PathBuf, limits: Limits) -> Result<Self, WatchError> {
        let mut slots = BTreeMap::new();
        for slot in numbered(&folder, ".jsonl")? {
            let path = folder.join(format!("{slot}.jsonl"));
            let length = std::fs::metadata(&path).map_err(WatchError::file(&path))?;
            slots.insert(Slot(slot), length.len());
        }
        let total = slots.values().sum();
        Ok(Self {
            folder,
            limits,
            slots,
            total,
        })
    }

    pub(super) fn oldest(&self) -> Option<Slot> {
        self.slots.first_key_value().map(|(slot, _)| *slot)
    }

    /// Writes a slot's records; when this returns they survive. What a crash left of the slot is replaced: no score
    /// names it.
    pub(super) fn write<'a>(
        &mut self,
        slot: Slot,
        records: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), WatchError> {
        let path = self.path(slot);
        let mut length = 0;
        let write = || -> std::io::Result<()> {
            let mut file = BufWriter::new(File::create(&path)?);
            for record in records {
                file.write_all(record)?;
                file.write_all(b"\n")?;
                length += record.len() as u64 + 1;
            }
            file.flush()?;
            file.get_ref().sync_all()?;
            sync_folder(&self.folder)
        };
        write().map_err(WatchError::file(&path))?;
        self.total += length;
        self.total -= self.slots.insert(slot, length).unwrap_or(0);
        self.rotate(slot)
    }

    fn rotate(&mut self, newest: Slot) -> Result<(), WatchError> {
        while let Some((&oldest, &length)) = self.slots.first_key_value() {
            let old = oldest.0.saturating_add(self.limits.slots) < newest.0;
            let full = self.total > self.limits.bytes;
            if oldest == newest || !(old || full) {
                return Ok(());
            }
            remove(&self.path(oldest))?;
            self.slots.remove(&oldest);
            self.total -= length;
        }
        Ok(())
    }

    fn path(&self, slot: Slot) -> PathBuf {
        self.folder.join(format!("{}.jsonl", slot.0))
    }
}
