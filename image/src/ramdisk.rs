//! What stands in the image's two ramdisks.
//!
//! The first, measured in PCR1, is init and the folders it mounts on. The second, measured in
//! PCR2, is the application: two programs, ONNX Runtime, the libraries these need and no others,
//! and Nacre's own files. No shell, no package manager, nothing that was not named here.

mod boot;
mod libraries;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::cache::{CacheError, at};
use crate::command::CommandError;
use crate::cpio::{Content, CpioError, Tree};

pub use boot::boot_file;
pub use libraries::{Libraries, Library};

/// The enclave's program.
pub const ENCLAVE: &str = "/usr/bin/nacre-enclave";
/// The worker's.
pub const WORKER: &str = "/usr/bin/nacre-worker";
/// ONNX Runtime.
pub const ONNXRUNTIME: &str = "/usr/lib/nacre/libonnxruntime.so";
/// The first program of all.
pub const INIT: &str = "/init";
/// The list of all files, which init holds the root file system against.
pub const MANIFEST: &str = "/etc/nacre/manifest";
/// How init starts the enclave.
pub const BOOT: &str = "/etc/nacre/boot";
/// What init mounts something on.
const MOUNT_POINTS: [(&str, u32); 5] = [
    ("/dev", 0o755),
    ("/proc", 0o755),
    ("/run", 0o755),
    ("/sys", 0o755),
    ("/tmp", 0o1777),
];
/// The kernel gives init this as its standard output.
pub const CONSOLE: &str = "/dev/console";
const CONSOLE_MODE: u32 = 0o600;
const CONSOLE_DEVICE: (u32, u32) = (5, 1);

/// The files of this machine that go into the image.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Static: nothing is mounted when it starts.
    pub init: PathBuf,
    /// The enclave's program.
    pub enclave: PathBuf,
    /// The worker's program.
    pub worker: PathBuf,
    /// ONNX Runtime.
    pub onnxruntime: PathBuf,
    /// What the enclave may connect to.
    pub egress: Vec<u8>,
}

/// Both ramdisks.
#[derive(Debug)]
pub struct Ramdisks {
    /// Measured in PCR1.
    pub init: Tree,
    /// Measured in PCR2.
    pub application: Tree,
    /// Which libraries came along.
    pub libraries: Vec<Library>,
}

/// Why the ramdisks cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RamdiskError {
    /// A file cannot be read.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A program's headers cannot be read.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// An archive cannot be made of it.
    #[error(transparent)]
    Cpio(#[from] CpioError),
    /// A library is nowhere in the locked packages.
    #[error("{needed_by} needs {library}, which no package of image/locks/userland.toml has")]
    NoLibrary {
        /// Its name.
        library: String,
        /// Who needs it.
        needed_by: String,
    },
    /// Init must not need a loader.
    #[error("init is not static: it needs {0}")]
    InitNotStatic(String),
}

impl RamdiskError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cache(error) => error.code(),
            Self::Command(error) => error.code(),
            Self::Cpio(error) => error.code(),
            Self::NoLibrary { .. } => "library-not-locked",
            Self::InitNotStatic(_) => "init-not-static",
        }
    }
}

