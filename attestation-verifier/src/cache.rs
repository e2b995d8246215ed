//! What has been verified before: links of certificate chains, and documents.
//!
//! Almost every document of an enclave, of an instance and of a region comes with certificates that were seen already,
//! and an ECDSA verification is nearly all that a document costs. So a verifier remembers *that a certificate's
//! signature holds under an issuer's key*, and nothing else: that fact is pure mathematics and does not age. Everything
//! that can change between two questions (validity at the time asked, the place in the chain, the trusted root) and
//! everything that is cheap is judged anew each time, on a hit as on a miss.
//!
//! The key is a hash of the issuer's public key and of the whole certificate, its signature included. With the signed
//! part alone, a certificate whose signature is broken would be refused at first and accepted once a good copy of it
//! was seen: a verdict must not depend on what the verifier met before.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use sha2::{Digest, Sha256};

use crate::envelope::SIGNATURE_BYTES;
use crate::signature::PublicKey;

/// Signatures that hold, the most recently used of them.
#[derive(Debug)]
pub(crate) struct Cache {
    known: Option<Mutex<LruCache<SignatureHash, ()>>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// One signature over something under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SignatureHash([u8; 32]);

impl SignatureHash {
    /// A certificate, which brings its signature with it, under its issuer's key.
    pub(crate) fn of_certificate(issuer: &PublicKey, certificate: &[u8]) -> Self {
        // The key's length is fixed: the two cannot run into each other.
        let hash = Sha256::new_with_prefix(issuer.point()).chain_update(certificate);
        Self(hash.finalize().into())
    }

    /// A document under its leaf's key. These are kept apart from certificates.
    pub(crate) fn of_document(
        leaf: &PublicKey,
        payload: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Self {
        let hash = Sha256::new_with_prefix(leaf.point()).chain_update(signature);
        Self(hash.chain_update(payload).finalize().into())
    }
}

/// How often a signature did not have to be verified, and how often it had to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Signatures that were known to hold.
    pub hits: u64,
    /// Signatures that were verified.
    pub misses: u64,
}

impl Cache {
    /// A cache of so many signatures; of none, it remembers nothing.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            known: NonZeroUsize::new(capacity).map(|capacity| Mutex::new(LruCache::new(capacity))),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.known.is_some()
    }

    /// Whether the signature is known to hold. It counts as used then.
    pub(crate) fn knows(&self, signature: &SignatureHash) -> bool {
        let known = self
            .lock()
            .is_some_and(|mut known| known.get(signature).is_some());
        let counter = if known { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        known
    }

    /// Remembers signatures that were verified, below a chain that leads to the trusted root.
    pub(crate) fn learn(&self, verified: &[SignatureHash]) {
        let Some(mut known) = self.lock() else {
            return;
        };
        for signature in verified {
            known.put(*signature, ());
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// The set is whole after every statement: a panic elsewhere does not spoil it.
    fn lock(&self) -> Option<MutexGuard<'_, LruCache<SignatureHash, ()>>> {
        let known = self.known.as_ref()?;
        Some(known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u8) -> SignatureHash {
        SignatureHash([number; 32])
    }

    #[test]
    fn it_knows_the_most_recently_used_and_no_more() {
        let cache = Cache::new(2);
        cache.learn(&[link(1), link(2)]);
        assert!(cache.knows(&link(1)));
        cache.learn(&[link(3)]);
        assert!(!cache.knows(&link(2)), "the least recently used is gone");
        assert!(cache.knows(&link(1)) && cache.knows(&link(3)));
        assert_eq!(cache.stats(), CacheStats { hits: 3, misses: 1 });
    }

    #[test]
    fn without_room_it_remembers_nothing() {
        let cache = Cache::new(0);
        cache.learn(&[link(1)]);
        assert!(!cache.knows(&link(1)) && !cache.is_enabled());
    }
}
