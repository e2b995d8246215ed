//! A file of faults, read again whenever it changes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{FaultError, Faults, Timed};

/// More than any set of faults needs.
const MAX_FILE: u64 = 64 * 1024;

/// A file of faults that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too long.
    #[error("{} has more than {MAX_FILE} bytes", .0.display())]
    TooLong(PathBuf),
    /// It is no TOML, or not of tables `[[fault]]` alone.
    #[error("{}: {reason}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// One of its faults is none.
    #[error("{}: fault {number}: {source}", path.display())]
    Fault {
        /// Which.
        path: PathBuf,
        /// Which of them, from 1.
        number: usize,
        /// Why.
        source: FaultError,
    },
}

impl FileError {
    /// The rule that was broken, as a stable kebab-case name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "faults-io",
            Self::TooLong(_) => "faults-too-long",
            Self::Syntax { .. } => "faults-syntax",
            Self::Fault { .. } => "faults-unknown",
        }
    }
}

/// A file of faults that puts them in force: once when it is opened, and again whenever it is looked at and has changed.
///
/// ```toml
/// [[fault]]
/// kind = "nsm-latency"
/// by = "80ms"
///
/// [[fault]]
/// kind = "nsm-error"
/// code = "InternalError"
/// every = 3
/// operation = "Attestation"
/// for = "10s"
/// ```
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    faults: Faults,
    seen: Option<Version>,
}

/// What another content has another of.
type Version = (u64, u64, i64, i64);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    fault: Vec<toml::Table>,
}

impl Watched {
    /// Reads the file and puts its faults in force.
    ///
    /// # Errors
    ///
    /// When it cannot be read or has anything in it that is no fault.
    pub fn open(path: &Path, faults: Faults) -> Result<Self, FileError> {
        let mut watched = Self {
            path: path.to_owned(),
            faults,
            seen: None,
        };
        watched.reload()?;
        Ok(watched)
    }

    /// Reads the file again if it has changed. True when it had.
    ///
    /// # Errors
    ///
    /// As [`Watched::open`]; the faults from before stay in force, and the same content is not complained of twice.
    pub fn look(&mut self) -> Result<bool, FileError> {
        if version(&self.path).ok() == self.seen {
            return Ok(false);
        }
        self.reload()?;
        Ok(true)
    }

    /// Reads the file again in any case.
    ///
    /// # Errors
    ///
    /// As [`Watched::open`]; the faults from before stay in force.
    pub fn reload(&mut self) -> Result<(), FileError> {
        // Taken first: what is written meanwhile is another version.
        self.seen = version(&self.path).ok();
        let faults = read(&self.path)?;
        tracing::info!(file = %self.path.display(), count = faults.len(), "faults in force");
        self.faults.replace_file(faults);
        Ok(())
    }
}

fn version(path: &Path) -> io::Result<Version> {
    let metadata = fs::metadata(path)?;
    Ok((
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ))
}

fn read(path: &Path) -> Result<Vec<Timed>, FileError> {
    use io::Read as _;
    let failed = |source| FileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(FileError::TooLong(path.to_owned()));
    }
    let content: Content = toml::from_str(&text).map_err(|error| FileError::Syntax {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let numbered = (1..).zip(content.fault);
    numbered
        .map(|(number, table)| {
            Timed::from_table(table).map_err(|source| FileError::Fault {
                path: path.to_owned(),
                number,
                source,
            })
        })
        .collect()
}
