//! Debian packages without root: fetched by a lock file, checked, unpacked into a folder of the cache.
//!
//! A lock names every package by version, size and SHA-256, so what it gives is fixed, whatever
//! the machine's own distribution is. Where the archive no longer has a locked version (it keeps
//! only the newest of a stable release), the newest version that the archive **signs** is taken
//! instead, the user is told, and the choice is kept in the cache.

mod archive;
mod error;
mod fetch;
pub mod lock;
mod newest;
pub mod qemu;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use error::DebianError;
pub use lock::{Lock, Package};
pub use qemu::{QemuDir, qemu};

use crate::cache::{Cache, Key, at, write};
use crate::command::run;
use archive::Archive;

const UNPACKING: Duration = Duration::from_secs(300);

/// The packages of a lock, unpacked.
#[derive(Debug)]
pub struct Tree {
    /// The folder that plays the root.
    pub root: PathBuf,
    /// What is in it; another lock than was asked for where the archive had moved on.
    pub lock: Lock,
}

/// The packages of `lock` in one tree, from the cache or from the archive.
///
/// `probe` judges a newly unpacked tree; what it refuses does not enter the cache.
///
/// # Errors
///
/// When a package cannot be fetched, is not the locked one, or is refused by the probe.
pub fn tree(
    cache: &Cache,
    lock: &Lock,
    probe: impl Fn(&Path) -> Result<(), DebianError>,
) -> Result<Tree, DebianError> {
    let lock = moved_on(cache, lock)?.unwrap_or_else(|| lock.clone());
    if let Some(root) = cache.find(&lock.name, tree_key(&lock)) {
        return Ok(Tree { root, lock });
    }
    let (files, lock) = fetched(cache, lock)?;
    let root = cache.entry(&lock.name, tree_key(&lock), |dir| {
        for file in &files {
            run(
                Command::new("dpkg-deb").arg("--extract").arg(file).arg(dir),
                UNPACKING,
            )?;
        }
        probe(dir)
    })?;
    Ok(Tree { root, lock })
}

/// Resolves what `lock` asks for to the newest versions that the archive signs.
///
/// # Errors
///
/// When the archive cannot be reached or does not have what is asked for.
pub fn update(cache: &Cache, lock: &Lock) -> Result<Lock, DebianError> {
    newest::resolve(cache, lock, &Archive::of_this_machine()?)
}

/// The packages' files; of a newer lock where the archive no longer has this one's versions.
fn fetched(cache: &Cache, lock: Lock) -> Result<(Vec<PathBuf>, Lock), DebianError> {
    let gone = match fetch::all(cache, &lock, Archive::of_this_machine) {
        Ok(files) => return Ok((files, lock)),
        Err(DebianError::Gone { package, version }) => format!("{package} {version}"),
        Err(error) => return Err(error),
    };
    let newer = update(cache, &lock)?;
    cache.tell(&format!(
        "the Debian archive no longer has {gone}, which image/locks/{name}.toml names; the newest signed version is \
         taken: {changes}. `nacre image update-locks` writes the lock anew.",
        name = lock.name,
        changes = lock.changes_to(&newer),
    ));
    let files = fetch::all(cache, &newer, Archive::of_this_machine)?;
    let kept = moved_on_path(cache, &lock);
    write(&kept, newer.to_toml().as_bytes())?;
    Ok((files, newer))
}

/// The lock that was taken in place of this one on this machine.
fn moved_on(cache: &Cache, lock: &Lock) -> Result<Option<Lock>, DebianError> {
    let path = moved_on_path(cache, lock);
    match std::fs::read_to_string(&path) {
        Ok(text) => Lock::parse(&lock.name, &text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(&path)(error).into()),
    }
}

fn moved_on_path(cache: &Cache, lock: &Lock) -> PathBuf {
    let key = tree_key(lock).hex();
    cache
        .dir()
        .join(format!("{}-{}.newer.toml", lock.name, &key[..32]))
}

/// Only the packages' contents make the tree.
fn tree_key(lock: &Lock) -> Key {
    let hashes: Vec<&str> = lock
        .packages
        .iter()
        .map(|package| package.sha256.as_str())
        .collect();
    Key::of(&[("packages", hashes.join("\n").as_bytes())])
}
