//! Result codes 12 to 15: a well-formed document that is not what the relying party asked for.

use crate::time::UnixSeconds;

/// Why the document's signature is refused (result code 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// r or s is zero or not below the order of the curve (FIPS 186-5 §6.4.2). A high s is legal.
    #[error("r or s is out of range")]
    OutOfRange,
    /// The signature does not hold over the bytes received (RFC 9052 §4.4).
    #[error("it does not hold under the leaf certificate's key")]
    Invalid,
}

impl SignatureError {
    /// The rule that was broken, as a stable kebab-case name.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::OutOfRange => "signature-range",
            Self::Invalid => "signature-invalid",
        }
    }
}

/// Why the document's timestamp is refused (result code 13; DESIGN §4 *Time*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Older than the policy allows.
    #[error("{age_ms} ms old; the policy allows {max_age_ms}")]
    TooOld {
        /// The document's age at the time of verification.
        age_ms: u64,
        /// The policy's maximum.
        max_age_ms: u64,
    },
    /// Further in the future than clocks may differ.
    #[error("{ahead_ms} ms in the future; clocks may differ by {tolerance_ms}")]
    Future {
        /// How far ahead of the time of verification.
        ahead_ms: u64,
        /// How far ahead it may be.
        tolerance_ms: u64,
    },
}

impl TimeError {
    /// The rule that was broken, as a stable kebab-case name.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::TooOld { .. } => "document-too-old",
            Self::Future { .. } => "document-from-future",
        }
    }
}

/// Why the enclave is not one that the policy names (result code 14; DESIGN §4 *Policy*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeasurementsError {
    /// PCR0, PCR1 or PCR2 is not in the document.
    #[error("the document has no PCR{0}")]
    MissingPcr(u8),
    /// One or two of PCR0, PCR1 and PCR2 are zero: neither a measured image nor debug mode.
    #[error("some of PCR0, PCR1 and PCR2 are zero, but not all")]
    PartlyZero,
    /// PCR0, PCR1 and PCR2 are zero, which is debug mode, and the policy does not allow it.
    #[error("a debug enclave (PCR0, PCR1 and PCR2 are zero), which the policy does not allow")]
    Debug,
    /// No set of the policy has these PCRs.
    #[error("the PCRs equal none of the policy's sets")]
    NoMatch,
    /// A set of the policy has these PCRs, but is not trusted yet.
    #[error("the PCRs equal a set that the policy trusts only from {not_before}")]
    NotYetValid {
        /// The first second at which it is.
        not_before: UnixSeconds,
    },
    /// A set of the policy has these PCRs, but is no longer trusted.
    #[error("the PCRs equal a set that the policy trusted until {not_after}")]
    Expired {
        /// The last second at which it was.
        not_after: UnixSeconds,
    },
}

impl MeasurementsError {
    /// The rule that was broken, as a stable kebab-case name.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::MissingPcr(_) => "pcr-missing",
            Self::PartlyZero => "pcr-partly-zero",
            Self::Debug => "debug-enclave",
            Self::NoMatch => "measurement-mismatch",
            Self::NotYetValid { .. } => "measurement-not-yet-valid",
            Self::Expired { .. } => "measurement-expired",
        }
    }
}

/// Which of the enclave's own values is not the expected one (result code 15; DESIGN §3.1, §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// `nonce` is absent or another.
    #[error("nonce is absent or not the expected one")]
    Nonce,
    /// `user_data` is absent or another.
    #[error("user_data is absent or not the expected one")]
    UserData,
    /// `public_key` is absent or another.
    #[error("public_key is absent or not the expected one")]
    PublicKey,
}

impl BindingError {
    /// The rule that was broken, as a stable kebab-case name.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Nonce => "nonce-mismatch",
            Self::UserData => "user-data-mismatch",
            Self::PublicKey => "public-key-mismatch",
        }
    }
}
