//! What is in an image's ramdisks: every entry, files by their hashes.

use std::io;

use sha2::{Digest as _, Sha256};

use crate::cpio::{CpioError, EntryKind, Limits, Reader, unpacked};
use crate::eif::{Eif, RangeReader, ReadAt};

/// An entry of a ramdisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its absolute path.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// When it was last changed, seconds since 1970.
    pub mtime: u32,
    /// What it is.
    pub kind: ItemKind,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    /// A file.
    File {
        /// Bytes in it.
        length: u64,
        /// Their SHA-256.
        sha256: [u8; 32],
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: String,
    },
    /// A character device.
    CharacterDevice {
        /// The device's major number.
        major: u32,
        /// And its minor number.
        minor: u32,
    },
}

/// Reads one of the image's ramdisks.
///
/// # Errors
///
/// [`CpioError`] where it is no archive, or more than [`Limits::default`] allows.
pub fn ramdisk<S: ReadAt>(ramdisk: RangeReader<'_, S>) -> Result<Vec<Item>, CpioError> {
    let mut reader = Reader::new(unpacked(ramdisk)?, Limits::default());
    let mut items = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let kind = match entry.kind {
            EntryKind::File { length } => {
                let sha256 = hash(&mut reader)?;
                ItemKind::File { length, sha256 }
            }
            EntryKind::Folder => ItemKind::Folder,
            EntryKind::Link { target } => ItemKind::Link { target },
            EntryKind::CharacterDevice { major, minor } => {
                ItemKind::CharacterDevice { major, minor }
            }
        };
        items.push(Item {
            path: entry.path,
            mode: entry.mode,
            owner: entry.owner,
            mtime: entry.mtime,
            kind,
        });
    }
    Ok(items)
}

/// Reads all of an image's ramdisks, in order.
///
/// # Errors
///
/// The ramdisk's number, from 0, and what is wrong with it.
pub fn ramdisks<S: ReadAt>(eif: &Eif<S>) -> Result<Vec<Vec<Item>>, (usize, CpioError)> {
    let each = eif.ramdisks().enumerate();
    each.map(|(index, reader)| ramdisk(reader).map_err(|error| (index, error)))
        .collect()
}

/// The SHA-256 of the rest.
pub(crate) fn hash(reader: &mut impl io::Read) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
