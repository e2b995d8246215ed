//! The image that is launched: read, checked and measured before anything starts.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nacre_image::eif::{Eif, EifError, ReadAt as _};
use serde::{Deserialize, Serialize};

use super::LaunchError;

/// An image as it was launched, measured on the host before anything started. It proves nothing to anybody: a client
/// believes the NSM's document alone. It tells an operator which image runs, and a crash report which one ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchedImage {
    /// PCR index → 96 hex digits: what the enclave's documents will say. In debug mode they will be zero instead.
    pub pcrs: BTreeMap<u8, String>,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Whether it runs in debug mode, where nothing protects it.
    pub debug: bool,
}

/// An image file that has passed every check.
#[derive(Debug)]
pub(crate) struct CheckedImage {
    pub(crate) file: File,
    pub(crate) launched: Arc<LaunchedImage>,
}

impl CheckedImage {
    /// Reads all of the file.
    pub(crate) async fn open(path: &Path, debug_mode: bool) -> Result<Self, LaunchError> {
        let path = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || read(path, debug_mode));
        match reading.await {
            Ok(image) => image,
            Err(gone) => std::panic::resume_unwind(gone.into_panic()),
        }
    }
}

fn read(path: PathBuf, debug_mode: bool) -> Result<CheckedImage, LaunchError> {
    let check = || -> Result<CheckedImage, EifError> {
        let file = File::open(&path)?;
        let bytes = file.length()?;
        let eif = Eif::open(file.try_clone()?)?;
        let found = eif.measurements();
        let mut pcrs: BTreeMap<u8, String> = [(0, found.pcr0), (1, found.pcr1), (2, found.pcr2)]
            .map(|(index, pcr)| (index, pcr.to_string()))
            .into();
        pcrs.extend(found.pcr8.map(|pcr| (8, pcr.to_string())));
        let launched = Arc::new(LaunchedImage {
            pcrs,
            bytes,
            debug: debug_mode,
        });
        tracing::info!(
            image = %path.display(),
            bytes,
            pcr0 = launched.pcrs[&0],
            pcr1 = launched.pcrs[&1],
            pcr2 = launched.pcrs[&2],
            debug_mode,
            "launching"
        );
        Ok(CheckedImage { file, launched })
    };
    check().map_err(|source| LaunchError::Image { path, source })
}
