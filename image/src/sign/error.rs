//! What is wrong with a signature, or with making one.

use nacre_attestation_verifier::UnixSeconds;

/// Why a signature section is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The section is not the CBOR that it must be, byte for byte.
    #[error("the section is not encoded as AWS's tool does: {0}")]
    Encoding(&'static str),
    /// The COSE_Sign1 is not what it must be, byte for byte.
    #[error("the COSE_Sign1 is not an ES384 signature as AWS's tool writes it: {0}")]
    Cose(&'static str),
    /// The certificate is not one X.509 certificate in PEM.
    #[error("the signing certificate is not one X.509 certificate in PEM: {0}")]
    Certificate(String),
    /// A certificate whose key is not on P-384.
    #[error("the signing certificate's key is not on P-384, the only curve for enclave images")]
    Curve,
    /// The payload is not this image's PCR0.
    #[error("it signs another image's PCR0")]
    OtherImage,
    /// The signature is not the certificate's.
    #[error("it was not made with the certificate's key, or has been changed")]
    Wrong,
    /// The signer's key is another than its certificate's.
    #[error("the key does not belong to the certificate")]
    KeyIsNotTheCertificates,
    /// The signer cannot sign.
    #[error("{0}")]
    Signer(#[from] SignError),
}

impl SignatureError {
    /// The rule that was broken, as a stable kebab-case name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Encoding(_) => "eif-signature-encoding",
            Self::Cose(_) => "eif-signature-cose",
            Self::Certificate(_) => "eif-signature-certificate",
            Self::Curve => "eif-signature-curve",
            Self::OtherImage => "eif-signature-other-image",
            Self::Wrong => "eif-signature-wrong",
            Self::KeyIsNotTheCertificates => "sign-key-is-not-the-certificates",
            Self::Signer(error) => error.code(),
        }
    }
}

/// Why a key cannot sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The file's text is no P-384 private key.
    #[error("the key is not a P-384 private key in PEM (PKCS#8 or SEC 1, not encrypted)")]
    Key,
    /// The certificate is not valid at this time.
    #[error("the certificate is valid from {not_before} to {not_after}, not now")]
    OutOfValidity {
        /// Its first second.
        not_before: UnixSeconds,
        /// Its last.
        not_after: UnixSeconds,
    },
    /// The PKCS#11 module or token.
    #[error("PKCS#11: {0}")]
    Pkcs11(String),
}

impl SignError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key => "sign-key",
            Self::OutOfValidity { .. } => "sign-certificate-validity",
            Self::Pkcs11(_) => "sign-pkcs11",
        }
    }
}
