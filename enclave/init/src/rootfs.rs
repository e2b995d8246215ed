//! Whether the root file system is what the manifest lists, in both directions.
//!
//! The hypervisor has measured the ramdisks (PCR1, PCR2), so nobody can have changed a byte of them. What nobody has
//! checked is that the kernel *unpacked* them whole: where memory is short it may write a file in part, leave out those that
//! come after, and start init all the same. Then a program would run in a world that no measurement describes. Such damage
//! shows in which files there are, in their kinds, modes, owners and lengths; and that is held against the manifest for
//! every file, before anything else runs. It costs a few milliseconds, and it is the check that counts: the kernel writes what
//! it unpacks in the archive's order and never goes back, so a file that has its length and is followed by all others was
//! written whole.
//!
//! The contents are hashed as well, on as many threads as there are processors, because that is cheap where it matters, on
//! processors with SHA-256 of their own. Where every instruction is emulated, the image's 45 MB took 0.6 to 0.9 s on
//! two processors, which the promised time from boot to attested has room for. A hash finds what lengths do not, such
//! as memory that does not keep what was written to it; against whoever could change memory on purpose it helps nobody, for
//! he could as well change init.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use crate::manifest::{self, Expected, Manifest};
use crate::refusal::Refusal;

/// What the manifest cannot list: itself, and init, which came before it.
const UNLISTED: [&str; 2] = [manifest::PATH, "/init"];
/// What every Linux kernel unpacks by itself before any ramdisk (its `usr/default_cpio_list`).
const KERNELS_OWN: [(&str, Found); 3] = [
    ("/dev", Found::Folder { mode: 0o755 }),
    ("/dev/console", Found::Console),
    ("/root", Found::Folder { mode: 0o700 }),
];

/// Most files; a bound on time and memory before anything is known to be right.
const MAX_FILES: usize = 1 << 16;
/// Bytes read at a time.
const CHUNK: usize = 128 << 10;

/// What stands at a path, but for a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    File { mode: u32, length: u64 },
    Link { target: String },
    Folder { mode: u32 },
    Console,
    Other,
}

/// Checks the file system below `root`, which is `/`.
///
/// # Errors
///
/// `rootfs-unreadable`; `rootfs-differs` with the first path that does.
pub fn check(root: &Path, manifest: &Manifest) -> Result<(), Refusal> {
    let found = walk(root).map_err(|error| Refusal::new("rootfs-unreadable", error))?;
    compare(manifest, &found).map_err(differs)?;
    contents(root, manifest)
}

fn differs(what: String) -> Refusal {
    Refusal::new("rootfs-differs", what)
}

/// Everything below `root` by path, links not followed.
fn walk(root: &Path) -> io::Result<BTreeMap<String, Found>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(below(root, &format!("{folder}/")))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = OsStr::to_str(&name)
                .ok_or_else(|| io::Error::other(format!("a name in {folder}/ is not text")))?;
            let path = format!("{folder}/{name}");
            let what = what(&below(root, &path))?;
            if matches!(what, Found::Folder { .. }) {
                folders.push(path.clone());
            }
            found.insert(path, what);
            if found.len() > MAX_FILES {
                return Err(io::Error::other("too many files"));
            }
        }
    }
    Ok(found)
}

fn below(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn what(path: &Path) -> io::Result<Found> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let mode = metadata.mode() & 0o7777;
    let length = metadata.len();
    Ok(if metadata.uid() != 0 || metadata.gid() != 0 {
        Found::Other
    } else if kind.is_file() {
        Found::File { mode, length }
    } else if kind.is_dir() {
        Found::Folder { mode }
    } else if kind.is_symlink() {
        let target = fs::read_link(path)?;
        let target = target
            .to_str()
            .ok_or_else(|| io::Error::other("a link's target is not text"))?;
        Found::Link {
            target: target.to_owned(),
        }
    } else if is_console(&metadata) {
        Found::Console
    } else {
        Found::Other
    })
}

/// Character device 5:1.
fn is_console(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == rustix::fs::makedev(5, 1)
}

/// The first difference, in words.
fn compare(manifest: &Manifest, found: &BTreeMap<String, Found>) -> Result<(), String> {
    for (path, expected) in manifest.entries() {
        let found = found
            .get(path)
            .ok_or_else(|| format!("{path} is missing"))?;
        same(expected, found).map_err(|what| format!("{path} {what}"))?;
    }
    for (path, found) in found {
        let kernels_own = KERNELS_OWN
            .iter()
            .any(|(own, what)| own == path && what == found);
        if manifest.get(path).is_none() && !UNLISTED.contains(&path.as_str()) && !kernels_own {
            return Err(format!("{path} is not in the manifest"));
        }
    }
    Ok(())
}

fn same(expected: &Expected, found: &Found) -> Result<(), String> {
    let (expected_mode, found_mode) = match (expected, found) {
        (
            Expected::File { mode, length, .. },
            Found::File {
                mode: found_mode,
                length: found_length,
            },
        ) => {
            if length != found_length {
                return Err(format!("has {found_length} bytes and not {length}"));
            }
            (mode, found_mode)
        }
        (Expected::Folder { mode }, Found::Folder { mode: found_mode }) => (mode, found_mode),
        (Expected::Link { target }, Found::Link { target: found }) => {
            return match target == found {
                true => Ok(()),
                false => Err("points elsewhere".to_owned()),
            };
        }
        _ => return Err("is of another kind or another owner".to_owned()),
    };
    match expected_mode == found_mode {
        true => Ok(()),
        false => Err(format!(
            "has mode {found_mode:04o} and not {expected_mode:04o}"
        )),
    }
}

/// Hashes every file, the longest first, on all processors.
fn contents(root: &Path, manifest: &Manifest) -> Result<(), Refusal> {
    let mut files: Vec<(&str, &[u8; 32], u64)> = manifest
        .entries()
        .filter_map(|(path, expected)| match expected {
            Expected::File { sha256, length, .. } => Some((path, sha256, *length)),
            _ => None,
        })
        .collect();
    files.sort_by_key(|(_, _, length)| std::cmp::Reverse(*length));
    let (next, differing) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        let mut chunk = vec![0; CHUNK];
        while let Some((path, expected, _)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let refusal = match hash(&below(root, path), &mut chunk) {
                Ok(hash) if hash == **expected => continue,
                Ok(_) => differs(format!("{path} holds other bytes")),
                Err(error) => Refusal::new("rootfs-unreadable", format!("{path}: {error}")),
            };
            if let Ok(mut differing) = differing.lock() {
                differing.get_or_insert(refusal);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        // A thread that cannot be had is done without: this one does all the work then.
        for _ in 1..threads.min(files.len()) {
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    match differing.into_inner() {
        Ok(None) => Ok(()),
        Ok(Some(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::new(
            "rootfs-unreadable",
            "a thread that hashes panicked",
        )),
    }
}

fn hash(path: &Path, chunk: &mut [u8]) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    loop {
        match file.read(chunk)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&chunk[..read]),
        }
    }
}
