//! Which implementation of ECDSA does the arithmetic.
//!
//! The seam is narrow: what a public key and a signature must look like is decided before it, in [`crate::signature`],
//! once for all. A backend answers one question: does this signature hold? Both must give the same answer to every
//! question; the whole corpus and a fuzz target put the same bytes to both.

use p384::ecdsa::VerifyingKey;
use p384::ecdsa::signature::Verifier as _;

use crate::signature::{PublicKey, Signature};

/// An implementation of ECDSA on P-384 with SHA-384.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// The `p384` crate: pure Rust, runs wherever Rust does.
    Portable,
    /// AWS-LC by the `aws-lc-rs` crate: several times faster, native targets only. Built in by the feature `aws-lc`.
    #[cfg(feature = "aws-lc")]
    AwsLc,
}

impl Backend {
    /// The backends of this build, the fastest last.
    pub const ALL: &'static [Self] = &[
        Self::Portable,
        #[cfg(feature = "aws-lc")]
        Self::AwsLc,
    ];

    /// The backend's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => "aws-lc",
        }
    }

    /// Whether the signature holds for the message under the key.
    pub(crate) fn holds(self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        match self {
            Self::Portable => holds_portable(key, message, signature),
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => holds_aws_lc(key, message, signature),
        }
    }
}

impl Default for Backend {
    /// The fastest that is built in.
    fn default() -> Self {
        #[cfg(feature = "aws-lc")]
        return Self::AwsLc;
        #[cfg(not(feature = "aws-lc"))]
        return Self::Portable;
    }
}

fn holds_portable(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    let key = VerifyingKey::from_sec1_bytes(key.point());
    let signature = p384::ecdsa::Signature::from_slice(signature.bytes());
    match (key, signature) {
        (Ok(key), Ok(signature)) => key.verify(message, &signature).is_ok(),
        _ => false,
    }
}

#[cfg(feature = "aws-lc")]
fn holds_aws_lc(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key.point())
        .verify(message, signature.bytes())
        .is_ok()
}
