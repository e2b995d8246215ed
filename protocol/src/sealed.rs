//! Sealed jobs (DESIGN §6): inputs that only attested enclaves can open, and results that only the caller can.
//!
//! **Input.** A random content key encrypts the [`JobInput`] once, with ChaCha20-Poly1305. The content key is wrapped to each
//! of the enclaves that may run the job, by HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305) with the info `nacre/job/v1`. The caller takes the enclaves' keys from identity statements that
//! verified evidence vouches for, so no other machine can open it, and a lease can only move among those.
//!
//! **Binding.** Both encryptions have the same associated data, 88 bytes of fixed-width fields:
//!
//! | bytes | field |
//! |---|---|
//! | 32 | function digest |
//! | 16 | job id |
//! | 32 | result public key, X25519 |
//! | 8 | deadline, Unix milliseconds, big-endian |
//!
//! The enclave makes them from what it is about to do, not from what it is told the caller meant: the function that it
//! will run, the id that it will sign, the key that it will seal the result to, the deadline that it holds to attested
//! time. If the host changes any of them, the job does not open.
//!
//! **Result.** The [`JobResult`] is sealed by HPKE to the result public key, with the info `nacre/job-result/v1`. Its
//! associated data are those 88 bytes, then what the [`SealedResult`] says in the open: 2 bytes of HTTP status, big-endian,
//! and 32 bytes, the EIP-712 hash of the receipt inside. Base mode does not prove who sealed: anybody can encrypt to a public
//! key. The receipt inside proves it, and [`OpenedResult`] gives out nothing whose receipt was not checked.
//!
//! **Fresh keys.** A content key encrypts one input, and an HPKE context one message, so every nonce is the first one (zero).
//! Functions here draw no randomness: they take 32 bytes of *entropy*, which must come from the operating system's generator
//! and be used for one call only.

use core::fmt;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng as _;
use hpke::{Deserializable as _, Kem as _, Serializable as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::job::{JobSyntaxError, JobTerms};
use crate::receipt::ReceiptError;

#[cfg(doc)]
use crate::job::{JobInput, JobResult};

mod job;
mod result;
#[cfg(test)]
mod tests;

pub use job::{MAX_RECIPIENTS, SealedJob};
pub use result::{OpenedResult, ResultSealer, SealedResult};

const JOB_INFO: &[u8] = b"nacre/job/v1";
const RESULT_INFO: &[u8] = b"nacre/job-result/v1";
/// Bytes that a tag adds to what is encrypted.
const TAG: usize = 16;

type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;
type Encapsulated = <Kem as hpke::Kem>::EncappedKey;
type PublicKey = <Kem as hpke::Kem>::PublicKey;

/// An X25519 private key: the enclave's, or the one that a caller makes for one job's result. Wiped when dropped.
#[derive(Clone)]
pub struct SealingSecret(<Kem as hpke::Kem>::PrivateKey);

impl SealingSecret {
    /// Takes 32 random bytes as a private key.
    #[expect(
        clippy::expect_used,
        reason = "the length is the only thing that is looked at"
    )]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let key = <Kem as hpke::Kem>::PrivateKey::from_bytes(bytes);
        Self(key.expect("32 bytes are an X25519 private key"))
    }

    /// The bytes, for a caller who fetches the result in another process.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        self.0.write_exact(&mut *bytes);
        bytes
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        Kem::sk_to_pk(&self.0).to_bytes().into()
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingSecret").finish_non_exhaustive()
    }
}

/// How an envelope names the key of a recipient: by its SHA-256.
pub fn key_id(public_key: &[u8; 32]) -> [u8; 32] {
    Sha256::digest(public_key).into()
}

/// Why something was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// No recipient, or more than [`MAX_RECIPIENTS`].
    #[error("a job is sealed to 1 to {MAX_RECIPIENTS} enclaves, not {0}")]
    Recipients(usize),
    /// One key is there twice.
    #[error("one enclave's key is there twice")]
    SameRecipientTwice,
    /// A public key to which nothing can be sealed: a point of small order.
    #[error("the X25519 public key is not one that anything can be sealed to")]
    Key,
    /// More bytes than [`crate::job::MAX_JOB_BYTES`].
    #[error("what is to be sealed is too long")]
    TooLong,
}

impl SealError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Recipients(_) => "recipient-count",
            Self::SameRecipientTwice => "recipient-twice",
            Self::Key => "sealing-key-invalid",
            Self::TooLong => "job-too-large",
        }
    }
}

/// Why something sealed was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The job is sealed to others.
    #[error("it is sealed to other keys than this one")]
    NotARecipient,
    /// The key fits, and it does not open: it was changed, or is used for another job, function, result key or deadline.
    #[error(
        "it does not open: it was changed, or sealed for another job, function, result key or deadline"
    )]
    CannotOpen,
    /// What was inside is not what it should be.
    #[error(transparent)]
    Content(#[from] JobSyntaxError),
    /// The envelope says another status or receipt than the result inside.
    #[error("the envelope and the result inside contradict each other")]
    Contradiction,
    /// The result's receipt does not prove it.
    #[error("the result's receipt: {0}")]
    Receipt(#[from] ReceiptError),
}

impl OpenError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotARecipient => "not-a-recipient",
            Self::CannotOpen => "cannot-open",
            Self::Content(_) => "sealed-content-malformed",
            Self::Contradiction => "sealed-contradiction",
            Self::Receipt(_) => "receipt-refused",
        }
    }
}

/// The 88 bytes that both encryptions of an input have as associated data.
fn associated_data(terms: &JobTerms, result_key: &[u8; 32]) -> [u8; 88] {
    let mut bytes = [0; 88];
    bytes[..32].copy_from_slice(terms.function.as_bytes());
    bytes[32..48].copy_from_slice(terms.job.as_bytes());
    bytes[48..80].copy_from_slice(result_key);
    bytes[80..].copy_from_slice(&terms.deadline_ms.to_be_bytes());
    bytes
}

fn public_key(bytes: &[u8; 32]) -> Result<PublicKey, SealError> {
    PublicKey::from_bytes(bytes).map_err(|_| SealError::Key)
}

/// Everything random in one call comes out of its entropy by this generator.
fn random(entropy: &[u8; 32]) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(*entropy)
}
