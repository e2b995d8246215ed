//! Why packages could not be had.

use crate::cache::CacheError;
use crate::command::CommandError;

/// Why packages could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebianError {
    /// This machine's apt knows no Debian archive.
    #[error(
        "no Debian mirror is known: this machine's apt has none (on Debian: apt-get update); \
         set NACRE_DEBIAN_MIRROR to one, such as http://<host>/debian"
    )]
    NoMirror,
    /// `$NACRE_DEBIAN_MIRROR` is no address.
    #[error("{variable} is {value:?}, which is no address such as http://<host>/debian")]
    BadMirror {
        /// Which variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// The keys that Debian signs with are not installed.
    #[error(
        "the locked versions are gone from the archive, and newer ones cannot be trusted without Debian's keys: \
         install debian-archive-keyring"
    )]
    NoKeyring,
    /// A program is missing, failed or took too long.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The archive no longer has a locked version.
    #[error("the Debian archive no longer has {package} {version}")]
    Gone {
        /// The package.
        package: String,
        /// The locked version.
        version: String,
    },
    /// A package could not be fetched.
    #[error("{package} cannot be fetched: {said}")]
    Fetch {
        /// The package.
        package: String,
        /// What apt said.
        said: String,
    },
    /// A fetched package is not the locked one.
    #[error("{package} is not the locked one: {what}")]
    Mismatch {
        /// The package.
        package: String,
        /// Expected and found size or SHA-256.
        what: String,
    },
    /// The archive has no such package, or says something that is not understood.
    #[error("lock {lock}: {what}")]
    Resolve {
        /// The lock's name.
        lock: String,
        /// What is missing.
        what: String,
    },
    /// A lock file is not well-formed.
    #[error("lock {lock}: {what}")]
    Lock {
        /// The lock's name.
        lock: String,
        /// What is wrong.
        what: String,
    },
    /// What was unpacked cannot do what it is for.
    #[error("{what}")]
    Probe {
        /// What it lacks.
        what: String,
    },
}

impl DebianError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoMirror => "debian-no-mirror",
            Self::BadMirror { .. } => "debian-bad-mirror",
            Self::NoKeyring => "debian-no-keyring",
            Self::Command(error) => error.code(),
            Self::Cache(error) => error.code(),
            Self::Gone { .. } => "debian-version-gone",
            Self::Fetch { .. } => "debian-not-fetched",
            Self::Mismatch { .. } => "debian-package-mismatch",
            Self::Resolve { .. } => "debian-not-resolved",
            Self::Lock { .. } => "debian-lock-malformed",
            Self::Probe { .. } => "debian-probe-failed",
        }
    }
}
