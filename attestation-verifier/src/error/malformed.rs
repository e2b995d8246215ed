//! Result code 10: the bytes are not a Nitro Enclaves attestation document.

use std::fmt;

/// Why the bytes are not a Nitro Enclaves attestation document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedError {
    /// Longer than 16 KiB (DESIGN §4 *Envelope*).
    #[error("{length} bytes; a document has at most {limit}")]
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The COSE_Sign1 envelope is not the one that Nitro makes.
    #[error("COSE envelope: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The payload, or a value in it, is not CBOR as this verifier accepts it.
    #[error("{field}: {error}")]
    Cbor {
        /// Where in the payload.
        field: Field,
        /// What is wrong there.
        error: CborError,
    },
    /// A NitroTPM document: signed by the same root, but its PCRs mean something else (DESIGN §4 *Payload*).
    #[error("this is a NitroTPM document, not one of a Nitro Enclave")]
    NitroTpm,
    /// A key stands twice in the payload (DESIGN §4 *Payload*; RFC 8949 §5.6).
    #[error("{0} stands twice")]
    DuplicateField(Field),
    /// More entries in the payload's map than a document can need (DESIGN §4 *Payload*, count bombs).
    #[error("more than {limit} keys in the payload")]
    TooManyKeys {
        /// How many there may be.
        limit: usize,
    },
    /// A key that this verifier does not know is too long, or holds control characters.
    #[error("an unknown key is longer than {limit} bytes, empty, or holds control characters")]
    UnknownKey {
        /// How long a key may be.
        limit: usize,
    },
    /// A mandatory key is absent (AWS NSM spec §3.2.2.1).
    #[error("{0} is missing")]
    MissingField(Field),
    /// `module_id` is empty, too long, or holds control characters (AWS NSM spec §3.2.2.2).
    #[error("module_id is empty, longer than {limit} bytes, or holds control characters")]
    ModuleId {
        /// How long it may be.
        limit: usize,
    },
    /// `digest` is not `SHA384` (AWS NSM spec §3.2.2.2).
    #[error("digest is not SHA384")]
    Digest,
    /// `timestamp` is zero (AWS NSM spec §3.2.2.2).
    #[error("timestamp is zero")]
    Timestamp,
    /// No PCR, or more than 32 (AWS NSM spec §3.2.2.2).
    #[error("{0} PCRs; a document has 1 to 32")]
    PcrCount(u64),
    /// A PCR index of 32 or more (AWS NSM spec §3.2.2.2).
    #[error("PCR index {0} is not below 32")]
    PcrIndex(u64),
    /// A PCR that is not 48 bytes long, the size of SHA-384 (DESIGN §4 *Payload*).
    #[error("PCR{index} has {length} bytes, not 48")]
    PcrLength {
        /// Which PCR.
        index: u8,
        /// How long it is.
        length: usize,
    },
    /// A PCR stands twice (DESIGN §4 *Payload*).
    #[error("PCR{0} stands twice")]
    DuplicatePcr(u8),
    /// No certificate in the CA bundle (AWS NSM spec §3.2.2.2), or more than this verifier looks at.
    #[error("{count} certificates in cabundle; a document has 1 to {limit}")]
    BundleCount {
        /// How many there are.
        count: u64,
        /// How many there may be.
        limit: usize,
    },
    /// A certificate that is empty or longer than 1024 bytes (AWS NSM spec §3.2.2.2).
    #[error("a certificate in {field} has {length} bytes; it may have 1 to {limit}")]
    CertificateLength {
        /// `certificate` or `cabundle`.
        field: Field,
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// `public_key`, `user_data` or `nonce` longer than 1024 bytes (DESIGN §4 *Payload*).
    #[error("{field} has {length} bytes; it may have {limit}")]
    UserFieldLength {
        /// Which of the three.
        field: Field,
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
}

impl MalformedError {
    /// The rule that was broken, as a stable kebab-case name.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "document-too-long",
            Self::Envelope(error) => error.rule(),
            Self::Cbor { error, .. } => error.rule(),
            Self::NitroTpm => "nitrotpm-document",
            Self::DuplicateField(_) => "duplicate-key",
            Self::TooManyKeys { .. } => "too-many-keys",
            Self::UnknownKey { .. } => "unknown-key-shape",
            Self::MissingField(_) => "missing-key",
            Self::ModuleId { .. } => "module-id",
            Self::Digest => "digest-algorithm",
            Self::Timestamp => "timestamp-zero",
            Self::PcrCount(_) => "pcr-count",
            Self::PcrIndex(_) => "pcr-index",
            Self::PcrLength { .. } => "pcr-length",
            Self::DuplicatePcr(_) => "duplicate-pcr",
            Self::BundleCount { .. } => "cabundle-count",
            Self::CertificateLength { .. } => "certificate-length",
            Self::UserFieldLength { .. } => "user-field-length",
        }
    }
}

