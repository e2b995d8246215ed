//! A verifier that is asked more than once.

use std::fmt;

use crate::backend::Backend;
use crate::cache::{Cache, CacheStats};
use crate::document::UnverifiedDocument;
use crate::error::VerifyError;
use crate::evidence::VerifiedEvidence;
use crate::roots::Roots;
use crate::time::VerificationTime;

/// How many links of certificate chains a [`Verifier`] remembers, unless it is told otherwise: about 100 bytes each.
pub const DEFAULT_CACHE_CAPACITY: usize = 4096;

/// Verifies documents against one root, remembering which certificates' signatures it has verified.
///
/// Every verdict is the one that [`verify`](crate::verify) gives: the validity of every certificate is checked at the
/// time asked, known or not. Threads may share a verifier; they wait for each other only while the memory is looked up.
///
/// ```
/// use nacre_attestation_verifier::{Roots, UnixMillis, VerificationTime, Verifier};
///
/// let verifier = Verifier::new(Roots::aws());
/// let refused = verifier.verify(b"", VerificationTime::Live(UnixMillis(1_750_000_000_000)));
/// assert_eq!(refused.unwrap_err().rule(), "cbor-truncated");
/// ```
pub struct Verifier {
    roots: Roots,
    backend: Backend,
    cache: Cache,
    documents: Cache,
}

impl Verifier {
    /// A verifier with the fastest [`Backend`] of this build, that remembers [`DEFAULT_CACHE_CAPACITY`] links.
    pub fn new(roots: Roots) -> Self {
        Self {
            cache: Cache::new(DEFAULT_CACHE_CAPACITY),
            ..Self::forgetful(roots)
        }
    }

    /// A verifier for one question: it has no memory, not even an empty one.
    pub(crate) fn forgetful(roots: Roots) -> Self {
        Self {
            roots,
            backend: Backend::default(),
            cache: Cache::new(0),
            documents: Cache::new(0),
        }
    }

    /// The same verifier with another backend.
    #[must_use]
    pub fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// The same verifier with an empty memory of so many links; 0 turns it off.
    #[must_use]
    pub fn with_cache_capacity(mut self, links: usize) -> Self {
        self.cache = Cache::new(links);
        self
    }

    /// The same verifier that also remembers so many documents whose signature it has verified; 0, as a new one has it,
    /// turns it off.
    ///
    /// It helps where the same bytes come again and again: an enclave answers all who ask at one moment with one
    /// document, each with another path to its nonce. Nothing else of a verdict is remembered.
    #[must_use]
    pub fn with_document_memory(mut self, documents: usize) -> Self {
        self.documents = Cache::new(documents);
        self
    }

    /// Verifies a document: shape, then chain, then signature (DESIGN §4).
    ///
    /// # Errors
    ///
    /// [`VerifyError::Malformed`], [`VerifyError::Chain`] or [`VerifyError::Signature`], the first that applies.
    pub fn verify(
        &self,
        bytes: &[u8],
        at: VerificationTime,
    ) -> Result<VerifiedEvidence, VerifyError> {
        UnverifiedDocument::parse(bytes)?.verify_by(self, at)
    }

    /// The root that documents must chain to.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// What does the arithmetic.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// How often the memory of certificates helped.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// How often the memory of documents helped.
    pub fn document_stats(&self) -> CacheStats {
        self.documents.stats()
    }

    pub(crate) fn documents(&self) -> &Cache {
        &self.documents
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verifier")
            .field("root", &self.roots.fingerprint())
            .field("backend", &self.backend)
            .field("cache", &self.cache_stats())
            .finish_non_exhaustive()
    }
}
