//! Files that are whole or not there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::error::WatchError;

/// Writes a file that is not there yet, readable by its owner only. After a crash it is whole or absent; one that is
/// there stays as it is.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), WatchError> {
    let folder = path.parent().unwrap_or(path);
    let written = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.error),
            Ok(_) => sync_folder(folder),
        }
    };
    written().map_err(WatchError::file(path))
}

/// Makes names in a folder survive a crash.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, WatchError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(WatchError::file(path))?;
    if bytes.len() as u64 > limit {
        return Err(WatchError::content(
            path,
            format!("larger than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

/// The numbers that name files in a folder, with this after them. Other files, such as those that a crash left
/// half-written, are removed where they are ours, and otherwise left alone.
pub(crate) fn numbered(folder: &Path, suffix: &str) -> Result<Vec<u64>, WatchError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(WatchError::file(folder))? {
        let entry = entry.map_err(WatchError::file(folder))?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        if name.starts_with(".new-") {
            std::fs::remove_file(entry.path()).map_err(WatchError::file(folder))?;
        }
        numbers.extend(
            name.strip_suffix(suffix)
                .and_then(|n| n.parse::<u64>().ok()),
        );
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes a file, also one that is gone.
pub(crate) fn remove(path: &Path) -> Result<(), WatchError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(WatchError::file(path)(error))
        }
        _ => Ok(()),
    }
}
