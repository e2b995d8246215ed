//! Result code 11: the certificates do not lead from the trusted root to the document's signer.

use std::fmt;

use super::CertificateError;

/// Why the chain is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The bundle's first certificate is not the trusted root, byte for byte (DESIGN §3, §4 *Chain*).
    #[error("cabundle[0] is not the trusted root")]
    UntrustedRoot,
    /// One certificate is refused.
    #[error("{position}: {error}")]
    Certificate {
        /// Which one.
        position: CertificatePosition,
        /// Why.
        error: CertificateError,
    },
}

impl ChainError {
    /// The rule that was broken, as a stable kebab-case name.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::UntrustedRoot => "untrusted-root",
            Self::Certificate { error, .. } => error.rule(),
        }
    }
}

/// Where in a document a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificatePosition {
    /// `cabundle[i]`; the root is number 0 (AWS NSM spec §3.2.3).
    Bundle(usize),
    /// `certificate`, whose key signs the document.
    Leaf,
}

impl fmt::Display for CertificatePosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(index) => write!(formatter, "cabundle[{index}]"),
            Self::Leaf => formatter.write_str("certificate"),
        }
    }
}
