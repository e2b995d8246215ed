//! The development root on disk.
//!
//! | file | mode | content |
//! |---|---|---|
//! | `root.key` | 0600 | the private key (PKCS #8 PEM) and below it the certificate (PEM) |
//! | `root.pem` | 0644 | the certificate |
//! | `root.der` | 0644 | the certificate, as a verifier wants it |
//!
//! `root.key` alone is the root: it appears complete and in one step, under its name only if
//! nothing has that name yet, and is never written again. Of two processes that start at once
//! one wins and the other loads what it made. The other two files are copies for verifiers; a
//! missing one is written again, one that differs is an error, for somebody may have pinned it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use der::pem::{self, LineEnding};
use rand::rngs::StdRng;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::{IssueError, Key, Root};

const CERTIFICATE: &str = "CERTIFICATE";
/// More than any file of ours has.
const MAX_FILE: u64 = 16 * 1024;

/// A root that could not be made or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or the folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what was once written there.
    #[error("{} is damaged: {reason}; restore it, or remove the folder to make a new root that no verifier knows yet", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Others than the owner may read the key.
    #[error("{} can be read by others than its owner (mode {mode:03o}): run chmod 600 on it", path.display())]
    Exposed {
        /// The key's file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is a certificate but no key.
    #[error("{} is missing but {} exists: restore the key, or remove the folder to make a new root", key.display(), certificate.display())]
    KeyMissing {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A new root could not be made.
    #[error("cannot make a development root: {0}")]
    Issue(#[from] IssueError),
    /// The key could not be encoded.
    #[error("cannot encode the root's key")]
    Encoding,
}

/// Loads the root in `directory`; makes the folder and the root when there is none.
///
/// # Errors
///
/// When a file cannot be read or written, or is not what was once written there.
pub fn load_or_create(directory: &Path, rng: &mut StdRng, now_ms: u64) -> Result<Root, StoreError> {
    let key_file = directory.join("root.key");
    let root = match read(&key_file)? {
        Some(content) => parse(&key_file, &content)?,
        None => create(directory, &key_file, rng, now_ms)?,
    };
    let pem = certificate_pem(&root)?;
    publish(directory, "root.pem", pem.as_bytes())?;
    publish(directory, "root.der", root.der())?;
    Ok(root)
}

fn create(
    directory: &Path,
    key_file: &Path,
    rng: &mut StdRng,
    now_ms: u64,
) -> Result<Root, StoreError> {
    for copy in ["root.der", "root.pem"].map(|name| directory.join(name)) {
        // A winner of the race may have finished just now, so the key is looked for once more.
        if copy.exists() && !key_file.exists() {
            return Err(StoreError::KeyMissing {
                key: key_file.to_owned(),
                certificate: copy,
            });
        }
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(at(directory))?;
    let root = Root::generate(rng, now_ms)?;
    let key = root.key().to_pem().map_err(|_| StoreError::Encoding)?;
    let certificate = certificate_pem(&root)?;
    // Room for all of it at once: a string that grows would leave the key behind where it was.
    let mut content = Zeroizing::new(String::with_capacity(key.len() + certificate.len()));
    content.push_str(&key);
    content.push_str(&certificate);
    if write_new(directory, key_file, content.as_bytes(), 0o600)? {
        return Ok(root);
    }
    let content = read(key_file)?.ok_or_else(|| at(key_file)(io::ErrorKind::NotFound.into()))?;
    parse(key_file, &content)
}

fn parse(path: &Path, content: &[u8]) -> Result<Root, StoreError> {
    let damaged = |reason| StoreError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let mode = fs::metadata(path).map_err(at(path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let text = std::str::from_utf8(content).map_err(|_| damaged("it is not text"))?;
    let border = text
        .find("-----BEGIN CERTIFICATE-----")
        .ok_or_else(|| damaged("it holds no certificate"))?;
    let (key, certificate) = text.split_at(border);
    let key = Key::from_pem(key).map_err(|_| damaged("it holds no readable P-384 key"))?;
    let (label, der) = pem::decode_vec(certificate.as_bytes())
        .map_err(|_| damaged("its certificate is not valid PEM"))?;
    if label != CERTIFICATE {
        return Err(damaged("its certificate is not valid PEM"));
    }
    Root::from_parts(key, der).map_err(damaged)
}

/// Makes sure that the copy of the certificate under `name` is there and says `content`.
fn publish(directory: &Path, name: &str, content: &[u8]) -> Result<(), StoreError> {
    let path = directory.join(name);
    let mut found = read(&path)?;
    if found.is_none() && !write_new(directory, &path, content, 0o644)? {
        found = read(&path)?;
    }
    match found {
        Some(found) if *found != content => Err(StoreError::Damaged {
            path,
            reason: "it is not the certificate in root.key",
        }),
        _ => Ok(()),
    }
}

/// Writes a file in one step, unless the name is taken; says whether it did.
fn write_new(directory: &Path, path: &Path, content: &[u8], mode: u32) -> Result<bool, StoreError> {
    let mut file = NamedTempFile::new_in(directory).map_err(at(directory))?;
    file.write_all(content).map_err(at(file.path()))?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))
        .map_err(at(file.path()))?;
    file.as_file().sync_all().map_err(at(file.path()))?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(at(path)(error.error)),
    }
    File::open(directory)
        .and_then(|folder| folder.sync_all())
        .map_err(at(directory))?;
    Ok(true)
}

/// A file's content, or nothing when there is no such file.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    file.take(MAX_FILE + 1)
        .read_to_end(&mut content)
        .map_err(at(path))?;
    if content.len() as u64 > MAX_FILE {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            reason: "it is far too long",
        });
    }
    Ok(Some(content))
}

fn certificate_pem(root: &Root) -> Result<String, StoreError> {
    pem::encode_string(CERTIFICATE, LineEnding::LF, root.der()).map_err(|_| StoreError::Encoding)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    |source| StoreError::Io { path, source }
}

#[cfg(test)]
mod tests;
