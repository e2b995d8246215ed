//! The enclave's kernel: Debian's source, our configuration, the locked compiler.
//!
//! The same three give the same bytes: the build gets an environment of its own, with fixed
//! user, host and time, and the cache is keyed by all that takes part.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cache::{Cache, CacheError, Key, at, remove};
use crate::command::{CommandError, run};
use crate::debian::{self, DebianError, Lock, Package};
use crate::toolchain::Toolchain;

/// Says that the steps below have changed.
const RECIPE: &str = "2";
const SOURCE_PACKAGE: &str = "linux-source-6.12";
const UNPACKING: Duration = Duration::from_secs(900);
const BUILDING: Duration = Duration::from_secs(3 * 3600);

/// A built kernel in the cache.
#[derive(Debug)]
pub struct Kernel {
    /// The bzImage.
    pub image: PathBuf,
    /// The whole configuration it was built with.
    pub config: PathBuf,
    /// Debian's copyright file of the source.
    pub copyright: PathBuf,
    /// The source.
    pub package: Package,
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// Its source or the toolchain cannot be had.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// A step of the build failed.
    #[error("the kernel's build: {0}")]
    Command(#[from] CommandError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// This source does not know, or overrides, options of ours.
    #[error("this kernel source does not take our options: {}", .0.join(", "))]
    Options(Vec<String>),
    /// The lock has no kernel source.
    #[error("kernel.toml does not name {SOURCE_PACKAGE}")]
    NoSource,
}

impl KernelError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Debian(error) => error.code(),
            Self::Command(error) => error.code(),
            Self::Cache(error) => error.code(),
            Self::Options(_) => "kernel-options-not-taken",
            Self::NoSource => "kernel-source-not-locked",
        }
    }
}

/// What a kernel is made of, and by.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// Its source.
    pub lock: &'a Lock,
    /// Our options, over `allnoconfig`.
    pub config: &'a str,
    /// The compiler.
    pub toolchain: &'a Toolchain,
}

/// The kernel from the cache, built with `jobs` compilers at once if need be (six minutes on two idle cores).
///
/// # Errors
///
/// When the source cannot be fetched, the build fails, or an option of ours is not set in the end.
pub fn kernel(cache: &Cache, recipe: &Recipe<'_>, jobs: usize) -> Result<Kernel, KernelError> {
    let lock = debian::current(cache, recipe.lock)?;
    if let Some(dir) = cache.find("kernel", recipe.key(&lock)) {
        return Kernel::in_dir(&dir, &lock);
    }
    let fetched = debian::fetch(cache, lock)?;
    let lock = &fetched.lock;
    let dir = cache.entry("kernel", recipe.key(lock), |dir| {
        let version = lock
            .package(SOURCE_PACKAGE)
            .ok_or(KernelError::NoSource)?
            .version
            .as_str();
        cache.tell(&format!(
            "building the enclave's kernel ({version}); this takes minutes, once"
        ));
        let build = dir.join("build");
        unpack(&fetched.files, &build)?;
        compile(&build, recipe, jobs)?;
        keep(&build, dir)
    })?;
    fetched.passed(cache)?;
    Kernel::in_dir(&dir, lock)
}

impl Kernel {
    fn in_dir(dir: &Path, lock: &Lock) -> Result<Self, KernelError> {
        Ok(Self {
            image: dir.join("bzImage"),
            config: dir.join("config"),
            copyright: dir.join("copyright"),
            package: lock
                .package(SOURCE_PACKAGE)
                .ok_or(KernelError::NoSource)?
                .clone(),
        })
    }
}

impl Recipe<'_> {
    /// `lock` may be a newer one than that of the recipe.
    fn key(&self, lock: &Lock) -> Key {
        let sources: Vec<&str> = lock
            .packages
            .iter()
            .map(|package| package.sha256.as_str())
            .collect();
        Key::of(&[
            ("source", sources.join("\n").as_bytes()),
            ("config", self.config.as_bytes()),
            ("toolchain", self.toolchain.key().hex().as_bytes()),
            ("recipe", RECIPE.as_bytes()),
        ])
    }
}

