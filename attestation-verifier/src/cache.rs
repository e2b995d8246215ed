//! What has been verified before: links of certificate chains.
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

use crate::signature::PublicKey;

/// Links that hold, the most recently used of them.
#[derive(Debug)]
pub(crate) struct ChainCache {
    links: Option<Mutex<LruCache<LinkHash, ()>>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// One certificate under one issuer's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LinkHash([u8; 32]);

impl LinkHash {
    pub(crate) fn of(issuer: &PublicKey, certificate: &[u8]) -> Self {
        // The key's length is fixed: the two cannot run into each other.
        let hash = Sha256::new_with_prefix(issuer.point()).chain_update(certificate);
        Self(hash.finalize().into())
    }
}

/// How often a certificate's signature did not have to be verified, and how often it had to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Signatures that were known to hold.
    pub hits: u64,
    /// Signatures that were verified.
    pub misses: u64,
}

impl ChainCache {
    /// A cache of so many links; of none, it remembers nothing.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            links: NonZeroUsize::new(capacity).map(|capacity| Mutex::new(LruCache::new(capacity))),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.links.is_some()
    }

    /// Whether the link is known to hold. It counts as used then.
    pub(crate) fn knows(&self, link: &LinkHash) -> bool {
        let known = self
            .lock()
            .is_some_and(|mut links| links.get(link).is_some());
        let counter = if known { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        known
    }

    /// Remembers links of a chain that was verified up to the trusted root.
    pub(crate) fn learn(&self, verified: &[LinkHash]) {
        let Some(mut links) = self.lock() else {
            return;
        };
        for link in verified {
            links.put(*link, ());
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// The set is whole after every statement: a panic elsewhere does not spoil it.
    fn lock(&self) -> Option<MutexGuard<'_, LruCache<LinkHash, ()>>> {
        let links = self.links.as_ref()?;
        Some(links.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u8) -> LinkHash {
        LinkHash([number; 32])
    }

    #[test]
    fn it_knows_the_most_recently_used_and_no_more() {
        let cache = ChainCache::new(2);
        cache.learn(&[link(1), link(2)]);
        assert!(cache.knows(&link(1)));
        cache.learn(&[link(3)]);
        assert!(!cache.knows(&link(2)), "the least recently used is gone");
        assert!(cache.knows(&link(1)) && cache.knows(&link(3)));
        assert_eq!(cache.stats(), CacheStats { hits: 3, misses: 1 });
    }

    #[test]
    fn without_room_it_remembers_nothing() {
        let cache = ChainCache::new(0);
        cache.learn(&[link(1)]);
        assert!(!cache.knows(&link(1)) && !cache.is_enabled());
    }
}
