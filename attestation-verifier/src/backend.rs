//! Which implementation of ECDSA does the arithmetic.
//!
//! The seam is narrow: what a public key and a signature must look like is decided before it, in [`crate::signature`],
//! once for all. A backend answers two questions: is this a point of the curve, and does this signature hold? Both
//! must give the same answer to every question; the whole corpus and a fuzz target put the same bytes to both.

#[cfg(feature = "aws-lc")]
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, ParsedPublicKey};
use p384::ecdsa::VerifyingKey;
use p384::ecdsa::signature::Verifier as _;

use crate::signature::{POINT_BYTES, Signature};

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

    /// Reads 0x04 ‖ X ‖ Y; nothing where that is no point of the curve.
    pub(crate) fn key(self, point: &[u8; POINT_BYTES]) -> Option<Key> {
        match self {
            Self::Portable => VerifyingKey::from_sec1_bytes(point).ok().map(Key::Portable),
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                .ok()
                .map(Key::AwsLc),
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

/// A public key as a backend keeps it.
#[derive(Debug)]
pub(crate) enum Key {
    Portable(VerifyingKey),
    #[cfg(feature = "aws-lc")]
    AwsLc(ParsedPublicKey),
}

impl Key {
    /// Whether the signature holds for the message.
    pub(crate) fn holds(&self, message: &[u8], signature: &Signature) -> bool {
        match self {
            Self::Portable(key) => p384::ecdsa::Signature::from_slice(signature.bytes())
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            #[cfg(feature = "aws-lc")]
            Self::AwsLc(key) => key.verify_sig(message, signature.bytes()).is_ok(),
        }
    }
}
