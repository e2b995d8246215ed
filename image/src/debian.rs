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

/// How packages lie in a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All in one root, as on an installed system.
    Together,
    /// Each in a folder of its name, so that it is known what is whose.
    Apart,
}

/// The packages of `lock` in one tree, from the cache or from the archive.
///
/// `finish` gets a newly unpacked tree, completes and judges it; what it refuses does not enter the cache.
/// `recipe` is to change when `finish` does something else.
///
/// # Errors
///
/// When a package cannot be fetched, is not the locked one, or is refused.
pub fn tree(
    cache: &Cache,
    lock: &Lock,
    layout: Layout,
    recipe: &str,
    finish: impl Fn(&Path) -> Result<(), DebianError>,
) -> Result<Tree, DebianError> {
    let lock = current(cache, lock)?;
    let recipe = &format!("{layout:?} {recipe}");
    if let Some(root) = cache.find(&lock.name, key(&lock, recipe)) {
        return Ok(Tree { root, lock });
    }
    let (files, lock) = fetch(cache, lock)?;
    let root = cache.entry(&lock.name, key(&lock, recipe), |dir| {
        for (file, package) in files.iter().zip(&lock.packages) {
            let dir = match layout {
                Layout::Together => dir.to_owned(),
                Layout::Apart => dir.join(&package.name),
            };
            run(
                Command::new("dpkg-deb").arg("--extract").arg(file).arg(dir),
                UNPACKING,
            )?;
        }
        finish(dir)
    })?;
    Ok(Tree { root, lock })
}

/// `lock`, or what was taken in its place on this machine because the archive had moved on.
///
/// # Errors
///
/// When the cache cannot be read.
pub fn current(cache: &Cache, lock: &Lock) -> Result<Lock, DebianError> {
    let path = newer_path(cache, lock);
    match std::fs::read_to_string(&path) {
        Ok(text) => Lock::parse(&lock.name, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(lock.clone()),
        Err(error) => Err(at(&path)(error).into()),
    }
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
///
/// # Errors
///
/// When a package cannot be fetched or is not the locked one.
pub fn fetch(cache: &Cache, lock: Lock) -> Result<(Vec<PathBuf>, Lock), DebianError> {
    let gone = match fetch::all(cache, &lock, Archive::of_this_machine) {
        Ok(files) => return Ok((files, lock)),
        Err(DebianError::Gone { package, version }) => format!("{package} {version}"),
        Err(error) => return Err(error),
    };
    let newer = update(cache, &lock)?;
    cache.tell(&format!(
        "the Debian archive no longer has {gone}, which image/locks/{name}.toml names; the newest signed version is \
         taken instead, so the PCRs change: {changes}. `nacre image update-locks` writes the lock anew.",
        name = lock.name,
        changes = lock.changes_to(&newer),
    ));
    let files = fetch::all(cache, &newer, Archive::of_this_machine)?;
    write(&newer_path(cache, &lock), newer.to_toml().as_bytes())?;
    Ok((files, newer))
}

fn newer_path(cache: &Cache, lock: &Lock) -> PathBuf {
    let name = &key(lock, "").hex()[..32];
    cache.dir().join(format!("{}-{name}.newer.toml", lock.name))
}

/// Only the packages' contents and what is done with them make a tree.
fn key(lock: &Lock, recipe: &str) -> Key {
    let hashes: Vec<&str> = lock
        .packages
        .iter()
        .map(|package| package.sha256.as_str())
        .collect();
    Key::of(&[
        ("packages", hashes.join("\n").as_bytes()),
        ("recipe", recipe.as_bytes()),
    ])
}
