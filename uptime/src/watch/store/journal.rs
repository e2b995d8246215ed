//! Scores of epochs that run: one file an epoch, one line a slot.
//!
//! A line is its own CRC-32 in eight hex digits, a space, and JSON. A line that a crash cut off is the file's last and was
//! never acknowledged: it is removed. A broken line before others is a broken disk, and an error.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nacre_protocol::encoding::base64url_array;
use nacre_protocol::ids::NodeId;
use nacre_protocol::merkle::Hash;
use nacre_protocol::uptime::{DownReason, Epoch, Slot};
use serde::{Deserialize, Serialize};

use super::files::{numbered, read_bounded, remove, sync_folder};
use crate::error::WatchError;
use crate::scores::Score;

/// Largest journal that is read: 1,024 slots of 10,000 nodes.
const MAX_JOURNAL: u64 = 2 << 30;

#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    /// The last slot of each epoch's file.
    epochs: BTreeMap<Epoch, Option<Slot>>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    slot: Slot,
    scores: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    node: NodeId,
    #[serde(flatten)]
    seen: Seen,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Seen {
    #[serde(with = "base64url_array")]
    Up(Hash),
    Down(DownReason),
}

type Slots = Vec<(Slot, Vec<(NodeId, Score)>)>;

impl Journal {
    pub(super) fn open(folder: PathBuf) -> Result<Self, WatchError> {
        let mut epochs = BTreeMap::new();
        for epoch in numbered(&folder, "")? {
            let path = folder.join(epoch.to_string());
            let (slots, whole) = read(&path)?;
            let file = OpenOptions::new().write(true).open(&path);
            file.and_then(|file| {
                file.set_len(whole)?;
                file.sync_all()
            })
            .map_err(WatchError::file(&path))?;
            epochs.insert(Epoch(epoch), slots.last().map(|(slot, _)| *slot));
        }
        Ok(Self { folder, epochs })
    }

    pub(super) fn last_slot(&self) -> Option<Slot> {
        self.epochs.values().copied().max().flatten()
    }

    /// Appends a slot; when this returns it survives.
    pub(super) fn append(
        &mut self,
        epoch: Epoch,
        slot: Slot,
        scores: Vec<(NodeId, Score)>,
    ) -> Result<(), WatchError> {
        let path = self.path(epoch);
        let entry = |(node, score)| Entry {
            node,
            seen: match score {
                Score::Up(evidence) => Seen::Up(evidence),
                Score::Down(reason) => Seen::Down(reason),
            },
        };
        let scores = scores.into_iter().map(entry).collect();
        let json = serde_json::to_string(&Line { slot, scores });
        let json = json.map_err(|e| WatchError::content(&path, e))?;
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        let appended = || -> std::io::Result<()> {
            let mut file = File::options().create(true).append(true).open(&path)?;
            file.write_all(line.as_bytes())?;
            file.sync_data()?;
            match self.epochs.contains_key(&epoch) {
                true => Ok(()),
                false => sync_folder(&self.folder),
            }
        };
        appended().map_err(WatchError::file(&path))?;
        self.epochs.insert(epoch, Some(slot));
        Ok(())
    }

    pub(super) fn epochs_before(&self, current: Epoch) -> Vec<Epoch> {
        self.epochs
            .range(..current)
            .map(|(epoch, _)| *epoch)
            .collect()
    }

    pub(super) fn read(&self, epoch: Epoch) -> Result<Slots, WatchError> {
        read(&self.path(epoch)).map(|(slots, _)| slots)
    }

    pub(super) fn remove(&mut self, epoch: Epoch) -> Result<(), WatchError> {
        remove(&self.path(epoch))?;
        self.epochs.remove(&epoch);
        Ok(())
    }

    fn path(&self, epoch: Epoch) -> PathBuf {
        self.folder.join(epoch.0.to_string())
    }
}

/// The whole lines of a file, and their length.
fn read(path: &Path) -> Result<(Slots, u64), WatchError> {
    let bytes = read_bounded(path, MAX_JOURNAL)?;
    let (mut slots, mut whole) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(read) = parse(line) else {
            let last = whole + line.len() == bytes.len();
            match last {
                true => break,
                false => return Err(WatchError::content(path, "a line is broken: the disk lies")),
            }
        };
        slots.push(read);
        whole += line.len();
    }
    Ok((slots, whole as u64))
}

fn parse(line: &[u8]) -> Option<(Slot, Vec<(NodeId, Score)>)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, json) = line.split_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(json.as_bytes()) {
        return None;
    }
    let line: Line = serde_json::from_str(json).ok()?;
    let scores = line.scores.into_iter().map(|entry| {
        let score = match entry.seen {
            Seen::Up(evidence) => Score::Up(evidence),
            Seen::Down(reason) => Score::Down(reason),
        };
        (entry.node, score)
    });
    Some((line.slot, scores.collect()))
}