/// Leaves the source in `build/source` and Debian's copyright file in `build/package`.
fn unpack(files: &[PathBuf], build: &Path) -> Result<(), KernelError> {
    let (package, source) = (build.join("package"), build.join("source"));
    for folder in [&package, &source] {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    for file in files {
        run(
            Command::new("dpkg-deb")
                .arg("--extract")
                .arg(file)
                .arg(&package),
            UNPACKING,
        )?;
    }
    let archive = package.join(format!("usr/src/{SOURCE_PACKAGE}.tar.xz"));
    let mut tar = Command::new("tar");
    tar.args([
        "--extract",
        "--xz",
        "--strip-components=1",
        "--no-same-owner",
        "--file",
    ])
    .arg(&archive);
    run(tar.arg("--directory").arg(&source), UNPACKING)?;
    Ok(())
}

fn compile(build: &Path, recipe: &Recipe<'_>, jobs: usize) -> Result<(), KernelError> {
    let source = build.join("source");
    let ours = build.join("nacre.config");
    fs::write(&ours, recipe.config).map_err(at(&ours))?;
    let mut configure = make(&source, recipe.toolchain);
    run(
        configure.arg("allnoconfig").env("KCONFIG_ALLCONFIG", &ours),
        UNPACKING,
    )?;
    let config = source.join(".config");
    let text = fs::read_to_string(&config).map_err(at(&config))?;
    let missing = not_taken(recipe.config, &text);
    if !missing.is_empty() {
        return Err(KernelError::Options(missing));
    }
    run(
        make(&source, recipe.toolchain)
            .arg(format!("--jobs={jobs}"))
            .arg("bzImage"),
        BUILDING,
    )?;
    Ok(())
}

/// `make` in `source` with nothing of the user's environment.
fn make(source: &Path, toolchain: &Toolchain) -> Command {
    let mut make = Command::new(toolchain.program("make"));
    make.env_clear()
        .env("PATH", toolchain.search_path())
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("SOURCE_DATE_EPOCH", "0")
        .env("KBUILD_BUILD_TIMESTAMP", "1970-01-01T00:00:00Z")
        .env("KBUILD_BUILD_USER", "nacre")
        .env("KBUILD_BUILD_HOST", "nacre")
        .env("KBUILD_BUILD_VERSION", "1")
        .current_dir(source)
        .args([
            "ARCH=x86_64",
            "CC=gcc",
            "HOSTCC=hostcc",
            "LD=ld",
            "LOCALVERSION=",
        ]);
    make
}

/// Our options that the whole configuration does not have as we want them.
fn not_taken(ours: &str, whole: &str) -> Vec<String> {
    let set: std::collections::HashSet<&str> = whole.lines().collect();
    let wanted = ours.lines().filter(|line| line.contains("CONFIG_"));
    let missing = wanted.filter(|line| {
        let off = line
            .strip_suffix("=n")
            .or_else(|| line.strip_prefix("# ")?.strip_suffix(" is not set"));
        match off {
            // Where a feature is off, options of it may be unknown altogether.
            Some(name) => set.iter().any(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('='))
            }),
            None => !set.contains(line),
        }
    });
    missing.map(str::to_owned).collect()
}

/// Keeps three files and removes the source.
fn keep(build: &Path, dir: &Path) -> Result<(), KernelError> {
    let kept = [
        ("source/arch/x86/boot/bzImage", "bzImage"),
        ("source/.config", "config"),
        (
            "package/usr/share/doc/linux-source-6.12/copyright",
            "copyright",
        ),
    ];
    for (from, to) in kept {
        let from = build.join(from);
        fs::rename(&from, dir.join(to)).map_err(at(&from))?;
    }
    remove(build)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::not_taken;

    #[test]
    fn options_that_the_source_overrides_are_named() {
        let ours = "CONFIG_NSM=y\nCONFIG_VT=n\n# CONFIG_ACPI_FAN is not set\nCONFIG_NR_CPUS=128\nCONFIG_GONE=n\n";
        let taken = "CONFIG_NSM=y\n# CONFIG_VT is not set\nCONFIG_NR_CPUS=128\n";
        assert!(not_taken(ours, taken).is_empty());
        let other = "CONFIG_VT=y\nCONFIG_ACPI_FAN=y\nCONFIG_NR_CPUS=64\nCONFIG_GONE_TOO=y\n";
        let missing = [
            "CONFIG_NSM=y",
            "CONFIG_VT=n",
            "# CONFIG_ACPI_FAN is not set",
            "CONFIG_NR_CPUS=128",
        ];
        assert_eq!(not_taken(ours, other), missing);
    }
}
