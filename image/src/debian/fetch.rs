//! Fetches the packages of a lock into the cache, by their hash alone.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::archive::Archive;
use super::{DebianError, Lock, Package};
use crate::cache::{Cache, at, remove, sha256};
use crate::command::run_any;

const APT_HELPER: &str = "/usr/lib/apt/apt-helper";
/// Half an hour for the kernel's 153 MB is a very slow line.
const FETCHING: Duration = Duration::from_secs(1800);

/// The files of all packages, in the lock's order; what the cache has is not fetched.
///
/// `archive` is only asked for where something is missing.
pub(super) fn all(
    cache: &Cache,
    lock: &Lock,
    archive: impl FnOnce() -> Result<Archive, DebianError>,
) -> Result<Vec<PathBuf>, DebianError> {
    let dir = cache.dir().join("packages");
    fs::create_dir_all(&dir).map_err(at(&dir))?;
    let _turn = cache.turn("packages")?;
    let path = |package: &Package| dir.join(format!("{}.deb", package.sha256));
    let missing: Vec<&Package> = lock
        .packages
        .iter()
        .filter(|package| !path(package).is_file())
        .collect();
    if !missing.is_empty() {
        let archive = archive()?;
        let bytes: u64 = missing.iter().map(|package| package.size).sum();
        cache.tell(&format!(
            "fetching {} Debian packages ({}, {} MB)",
            missing.len(),
            lock.name,
            bytes.div_ceil(1_000_000)
        ));
        let unfinished = dir.join("unfinished");
        remove(&unfinished)?;
        fs::create_dir(&unfinished).map_err(at(&unfinished))?;
        let fetched = fetch(&missing, &archive, &unfinished).and_then(|()| {
            missing.iter().try_for_each(|package| {
                let file = unfinished.join(&package.sha256);
                check(package, &file)?;
                fs::rename(&file, path(package)).map_err(at(&file))?;
                Ok(())
            })
        });
        remove(&unfinished)?;
        fetched?;
    }
    Ok(lock.packages.iter().map(path).collect())
}

/// Has apt's own fetcher bring them: it knows the machine's proxies, and resumes and retries.
fn fetch(packages: &[&Package], archive: &Archive, dir: &Path) -> Result<(), DebianError> {
    let mut command = Command::new(APT_HELPER);
    command.env("LC_ALL", "C");
    for option in [
        "APT::Sandbox::User=root",
        "Acquire::Retries=3",
        "Acquire::http::Timeout=60",
        "Acquire::https::Timeout=60",
    ] {
        command.args(["-o", option]);
    }
    command.arg("download-file");
    let mut by_address = HashMap::new();
    for package in packages {
        let address = format!(
            "{}/{}",
            archive.of_suite(&package.suite),
            escaped(&package.filename)
        );
        command
            .arg(&address)
            .arg(dir.join(&package.sha256))
            .arg(format!("SHA256:{}", package.sha256));
        by_address.insert(address, *package);
    }
    let printed = run_any(&mut command, FETCHING)?;
    if printed.status.success() {
        return Ok(());
    }
    // "E: Failed to fetch ADDRESS  REASON"
    let failed: Vec<(&Package, &str)> = printed
        .stderr
        .lines()
        .filter_map(|line| {
            line.strip_prefix("E: Failed to fetch ")?
                .split_once(char::is_whitespace)
        })
        .filter_map(|(address, reason)| Some((*by_address.get(address)?, reason.trim())))
        .collect();
    // Another failure than "gone" counts first: it does not get better by taking other versions.
    let worst = failed
        .iter()
        .find(|(_, reason)| !reason.starts_with("404"))
        .or(failed.first());
    Err(match worst {
        Some((package, reason)) if reason.starts_with("404") => DebianError::Gone {
            package: package.name.clone(),
            version: package.version.clone(),
        },
        Some((package, reason))
            if reason.contains("Hash Sum mismatch") || reason.contains("unexpected size") =>
        {
            DebianError::Mismatch {
                package: package.name.clone(),
                what: (*reason).to_owned(),
            }
        }
        Some((package, reason)) => DebianError::Fetch {
            package: package.name.clone(),
            said: (*reason).to_owned(),
        },
        None => DebianError::Fetch {
            package: "a package".to_owned(),
            said: printed.stderr.trim().to_owned(),
        },
    })
}

/// Checks size and SHA-256, whatever apt thought of it.
pub(super) fn check(package: &Package, file: &Path) -> Result<(), DebianError> {
    let mismatch = |what| DebianError::Mismatch {
        package: package.name.clone(),
        what,
    };
    let size = fs::metadata(file).map_err(at(file))?.len();
    if size != package.size {
        return Err(mismatch(format!(
            "{size} bytes instead of {}",
            package.size
        )));
    }
    let found = sha256(file).map_err(at(file))?;
    if found != package.sha256 {
        return Err(mismatch(format!(
            "SHA-256 {found} instead of {}",
            package.sha256
        )));
    }
    Ok(())
}

/// Debian's file names have two characters that addresses reserve.
fn escaped(filename: &str) -> String {
    filename.replace('+', "%2b").replace('~', "%7e")
}
