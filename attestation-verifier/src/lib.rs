//! Bytes of an AWS Nitro Enclaves attestation document in, a trusted enclave out.
//!
//! The crate decides; it does no I/O and has no clock and no randomness. Everything it needs (the bytes, the trusted
//! root, the time, the policy) is given, so that the same question has the same answer in a client, in a service, in a
//! browser and years later.
//!
//! Trust is a matter of types. Each stage has one way in:
//!
//! 1. [`UnverifiedDocument`]: the bytes have a document's shape. Its claims may be looked at, never relied on.
//! 2. [`VerifiedEvidence`]: the trusted root's PKI signed this document. Only [`verify`] makes it.
//! 3. [`TrustedEnclave`]: the document is fresh and the enclave is one that a [`Policy`] names. Only
//!    [`VerifiedEvidence::appraise`] makes it, and a policy without measurements cannot be built.
//!
//! ```
//! use nacre_attestation_verifier::{Policy, Roots, TrustedEnclave, UnixMillis, VerificationTime, verify};
//!
//! fn check(document: &[u8], nonce: &[u8], policy: &[u8], now_ms: u64) -> Result<TrustedEnclave, Box<dyn std::error::Error>> {
//!     let policy = Policy::from_json(policy)?;
//!     let evidence = verify(document, &Roots::aws(), VerificationTime::Live(UnixMillis(now_ms)))?;
//!     evidence.require_nonce(nonce)?;
//!     Ok(evidence.appraise(&policy)?)
//! }
//! ```
//!
//! A document is not an identifier: ECDSA lets anybody turn a signature (r, s) into (r, n − s), and AWS sends both
//! kinds, so two different byte strings can be the same evidence.
//!
//! A caller with many documents keeps a [`Verifier`], which remembers the certificates that it has verified. What does
//! the arithmetic is a [`Backend`], chosen when the crate is built.
//!
//! Rules cite their source: "DESIGN §4" is the project's design, "AWS NSM spec" is `docs/attestation_process.md` of
//! `aws/aws-nitro-enclaves-nsm-api`. Certificate revocation is not consulted, as that document (§3.2.4) prescribes.

mod backend;
mod cache;
mod cbor;
mod certificate;
mod certificate_time;
mod chain;
mod der_rules;
mod document;
mod envelope;
mod error;
mod evidence;
mod extensions;
pub mod manual;
mod payload;
mod pcr;
mod policy;
mod policy_json;
mod roots;
mod signature;
mod time;
mod verifier;

pub use backend::Backend;
pub use cache::CacheStats;
pub use document::{UnverifiedDocument, verify};
pub use error::{
    BindingError, CborError, CertificateError, CertificatePosition, ChainError, EnvelopeError,
    Field, MalformedError, MeasurementsError, RULES, ResultCode, SignatureError, TimeError,
    VerifyError,
};
pub use evidence::{TrustedEnclave, VerifiedEvidence};
pub use payload::DocumentClaims;
pub use pcr::{ImageMeasurements, Pcr, PcrError};
pub use policy::{DEFAULT_MAX_AGE, Measurements, Policy, PolicyError};
pub use roots::{AWS_ROOT_SHA256, RootKind, Roots, RootsError};
pub use time::{FUTURE_TOLERANCE, TimeSyntaxError, UnixMillis, UnixSeconds, VerificationTime};
pub use verifier::{DEFAULT_CACHE_CAPACITY, Verifier};
