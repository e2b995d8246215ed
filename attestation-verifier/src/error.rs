//! Why a document was refused: one closed enum for each part of the verification, and the result code each part has.

mod certificate;
mod chain;
mod malformed;
mod refused;
mod rules;

pub use certificate::CertificateError;
pub use chain::{CertificatePosition, ChainError};
pub use malformed::{CborError, EnvelopeError, Field, MalformedError};
pub use refused::{BindingError, MeasurementsError, SignatureError, TimeError};
pub use rules::RULES;

/// Why a document is not evidence, or why evidence is not a trusted enclave.
///
/// The variants stand in the order in which they are found: a document that breaks several rules is reported under
/// the first of them (DESIGN §4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes are not a Nitro Enclaves attestation document (DESIGN §4 *Envelope*, *Payload*; AWS NSM spec §3.1,
    /// §3.2.2).
    #[error("malformed document: {0}")]
    Malformed(#[from] MalformedError),
    /// The certificates do not lead from the trusted root to the document's signer at this time (DESIGN §4 *Chain*;
    /// AWS NSM spec §3.2.3, §3.2.4; RFC 5280 §6.1).
    #[error("certificate chain refused: {0}")]
    Chain(#[from] ChainError),
    /// The document was not signed by the leaf certificate's key (DESIGN §4 *Signature*; RFC 9052 §4.4).
    #[error("document signature refused: {0}")]
    Signature(#[from] SignatureError),
    /// The document is too old, or from the future (DESIGN §4 *Time*).
    #[error("document time refused: {0}")]
    Time(#[from] TimeError),
    /// The enclave is not one that the policy names (DESIGN §4 *Policy*).
    #[error("measurements refused: {0}")]
    Measurements(#[from] MeasurementsError),
    /// The document is not bound to what the relying party expects (DESIGN §3.2, §4 result code 15).
    #[error("binding refused: {0}")]
    Binding(#[from] BindingError),
}

impl VerifyError {
    /// The result code of DESIGN §4: the same in the library, the CLI's exit status and the service.
    pub fn code(&self) -> ResultCode {
        match self {
            Self::Malformed(_) => ResultCode::Malformed,
            Self::Chain(_) => ResultCode::Chain,
            Self::Signature(_) => ResultCode::Signature,
            Self::Time(_) => ResultCode::Time,
            Self::Measurements(_) => ResultCode::Measurements,
            Self::Binding(_) => ResultCode::Binding,
        }
    }

    /// The rule that was broken, as a stable kebab-case name.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Malformed(error) => error.rule(),
            Self::Chain(error) => error.rule(),
            Self::Signature(error) => error.rule(),
            Self::Time(error) => error.rule(),
            Self::Measurements(error) => error.rule(),
            Self::Binding(error) => error.rule(),
        }
    }
}

/// The verdict as a number (DESIGN §4), also the exit status of `nacre attest verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ResultCode {
    /// The enclave is one that the policy names.
    Trusted = 0,
    /// The question was wrong: a policy without measurements, a root that is not a certificate.
    Usage = 2,
    /// [`VerifyError::Malformed`].
    Malformed = 10,
    /// [`VerifyError::Chain`].
    Chain = 11,
    /// [`VerifyError::Signature`].
    Signature = 12,
    /// [`VerifyError::Time`].
    Time = 13,
    /// [`VerifyError::Measurements`].
    Measurements = 14,
    /// [`VerifyError::Binding`].
    Binding = 15,
}

impl ResultCode {
    /// The code as a process exit status.
    pub fn exit_status(self) -> u8 {
        self as u8
    }

    /// The code's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Usage => "usage",
            Self::Malformed => "malformed",
            Self::Chain => "chain",
            Self::Signature => "signature",
            Self::Time => "time",
            Self::Measurements => "measurements",
            Self::Binding => "binding",
        }
    }
}
