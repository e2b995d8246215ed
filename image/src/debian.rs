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
/// How often an archive may have moved on since a lock was written.
const MOST_REPLACED: usize = 64;

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
    let fetched = fetch(cache, lock)?;
    let lock = &fetched.lock;
    let root = cache.entry(&lock.name, key(lock, recipe), |dir| {
        for (file, package) in fetched.files.iter().zip(&lock.packages) {
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
    fetched.passed(cache)?;
    Ok(Tree {
        root,
        lock: fetched.lock,
    })
}

/// `lock`, or what was taken in its place on this machine because the archive had moved on.
///
/// # Errors
///
/// When the cache cannot be read.
pub fn current(cache: &Cache, lock: &Lock) -> Result<Lock, DebianError> {
    let mut lock = lock.clone();
    // What was taken instead may have been replaced in its turn.
    for _ in 0..MOST_REPLACED {
        let path = newer_path(cache, &lock);
        lock = match std::fs::read_to_string(&path) {
            Ok(text) => Lock::parse(&lock.name, &text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(at(&path)(error).into()),
        };
    }
    Ok(lock)
}

/// Resolves what `lock` asks for to the newest versions that the archive signs.
///
/// # Errors
///
/// When the archive cannot be reached or does not have what is asked for.
pub fn update(cache: &Cache, lock: &Lock) -> Result<Lock, DebianError> {
    newest::resolve(cache, lock, &Archive::of_this_machine()?)
}

/// Packages that are there, each checked.
#[derive(Debug)]
pub struct Fetched {
    /// The files, in the lock's order.
    pub files: Vec<PathBuf>,
    /// What they are: what was asked for, or newer.
    pub lock: Lock,
    instead_of: Option<Lock>,
}

/// The packages' files; of a newer lock where the archive no longer has this one's versions.
///
/// # Errors
///
/// When a package cannot be fetched or is not the locked one.
pub fn fetch(cache: &Cache, lock: Lock) -> Result<Fetched, DebianError> {
    let gone = match fetch::all(cache, &lock, Archive::of_this_machine) {
        Ok(files) => {
            return Ok(Fetched {
                files,
                lock,
                instead_of: None,
            });
        }
        Err(DebianError::Gone { package, version }) => format!("{package} {version}"),
        Err(error) => return Err(error),
    };
    let newer = update(cache, &lock)?;
    cache.tell(&format!(
        "the Debian archive no longer has {gone}, which image/locks/{name}.toml names; the newest signed version is \
         taken instead{effect}: {changes}. `nacre image update-locks` writes the lock anew.",
        name = lock.name,
        effect = if lock.name == qemu::LOCK { "" } else { ", so the PCRs may change" },
        changes = lock.changes_to(&newer),
    ));
    Ok(Fetched {
        files: fetch::all(cache, &newer, Archive::of_this_machine)?,
        lock: newer,
        instead_of: Some(lock),
    })
}

impl Fetched {
    /// Says that the packages have passed their probe: newer ones are taken from now on, without asking the archive.
    ///
    /// # Errors
    ///
    /// When the cache cannot be written.
    pub fn passed(&self, cache: &Cache) -> Result<(), DebianError> {
        if let Some(old) = &self.instead_of {
            write(&newer_path(cache, old), self.lock.to_toml().as_bytes())?;
        }
        Ok(())
    }
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
