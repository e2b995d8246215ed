//! What was fetched and built once: folders named by the hash of what they were made from.
//!
//! An entry is made under a temporary name and renamed when it is whole, so that whoever finds
//! it may use it. Two builders of one kind take turns, and the second finds the first's work.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// A folder of fetched and built things.
#[derive(Clone)]
pub struct Cache {
    dir: PathBuf,
    tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cache")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// What an entry is made from; another input gives another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// There is no home directory to keep it in.
    #[error("there is no place for the cache: set NACRE_CACHE to a folder, or HOME")]
    NoPlace,
    /// Its path has characters that no compiler's options can carry.
    #[error(
        "the cache is in {0:?}: a path with spaces, colons, commas or quotes cannot hold a compiler; set NACRE_CACHE"
    )]
    BadPath(PathBuf),
    /// A file or folder in it cannot be read or written.
    #[error("cache: {path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl CacheError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPlace => "cache-no-place",
            Self::BadPath(_) => "cache-bad-path",
            Self::Io { .. } => "cache-io",
        }
    }
}

impl Cache {
    /// The cache of this user: `$NACRE_CACHE`, else `$XDG_CACHE_HOME/nacre`, else `~/.cache/nacre`.
    ///
    /// # Errors
    ///
    /// When there is no such place or it cannot be made.
    pub fn open() -> Result<Self, CacheError> {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let dir = variable("NACRE_CACHE")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("nacre")))
            .or_else(|| Some(variable("HOME")?.join(".cache/nacre")))
            .ok_or(CacheError::NoPlace)?;
        Self::at(&dir)
    }

    /// The cache in `dir`, which is made if need be.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn at(dir: &Path) -> Result<Self, CacheError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let dir = fs::canonicalize(dir).map_err(at(dir))?;
        let plain = |byte: u8| {
            byte.is_ascii_alphanumeric() || b"/._-+@~%".contains(&byte) || !byte.is_ascii()
        };
        if !dir
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .copied()
            .all(plain)
        {
            return Err(CacheError::BadPath(dir));
        }
        Ok(Self {
            dir,
            tell: Arc::new(|line| tracing::info!("{line}")),
        })
    }

    /// Has `tell` called with a line for people before something long begins, or when something
    /// else was taken than was asked for. Without it, such lines are logged.
    #[must_use]
    pub fn telling(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.tell = Arc::new(tell);
        self
    }

    /// Tells the user.
    pub(crate) fn tell(&self, line: &str) {
        (self.tell)(line);
    }

    /// Where the cache is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The entry of that kind and key if it is there.
    #[must_use]
    pub fn find(&self, kind: &str, key: Key) -> Option<PathBuf> {
        Some(self.path(kind, key)).filter(|path| path.is_dir())
    }

    /// The entry of that kind and key; `make` fills the empty folder it is given if it is not there yet.
    ///
    /// # Errors
    ///
    /// Those of `make`, and when the cache cannot be written.
    pub fn entry<E: From<CacheError>>(
        &self,
        kind: &str,
        key: Key,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        if let Some(path) = self.find(kind, key) {
            return Ok(path);
        }
        let _turn = self.turn(kind)?;
        if let Some(path) = self.find(kind, key) {
            return Ok(path);
        }
        let path = self.path(kind, key);
        let unfinished = self.dir.join(format!("unfinished-{kind}"));
        // Whoever left one behind is dead: it is our turn.
        remove(&unfinished)?;
        fs::create_dir(&unfinished).map_err(at(&unfinished))?;
        if let Err(error) = make(&unfinished) {
            remove(&unfinished)?;
            return Err(error);
        }
        fs::rename(&unfinished, &path).map_err(at(&path))?;
        Ok(path)
    }

    /// Waits until nobody else makes something of this kind; others wait until the file is dropped.
    pub(crate) fn turn(&self, kind: &str) -> Result<File, CacheError> {
        let path = self.dir.join(format!("{kind}.lock"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(at(&path))?;
        if file.try_lock().is_err() {
            self.tell(&format!("waiting for another nacre that makes the {kind}"));
            file.lock().map_err(at(&path))?;
        }
        Ok(file)
    }

    fn path(&self, kind: &str, key: Key) -> PathBuf {
        self.dir.join(format!("{kind}-{}", &key.hex()[..32]))
    }
}

impl Key {
    /// The key of these named inputs, in their order.
    #[must_use]
    pub fn of(inputs: &[(&str, &[u8])]) -> Self {
        let mut hash = Sha256::new();
        for part in inputs
            .iter()
            .flat_map(|(name, value)| [name.as_bytes(), value])
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// In hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// The SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(file: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(file)?, Sha256::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            length => hash.update(&buffer[..length]),
        }
    }
}

/// An error of the file system, with the path.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    |source| CacheError::Io { path, source }
}

/// Writes a file whole or not at all, readable by everyone.
///
/// # Errors
///
/// When the folder cannot be written or is full.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let written = || {
        let mut file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o644))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    };
    written().map(drop).map_err(at(path))
}

/// Removes a tree if it is there.
pub(crate) fn remove(dir: &Path) -> Result<(), CacheError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(dir)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
