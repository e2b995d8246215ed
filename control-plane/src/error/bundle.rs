//! What can go wrong with blobs, and with the functions made of them.

use nacre_protocol::bundle::BundleError;
use nacre_protocol::digest::Digest;
use nacre_protocol::manifest::ManifestError;

/// An upload that leaves nothing behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The bytes hash to something else.
    #[error("the bytes that arrived hash to {got}, not to {expected}")]
    Mismatch {
        /// The digest in the path.
        expected: Digest,
        /// The digest of what arrived.
        got: Digest,
    },
    /// Larger than this control plane stores.
    #[error("a blob may have {0} bytes here")]
    TooLarge(u64),
    /// The connection ended early.
    #[error("the upload broke off: send it again")]
    Incomplete,
    /// No byte came for too long.
    #[error("no byte came for {0} s: send the blob again")]
    Stalled(u64),
}

impl UploadError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Mismatch { .. } => (
                422,
                "digest-mismatch",
                "The bytes are not those of the digest.",
            ),
            Self::TooLarge(_) => (413, "blob-too-large", "The blob is too large."),
            Self::Incomplete => (400, "upload-incomplete", "The upload broke off."),
            Self::Stalled(_) => (408, "upload-stalled", "The upload stalled."),
        }
    }
}

/// Blobs that are stored but make no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// The manifest or layers are not all there.
    #[error("not uploaded yet: {0}; PUT /v1/blobs/{{digest}} first")]
    Missing(String),
    /// A layer has another length than the manifest says.
    #[error("layer {name:?} has {stored} bytes, the manifest says {claimed}")]
    Size {
        /// The file.
        name: String,
        /// Bytes stored.
        stored: u64,
        /// Bytes in the manifest.
        claimed: u64,
    },
    /// Not a bundle's manifest.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A `nacre.toml` that describes no function.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// `[model] file` is not in the bundle.
    #[error("the bundle has no file {0:?}, which [model] file names")]
    ModelMissing(String),
}

impl VersionError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Missing(_) => (
                422,
                "blob-missing",
                "Blobs of the function are not uploaded.",
            ),
            Self::Size { .. } => (
                422,
                "layer-size",
                "A layer has another size than the manifest says.",
            ),
            Self::Bundle(_) => (
                422,
                "bundle-invalid",
                "The blob is no function's OCI manifest.",
            ),
            Self::Manifest(_) => (
                422,
                "manifest-invalid",
                "The nacre.toml describes no function.",
            ),
            Self::ModelMissing(_) => (422, "model-missing", "The model file is not in the bundle."),
        }
    }
}
