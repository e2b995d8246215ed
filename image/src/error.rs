//! What can go wrong with an image, for whoever runs the commands.

use std::io;
use std::path::{Path, PathBuf};

use nacre_attestation_verifier::{PolicyError, ResultCode};

use crate::build::BuildError;
use crate::cpio::CpioError;
use crate::eif::EifError;
use crate::sbom::ComponentsError;
use crate::sign::{SignError, SignatureError};

/// Why a command on images failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file that is no valid image, or could not be written.
    #[error("{}: {error}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: EifError,
    },
    /// Another file.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The image cannot be read a second time.
    #[error("cannot read the image: {0}")]
    Read(io::Error),
    /// A ramdisk that is not understood.
    #[error("ramdisk {ramdisk}: {error}")]
    Ramdisk {
        /// Its number, from 0.
        ramdisk: usize,
        /// What is wrong.
        error: CpioError,
    },
    /// The list of components.
    #[error(transparent)]
    Components(#[from] ComponentsError),
    /// The signing certificate.
    #[error("{}: {error}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SignatureError,
    },
    /// The signing key.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// An image that the wanted certificate did not sign.
    #[error("{}: not signed with the certificate that --signer names", .0.display())]
    OtherSigner(PathBuf),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The image cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Arguments that do not go together.
    #[error("{0}")]
    Usage(String),
}

impl ImageError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Image { error, .. } => error.code(),
            Self::File { .. } | Self::Read(_) => "file",
            Self::Ramdisk { error, .. } => error.code(),
            Self::Components(error) => error.code(),
            Self::Certificate { error, .. } => error.code(),
            Self::Sign(error) => error.code(),
            Self::OtherSigner(_) => "image-other-signer",
            Self::Policy(error) => error.rule(),
            Self::Build(error) => error.code(),
            Self::Usage(_) => "usage",
        }
    }

    /// The result code of an image that is malformed or wrongly signed, or of a wrong question; the other errors have
    /// none.
    pub fn result_code(&self) -> Option<ResultCode> {
        match self {
            Self::Image { error, .. } => match error {
                EifError::Io(_) | EifError::SourceChanged { .. } => None,
                EifError::Signature(SignatureError::Signer(_)) => None,
                EifError::Signature(_) => Some(ResultCode::Signature),
                _ => Some(ResultCode::Malformed),
            },
            Self::Ramdisk { .. } | Self::Components(_) => Some(ResultCode::Malformed),
            Self::OtherSigner(_) => Some(ResultCode::Signature),
            Self::Policy(error) => Some(error.code()),
            Self::Usage(_) => Some(ResultCode::Usage),
            Self::Build(_) => None,
            Self::File { .. } | Self::Read(_) | Self::Certificate { .. } | Self::Sign(_) => None,
        }
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }

    pub(crate) fn image(path: &Path) -> impl FnOnce(EifError) -> Self {
        let path = path.to_owned();
        move |error| Self::Image { path, error }
    }
}
