//! Lock files: which packages, of which version and content.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DebianError;
use crate::cache::at;

/// No package is larger (linux-source is 153 MB).
const LARGEST: u64 = 1 << 30;

/// A set of packages, each fixed by its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// `kernel`, `toolchain`, `rust`, `userland` or `qemu`.
    #[serde(skip)]
    pub name: String,
    /// Where newer versions are looked for, such as `bookworm-security`.
    pub suites: Vec<String>,
    /// The suite that is preferred over higher versions elsewhere, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<String>,
    /// What is asked for.
    pub wanted: Vec<String>,
    /// Whether everything that these depend on comes along.
    pub dependencies: bool,
    /// What that is at present.
    #[serde(default, rename = "package")]
    pub packages: Vec<Package>,
}

/// One binary package.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// The suite it was found in.
    pub suite: String,
    /// The source package.
    pub source: String,
    /// The source package's version.
    pub source_version: String,
    /// Its path in the archive.
    pub filename: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
}

impl Lock {
    /// The lock of that name in a workspace: `kernel`, `toolchain`, `rust` or `userland`.
    ///
    /// # Errors
    ///
    /// When it is not there or malformed.
    pub fn of_workspace(workspace: &Path, name: &str) -> Result<Self, DebianError> {
        let path = Self::path_in(workspace, name);
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        Self::parse(name, &text)
    }

    /// Where a workspace has the lock of that name.
    #[must_use]
    pub fn path_in(workspace: &Path, name: &str) -> PathBuf {
        workspace.join("image/locks").join(format!("{name}.toml"))
    }

    /// The emulator's QEMU, which needs no workspace.
    ///
    /// # Errors
    ///
    /// When the file in this program is malformed.
    pub fn qemu() -> Result<Self, DebianError> {
        Self::parse("qemu", include_str!("../../locks/qemu.toml"))
    }

    /// Reads a lock file.
    ///
    /// # Errors
    ///
    /// When it is malformed, or says something that could reach outside of the archive or the cache.
    pub fn parse(name: &str, text: &str) -> Result<Self, DebianError> {
        let wrong = |what: String| DebianError::Lock {
            lock: name.to_owned(),
            what,
        };
        let mut lock: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        name.clone_into(&mut lock.name);
        for package in &lock.packages {
            package
                .check()
                .map_err(|what| wrong(format!("{}: {what}", package.name)))?;
        }
        Ok(lock)
    }

    /// The lock file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Only strings, numbers and lists of them: this cannot fail to serialise.
        let body = toml::to_string(self).unwrap_or_default();
        format!(
            "# Written by `nacre image update-locks`: the {} packages, each fixed by its SHA-256.\n\n{body}",
            self.name
        )
    }

    /// The package of that name.
    #[must_use]
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// What differs in `newer`, in words.
    #[must_use]
    pub fn changes_to(&self, newer: &Self) -> String {
        let changed =
            newer
                .packages
                .iter()
                .filter_map(|package| match self.package(&package.name) {
                    Some(old) if old.version == package.version => None,
                    Some(old) => Some(format!(
                        "{} {} → {}",
                        package.name, old.version, package.version
                    )),
                    None => Some(format!("{} {} comes in", package.name, package.version)),
                });
        let gone = self
            .packages
            .iter()
            .filter(|old| newer.package(&old.name).is_none());
        let all: Vec<String> = changed
            .chain(gone.map(|old| format!("{} goes", old.name)))
            .collect();
        if all.is_empty() {
            "no change".to_owned()
        } else {
            all.join(", ")
        }
    }
}

impl Package {
    /// Checks what becomes part of an address or a path.
    fn check(&self) -> Result<(), String> {
        let hex = self.sha256.len() == 64
            && self
                .sha256
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !hex {
            return Err("sha256 is not 64 lower-case hexadecimal digits".to_owned());
        }
        let named = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+-.~:_/%".contains(&b))
        };
        if !named(&self.filename)
            || !self.filename.starts_with("pool/")
            || self.filename.split('/').any(|s| s == "..")
        {
            return Err(format!(
                "filename {:?} is not a path below pool/",
                self.filename
            ));
        }
        if ![&self.name, &self.version, &self.suite]
            .into_iter()
            .all(|text| named(text))
        {
            return Err(
                "name, version or suite has characters that Debian's never have".to_owned(),
            );
        }
        if self.size == 0 || self.size > LARGEST {
            return Err(format!("a size of {} bytes", self.size));
        }
        Ok(())
    }
}
