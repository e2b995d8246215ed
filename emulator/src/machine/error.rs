//! Why there is no machine, or no longer.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use nacre_image::eif::EifError;

use crate::vsock::DeviceError;

/// Why there is no machine, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// A file, or what was wanted.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The image is not valid.
    #[error("{}: {source}", path.display())]
    Image {
        /// Which.
        path: PathBuf,
        /// Why.
        source: EifError,
    },
    /// The image is for another processor.
    #[error("{}: the image is for arm64; only x86-64 is emulated", .0.display())]
    Architecture(PathBuf),
    /// The image does not fit.
    #[error(
        "{given} MiB of memory cannot hold the image: it needs {needed} MiB to begin with, and again what it unpacks to; give more with --memory"
    )]
    TooLittleMemory {
        /// MiB.
        given: u64,
        /// MiB.
        needed: u64,
    },
    /// The vsock device could not be made.
    #[error(transparent)]
    Vsock(#[from] DeviceError),
    /// QEMU did not start.
    #[error("QEMU does not start: {0}")]
    QemuStart(io::Error),
    /// The guest's kernel panicked.
    #[error("the guest's kernel panicked; --console shows what it says")]
    GuestPanicked,
    /// The guest stands still, because what runs its instructions has failed.
    #[error(
        "the virtual machine failed and stands still: its accelerator does not work here; try --accelerator tcg"
    )]
    Stalled,
    /// QEMU ended, and not because the guest wanted it.
    #[error("QEMU ended without the guest's doing ({status}): {reason}")]
    QemuEnded {
        /// How.
        status: ExitStatus,
        /// QEMU's own last words.
        reason: String,
    },
}

impl MachineError {
    /// A stable kebab-case name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "machine-io",
            Self::Image { source, .. } => source.code(),
            Self::Architecture(_) => "image-architecture",
            Self::TooLittleMemory { .. } => "machine-memory",
            Self::Vsock(error) => error.code(),
            Self::QemuStart(_) => "qemu-start",
            Self::GuestPanicked => "guest-panicked",
            Self::Stalled => "accelerator-failed",
            Self::QemuEnded { .. } => "qemu-ended",
        }
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = path.display().to_string();
        move |source| Self::Io { what, source }
    }
}
