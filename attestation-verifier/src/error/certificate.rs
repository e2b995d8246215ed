//! What can be wrong with one certificate.

use der::asn1::ObjectIdentifier;

/// Why one certificate is refused, wherever in the chain it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not strict DER of an X.509 certificate (RFC 5280 §4.1; X.690 §10).
    #[error("not strict DER: {0}")]
    Der(&'static str),
    /// Bytes after the certificate, or after one of its parts (DESIGN §4 *Chain*).
    #[error("bytes follow the {0}")]
    TrailingBytes(&'static str),
    /// Not X.509 version 3 (RFC 5280 §4.1.2.1).
    #[error("not X.509 version 3")]
    Version,
    /// A serial number that is not positive, or longer than 21 octets (RFC 5280 §4.1.2.2; DESIGN §4 *Chain*).
    #[error("a serial number that is not positive, or longer than 21 octets")]
    SerialNumber,
    /// Signed with something other than ecdsa-with-SHA384, inside or outside (RFC 5280 §4.1.1.2, §4.1.2.3; RFC 5758
    /// §3.2).
    #[error("the signature algorithm is not ecdsa-with-SHA384")]
    SignatureAlgorithm,
    /// A signature that is not a strict DER ECDSA-Sig-Value with r and s in range (RFC 5758 §3.2).
    #[error("the signature value is not a DER pair of numbers in range")]
    SignatureEncoding,
    /// An issuer or subject that is empty or not a distinguished name (RFC 5280 §4.1.2.4, §4.1.2.6).
    #[error("the {0} is empty or not a distinguished name")]
    Name(&'static str),
    /// A validity that is not two times in the form RFC 5280 §4.1.2.5 demands.
    #[error("the validity is not two times in RFC 5280's form")]
    ValidityEncoding,
    /// A public key that is not on the named curve P-384 (RFC 5480 §2.1.1).
    #[error("the public key is not one for the named curve P-384")]
    PublicKeyAlgorithm,
    /// A public key that is not an uncompressed point of the curve (RFC 5480 §2.2).
    #[error("the public key is not an uncompressed point on P-384")]
    PublicKeyPoint,
    /// An issuer or subject unique identifier (RFC 5280 §4.1.2.8 forbids making them).
    #[error("a unique identifier, which no conforming CA makes")]
    UniqueIdentifier,
    /// An extension stands twice (RFC 5280 §4.2).
    #[error("extension {0} stands twice")]
    DuplicateExtension(ObjectIdentifier),
    /// A critical extension that this verifier does not process (RFC 5280 §4.2).
    #[error("unknown critical extension {0}")]
    UnknownCriticalExtension(ObjectIdentifier),
    /// The time of verification is before the certificate's validity (AWS NSM spec §3.2.3.1).
    #[error("not valid before {not_before} (Unix seconds)")]
    NotYetValid {
        /// Start of the validity, Unix seconds.
        not_before: i64,
    },
    /// The time of verification is after the certificate's validity (AWS NSM spec §3.2.3.1).
    #[error("expired at {not_after} (Unix seconds)")]
    Expired {
        /// End of the validity, Unix seconds.
        not_after: i64,
    },
    /// A certificate of the bundle that is not a CA's (RFC 5280 §4.2.1.9; AWS NSM spec §3.2.3.2).
    #[error("not a CA certificate")]
    NotCa,
    /// A CA certificate whose basic constraints are not critical (RFC 5280 §4.2.1.9).
    #[error("the basic constraints are not critical")]
    BasicConstraintsNotCritical,
    /// A CA certificate whose key may not sign certificates (RFC 5280 §4.2.1.3; AWS NSM spec §3.2.3.3).
    #[error("the key usage lacks keyCertSign")]
    KeyCertSign,
    /// More CA certificates follow than the path length allows (RFC 5280 §4.2.1.9; AWS NSM spec §3.2.3.3).
    #[error("{following} CA certificates follow, but its path length allows {limit}")]
    PathLength {
        /// How many CA certificates follow in the chain.
        following: usize,
        /// How many may.
        limit: u64,
    },
    /// The leaf is a CA, or its key may sign certificates (DESIGN §4 *Chain*; RFC 5280 §4.2.1.3).
    #[error("the signer of the document is a CA")]
    LeafIsCa,
    /// A path length on a certificate that is no CA (RFC 5280 §4.2.1.9; AWS NSM spec §3.2.3.3).
    #[error("a path length on a certificate that is not a CA's")]
    LeafPathLength,
    /// The leaf's key may not sign documents (AWS NSM spec §3.2.3.3).
    #[error("the key usage lacks digitalSignature")]
    DigitalSignature,
    /// The certificate also stands elsewhere in the chain (RFC 5280 §6.1).
    #[error("it stands twice in the chain")]
    Repeated,
    /// The issuer is not, byte for byte, the subject of the certificate before it (RFC 5280 §6.1.3 (a)(4)).
    #[error("the issuer is not the subject of the certificate before it")]
    IssuerMismatch,
    /// Not signed by the key of the certificate before it (RFC 5280 §6.1.3 (a)(1)).
    #[error("not signed by the certificate before it")]
    BadSignature,
}

impl CertificateError {
    /// The rule that was broken, as a stable kebab-case name.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Der(_) => "certificate-der",
            Self::TrailingBytes(_) => "certificate-trailing-bytes",
            Self::Version => "certificate-version",
            Self::SerialNumber => "certificate-serial-number",
            Self::SignatureAlgorithm => "certificate-signature-algorithm",
            Self::SignatureEncoding => "certificate-signature-encoding",
            Self::Name(_) => "certificate-name",
            Self::ValidityEncoding => "certificate-validity-encoding",
            Self::PublicKeyAlgorithm => "certificate-public-key-algorithm",
            Self::PublicKeyPoint => "certificate-public-key-point",
            Self::UniqueIdentifier => "certificate-unique-identifier",
            Self::DuplicateExtension(_) => "certificate-duplicate-extension",
            Self::UnknownCriticalExtension(_) => "certificate-critical-extension",
            Self::NotYetValid { .. } => "certificate-not-yet-valid",
            Self::Expired { .. } => "certificate-expired",
            Self::NotCa => "certificate-not-ca",
            Self::BasicConstraintsNotCritical => "certificate-basic-constraints-critical",
            Self::KeyCertSign => "certificate-key-cert-sign",
            Self::PathLength { .. } => "certificate-path-length",
            Self::LeafIsCa => "leaf-is-ca",
            Self::LeafPathLength => "leaf-path-length",
            Self::DigitalSignature => "leaf-digital-signature",
            Self::Repeated => "certificate-repeated",
            Self::IssuerMismatch => "certificate-issuer",
            Self::BadSignature => "certificate-signature",
        }
    }
}
