//! The libraries that the programs need, and theirs in turn, out of the locked packages.

use std::collections::btree_map::{BTreeMap, Entry};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::RamdiskError;
use crate::cache::at;
use crate::command::run;
use crate::debian;
use crate::toolchain::Toolchain;

/// Where Debian's libc looks without a configuration.
const FOLDERS: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
/// Programs name their loader by this path, which the ABI fixes.
const LOADER_LINK: &str = "/lib64/ld-linux-x86-64.so.2";
const LOADER: &str = "ld-linux-x86-64.so.2";
const READING: Duration = Duration::from_secs(60);

/// The userland's packages, each unpacked in a folder of its own, and the tool that reads programs.
#[derive(Debug)]
pub struct Libraries<'a> {
    packages: &'a debian::Tree,
    toolchain: &'a Toolchain,
}

/// One library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its name, as programs ask for it.
    pub name: String,
    /// Its path in the image.
    pub path: String,
    /// Another path by which it is asked for: the loader's.
    pub link: Option<String>,
    /// It starts the programs.
    pub is_loader: bool,
    /// The file on this machine.
    pub file: PathBuf,
    /// The package it is from.
    pub package: String,
}

impl<'a> Libraries<'a> {
    /// Those of `packages`, which lie apart.
    #[must_use]
    pub fn new(packages: &'a debian::Tree, toolchain: &'a Toolchain) -> Self {
        Self {
            packages,
            toolchain,
        }
    }

    /// All that `programs` need, directly or not, by name.
    ///
    /// # Errors
    ///
    /// When one is in no package, or a file is no ELF file.
    pub fn closure(&self, programs: &[&Path]) -> Result<Vec<Library>, RamdiskError> {
        let mut found = BTreeMap::new();
        let mut waiting: Vec<PathBuf> = programs.iter().map(|path| (*path).to_owned()).collect();
        while let Some(file) = waiting.pop() {
            for name in self.needed_by(&file)? {
                if let Entry::Vacant(place) = found.entry(name) {
                    let library = self.find(place.key(), &file)?;
                    waiting.push(library.file.clone());
                    place.insert(library);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// What one file asks its loader for, the loader included.
    ///
    /// # Errors
    ///
    /// When it is no ELF file.
    pub fn needed_by(&self, file: &Path) -> Result<Vec<String>, RamdiskError> {
        let mut readelf = Command::new(self.toolchain.program("readelf"));
        readelf
            .env("LC_ALL", "C")
            .args(["--dynamic", "--program-headers", "--wide"])
            .arg(file);
        Ok(needed(&run(&mut readelf, READING)?.stdout))
    }

    fn find(&self, name: &str, needed_by: &Path) -> Result<Library, RamdiskError> {
        for package in &self.packages.lock.packages {
            for folder in FOLDERS {
                let path = self
                    .packages
                    .root
                    .join(&package.name)
                    .join(folder)
                    .join(name);
                if !path.exists() {
                    continue;
                }
                let is_loader = name == LOADER;
                return Ok(Library {
                    name: name.to_owned(),
                    path: format!("/{folder}/{name}"),
                    link: is_loader.then(|| LOADER_LINK.to_owned()),
                    is_loader,
                    // Debian's link from the name to the file with the full version is of no use in the image.
                    file: fs::canonicalize(&path).map_err(at(&path))?,
                    package: package.name.clone(),
                });
            }
        }
        Err(RamdiskError::NoLibrary {
            library: name.to_owned(),
            needed_by: needed_by.display().to_string(),
        })
    }
}

/// Reads what readelf prints.
pub(super) fn needed(printed: &str) -> Vec<String> {
    let name = |line: &str| {
        let library = line.split_once("Shared library: [");
        let loader = line.split_once("Requesting program interpreter: ");
        let (_, rest) = library.or(loader)?;
        let path = rest.split(']').next()?;
        path.rsplit('/').next().map(str::to_owned)
    };
    printed.lines().filter_map(name).collect()
}