/// A part of the payload, for errors to point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the payload's own keys")]
pub enum Field {
    /// The payload's map itself.
    Payload,
    ModuleId,
    Digest,
    Timestamp,
    Pcrs,
    Certificate,
    CaBundle,
    PublicKey,
    UserData,
    Nonce,
    /// A key that this verifier does not know.
    Unknown,
}

impl Field {
    /// The key as it stands in the payload; words in brackets for what has no key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Payload => "(payload)",
            Self::ModuleId => "module_id",
            Self::Digest => "digest",
            Self::Timestamp => "timestamp",
            Self::Pcrs => "pcrs",
            Self::Certificate => "certificate",
            Self::CaBundle => "cabundle",
            Self::PublicKey => "public_key",
            Self::UserData => "user_data",
            Self::Nonce => "nonce",
            Self::Unknown => "(unknown key)",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Why the outer structure is not the COSE_Sign1 that Nitro makes (RFC 9052 §4.2; AWS NSM spec §3.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not CBOR as this verifier accepts it; also any tag but 18, and bytes after the envelope.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// Not an array of four elements (RFC 9052 §4.2).
    #[error("{0} elements, not 4")]
    ElementCount(u64),
    /// The protected header is not exactly `{1: -35}`, ES384 (AWS NSM spec §3.1).
    #[error("the protected header is not exactly {{1: -35}}")]
    ProtectedHeader,
    /// The unprotected header is not empty (AWS NSM spec §3.1).
    #[error("the unprotected header is not empty")]
    UnprotectedHeader,
    /// The signature is not 96 bytes (RFC 9053 §2.1 for P-384).
    #[error("the signature has {0} bytes, not 96")]
    SignatureLength(usize),
}

impl EnvelopeError {
    fn rule(&self) -> &'static str {
        match self {
            Self::Cbor(error) => error.rule(),
            Self::ElementCount(_) => "envelope-elements",
            Self::ProtectedHeader => "protected-header",
            Self::UnprotectedHeader => "unprotected-header",
            Self::SignatureLength(_) => "signature-length",
        }
    }
}

/// Why bytes are not CBOR as this verifier accepts it (RFC 8949).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The bytes end inside a value.
    #[error("the bytes end inside a value")]
    Truncated,
    /// Bytes after the value (DESIGN §4 *Envelope*, "nothing after it").
    #[error("bytes follow the value")]
    TrailingBytes,
    /// Another CBOR type, or another tag, than the one that belongs here.
    #[error("a value of another type than belongs here")]
    UnexpectedType,
    /// A break where no indefinite-length item is open (RFC 8949 §3.2.1).
    #[error("a break outside of an indefinite-length item")]
    UnexpectedBreak,
    /// A string in chunks (DESIGN §4 *Payload*).
    #[error("a string in chunks")]
    ChunkedString,
    /// Indefinite length where only the definite form is accepted (DESIGN §4 *Payload*: the top map alone has both).
    #[error("indefinite length where the length must be given")]
    IndefiniteLength,
    /// An integer or length that is not in its shortest form (RFC 8949 §4.2.1).
    #[error("an integer or length that is not in its shortest form")]
    NotShortest,
    /// Additional information that RFC 8949 §3 reserves.
    #[error("a reserved value in a head")]
    Reserved,
    /// A text string that is not UTF-8 (RFC 8949 §3.1).
    #[error("a text string that is not UTF-8")]
    InvalidUtf8,
    /// Nested deeper than any document needs (DESIGN §4 *Payload*, depth bombs).
    #[error("nested too deep")]
    TooDeep,
    /// More items in one value than any document needs (DESIGN §4 *Payload*, count bombs).
    #[error("too many items in one value")]
    TooManyItems,
}

impl CborError {
    fn rule(self) -> &'static str {
        match self {
            Self::Truncated => "cbor-truncated",
            Self::TrailingBytes => "cbor-trailing-bytes",
            Self::UnexpectedType => "cbor-type",
            Self::UnexpectedBreak => "cbor-break",
            Self::ChunkedString => "cbor-chunked-string",
            Self::IndefiniteLength => "cbor-indefinite-length",
            Self::NotShortest => "cbor-not-shortest",
            Self::Reserved => "cbor-reserved",
            Self::InvalidUtf8 => "cbor-utf8",
            Self::TooDeep => "cbor-depth",
            Self::TooManyItems => "cbor-count",
        }
    }
}
