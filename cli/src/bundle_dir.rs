//! A function's directory, read and hashed.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nacre_protocol::bundle::{Bundle, BundleFile};
use nacre_protocol::digest::Digest;
use nacre_protocol::manifest::{FunctionManifest, MANIFEST_FILE, MAX_MANIFEST};
use sha2::{Digest as _, Sha256};

use crate::error::CliError;
use crate::trust::read_bounded;

/// A directory that makes a function.
#[derive(Debug)]
pub(crate) struct BundleDir {
    pub(crate) manifest: FunctionManifest,
    pub(crate) bundle: Bundle,
    dir: PathBuf,
}

impl BundleDir {
    /// Reads `nacre.toml` and hashes the files that it names. Other files in the directory (a README, samples) are not
    /// part of the function.
    pub(crate) fn open(dir: &Path) -> Result<Self, CliError> {
        let toml = read_bounded(&dir.join(MANIFEST_FILE), MAX_MANIFEST as u64)?;
        let manifest = FunctionManifest::from_toml(&toml)?;
        let model = BundleFile {
            urls: manifest.model.urls.clone(),
            ..hash_file(dir, &manifest.model.file)?
        };
        let bundle = Bundle::new(vec![hash_file(dir, MANIFEST_FILE)?, model])?;
        let dir = dir.to_owned();
        Ok(Self {
            manifest,
            bundle,
            dir,
        })
    }

    /// Where a file of the bundle lies.
    pub(crate) fn path(&self, file: &BundleFile) -> PathBuf {
        self.dir.join(&file.name)
    }
}

fn hash_file(dir: &Path, name: &str) -> Result<BundleFile, CliError> {
    let path = dir.join(name);
    let mut file = File::open(&path).map_err(CliError::file(&path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).map_err(CliError::file(&path))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
    Ok(BundleFile {
        name: name.to_owned(),
        digest: Digest::from_bytes(hasher.finalize().into()),
        size,
        urls: Vec::new(),
    })
}
