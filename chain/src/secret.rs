//! A secret of 32 bytes in a file that nobody else can read.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::ChainError;

/// 64 hexadecimal digits, `0x`, and room for an end of line.
const LONGEST: u64 = 70;

/// Reads 32 bytes in hexadecimal, with or without `0x`.
///
/// # Errors
///
/// `key-file`: it cannot be read, others can read it, or it holds something else. No error shows what it holds.
pub fn open(path: &Path) -> Result<Zeroizing<[u8; 32]>, ChainError> {
    let wrong = |reason: String| ChainError::KeyFile {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    // Of the open file: the name may come to mean another one.
    let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        let mode = mode & 0o777;
        return Err(wrong(format!(
            "others can read it (mode {mode:03o}): chmod 600"
        )));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(LONGEST + 1).read_to_string(&mut text);
    let read = read.ok().and_then(|_| parse(&text));
    read.ok_or_else(|| wrong("holds no key: 64 hexadecimal digits".to_owned()))
}

/// Writes a new file: whole or not at all, for its owner alone, and on the disk when this returns.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] where there is one: it is left as it is; or the disk's own.
pub fn create(path: &Path, secret: &[u8; 32]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o600))
        .make_in(folder, |path| {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
        })?;
    let text = Zeroizing::new(format!("0x{}\n", *Zeroizing::new(hex::encode(secret))));
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    // Never in the place of one that another process made meanwhile.
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

fn parse(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let text = text.trim();
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut *secret).ok()?;
    Some(secret)
}