/// Lays out both ramdisks.
///
/// # Errors
///
/// When a file cannot be read, needs a library that is not locked, or init needs any.
pub fn ramdisks(inputs: &Inputs, libraries: &Libraries<'_>) -> Result<Ramdisks, RamdiskError> {
    if let Some(needed) = libraries.needed_by(&inputs.init)?.first() {
        return Err(RamdiskError::InitNotStatic(needed.clone()));
    }
    let programs = [
        (ENCLAVE, 0o755, &inputs.enclave),
        (WORKER, 0o755, &inputs.worker),
        (ONNXRUNTIME, 0o644, &inputs.onnxruntime),
    ];
    let needed = libraries.closure(&programs.map(|(_, _, file)| file.as_path()))?;
    let mut plan = Plan::default();
    for (path, mode, file) in programs {
        plan.file(path, mode, Content::File(file.clone()));
    }
    for library in &needed {
        plan.file(
            &library.path,
            if library.is_loader { 0o755 } else { 0o644 },
            Content::File(library.file.clone()),
        );
        if let Some(link) = &library.link {
            plan.link(link, &library.path);
        }
    }
    plan.file(BOOT, 0o644, Content::Bytes(boot_file().into_bytes()));
    plan.file(
        nacre_protocol::egress::ALLOW_LIST_FILE,
        0o644,
        Content::Bytes(inputs.egress.clone()),
    );
    let (mut init, manifest) = (first(&inputs.init)?, plan.manifest()?);
    let mut application = plan.tree()?;
    application.file(MANIFEST, 0o644, Content::Bytes(manifest.into_bytes()))?;
    init.character_device(CONSOLE, CONSOLE_MODE, CONSOLE_DEVICE.0, CONSOLE_DEVICE.1)?;
    Ok(Ramdisks {
        init,
        application,
        libraries: needed,
    })
}

fn first(init: &Path) -> Result<Tree, RamdiskError> {
    let mut tree = Tree::new();
    for (path, mode) in MOUNT_POINTS {
        tree.folder(path, mode)?;
    }
    tree.file(INIT, 0o755, Content::File(init.to_owned()))?;
    Ok(tree)
}

/// The application's files and links by path; the folders follow from them.
#[derive(Default)]
struct Plan {
    entries: BTreeMap<String, Planned>,
}

enum Planned {
    File(u32, Content),
    Link(String),
    Folder,
}

impl Plan {
    fn file(&mut self, path: &str, mode: u32, content: Content) {
        self.add(path, Planned::File(mode, content));
    }

    fn link(&mut self, path: &str, target: &str) {
        self.add(path, Planned::Link(target.to_owned()));
    }

    fn add(&mut self, path: &str, planned: Planned) {
        for (end, _) in path.match_indices('/').skip(1) {
            self.entries
                .entry(path[..end].to_owned())
                .or_insert(Planned::Folder);
        }
        self.entries.insert(path.to_owned(), planned);
    }

    /// Every file of both ramdisks but itself and init, as init reads it.
    fn manifest(&self) -> Result<String, RamdiskError> {
        let mut lines: BTreeMap<&str, String> = MOUNT_POINTS
            .iter()
            .map(|(path, mode)| (*path, format!("dir {mode:04o} {path}\n")))
            .collect();
        for (path, planned) in &self.entries {
            let line = match planned {
                Planned::Folder => format!("dir {FOLDER_MODE:04o} {path}\n"),
                Planned::Link(target) => format!("link {target} {path}\n"),
                Planned::File(mode, content) => {
                    let (hash, length) = hashed(content)?;
                    format!("{hash} {mode:04o} {length} {path}\n")
                }
            };
            lines.insert(path, line);
        }
        Ok(lines.into_values().collect())
    }

    fn tree(&self) -> Result<Tree, CpioError> {
        let mut tree = Tree::new();
        for (path, planned) in &self.entries {
            match planned {
                Planned::Folder => tree.folder(path, FOLDER_MODE)?,
                Planned::Link(target) => tree.link(path, target)?,
                Planned::File(mode, content) => tree.file(path, *mode, content.clone())?,
            }
        }
        Ok(tree)
    }
}

const FOLDER_MODE: u32 = 0o755;

fn hashed(content: &Content) -> Result<(String, u64), RamdiskError> {
    match content {
        Content::Bytes(bytes) => Ok((hex::encode(Sha256::digest(bytes)), bytes.len() as u64)),
        Content::File(path) => {
            let mut bytes = Vec::new();
            let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
            read.map_err(at(path))?;
            hashed(&Content::Bytes(bytes))
        }
    }
}
