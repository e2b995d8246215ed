//! Why there is no image.

use std::path::PathBuf;

use crate::cache::CacheError;
use crate::command::CommandError;
use crate::cpio::CpioError;
use crate::debian::DebianError;
use crate::eif::EifError;
use crate::kernel::KernelError;
use crate::licences::LicenceError;
use crate::ramdisk::RamdiskError;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A program is missing or failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A Debian package cannot be had.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// The kernel cannot be built.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The ramdisks cannot be laid out.
    #[error(transparent)]
    Ramdisk(#[from] RamdiskError),
    /// A ramdisk cannot be written.
    #[error(transparent)]
    Cpio(#[from] CpioError),
    /// The image cannot be written.
    #[error(transparent)]
    Eif(#[from] EifError),
    /// Something in the image has no known licence or source.
    #[error(transparent)]
    Licence(#[from] LicenceError),
    /// There is no `Cargo.toml` with Nacre's crates.
    #[error("{}: no workspace of Nacre; run this inside of one, or name it by --workspace", .0.display())]
    NoWorkspace(PathBuf),
    /// ONNX Runtime is not there.
    #[error("{}: no libonnxruntime.so; `make setup` gets it", .0.display())]
    NoOnnxruntime(PathBuf),
    /// It is another ONNX Runtime.
    #[error("{}: not the pinned ONNX Runtime {version} (SHA-256 {found}); `make setup` gets it", file.display())]
    OtherOnnxruntime {
        /// The file.
        file: PathBuf,
        /// The pinned version.
        version: &'static str,
        /// Its hash.
        found: String,
    },
    /// The allow-list is malformed.
    #[error("{}: {error}", file.display())]
    Egress {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// A program would differ on another machine.
    #[error("{}: has {path:?} of this machine inside, so that another machine would build another image", file.display())]
    NotReproducible {
        /// The program.
        file: PathBuf,
        /// The folder whose name is inside.
        path: String,
    },
}

impl BuildError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Command(error) => error.code(),
            Self::Cache(error) => error.code(),
            Self::Debian(error) => error.code(),
            Self::Kernel(error) => error.code(),
            Self::Ramdisk(error) => error.code(),
            Self::Cpio(error) => error.code(),
            Self::Eif(error) => error.code(),
            Self::Licence(error) => error.code(),
            Self::NoWorkspace(_) => "image-no-workspace",
            Self::NoOnnxruntime(_) => "image-no-onnxruntime",
            Self::OtherOnnxruntime { .. } => "image-other-onnxruntime",
            Self::Egress { .. } => "image-egress-malformed",
            Self::NotReproducible { .. } => "image-not-reproducible",
        }
    }
}
