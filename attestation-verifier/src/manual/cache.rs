//! # What may be remembered of a chain
//!
//! Verifying a chain is most of what a document costs, so verifiers remember certificates. What they remember besides
//! the plain fact that a signature holds is what goes wrong.
//!
//! ## A certificate's twin takes its place
//!
//! Seen in `base/nitro-validator`, mended in pull request 35.
//!
//! Verified certificates were kept under the hash of their bytes, each with the parent that it was first seen under.
//! But (r, s) and (r, n − s) are both signatures, so that anybody can make a twin of a certificate without a key.
//! Whoever cached the twin first, and the genuine child below it, left the genuine chain with the wrong parent for
//! good.
//!
//! Here, what is remembered is one link, this certificate under this key, and nothing refers to an entry. A twin is one
//! more entry; it takes nobody's place.
//!
//! Test: `a_twin_of_a_certificate_shuts_nobody_out` in `tests/it/manual/cache.rs`.
//!
//! ## An alias of the root with bytes at its end
//!
//! Seen in `base/nitro-validator`, pull request 38.
//!
//! A byte after the root would have made a second root in the cache, of another hash and with the same key, below which
//! genuine certificates could be pinned. Another check happened to be in the way; the test for it came later.
//!
//! Here, the root is compared before anything is looked up (`untrusted-root`), and what is not below it is never
//! remembered.
//!
//! Test: `strangers_certificates_are_not_remembered` in `tests/it/manual/cache.rs`.
//!
//! ## An ancestor expires unseen
//!
//! Seen in `base/nitro-validator`, mended in pull request 69 (Cantina's review of August 2026, finding 3.2.8), and
//! `marlinprotocol/NitroProver`, `src/CertManager.sol`, `_verifyCert`.
//!
//! On a hit, the first looked at the end of the certificate and of its parent, but at none above; the second hands out
//! the key of a known certificate without looking at its validity at all, so that it never expires.
//!
//! Here, the memory holds nothing that has an end. Every certificate is read and its validity judged for each document,
//! before the memory is asked (`certificate-expired`).
//!
//! Test: `what_is_known_expires_all_the_same` in `tests/it/manual/cache.rs`.
//!
//! ## A known end entity becomes an issuer
//!
//! Seen in `base/nitro-validator`, mended in commit 4cb5774; `marlinprotocol/NitroProver`, `src/CertManager.sol`,
//! `verifyCert`.
//!
//! "Verified" was one word for both roles: a leaf that was cached as a leaf could be named as the parent of the next
//! certificate.
//!
//! Here, the role comes from the place in this document's chain, and its profile is checked each time
//! (`certificate-not-ca`).
//!
//! Test: `a_known_leaf_does_not_become_an_issuer` in `tests/it/manual/cache.rs`.
//!
//! ## A known chain that does not reach the root
//!
//! Seen in `base/nitro-validator`, mended in pull request 46 (audit finding L-01).
//!
//! The walk from a known certificate to its ancestors ended without an error where there was no next one, at the root
//! or not.
//!
//! Here, no walk starts from the memory. The document brings its whole chain, and the memory only spares arithmetic
//! (`untrusted-root`, `certificate-issuer`).
//!
//! Test: `a_known_leaf_without_its_issuer_is_no_chain` in `tests/it/manual/cache.rs`.
//!
//! ## The memory decides
//!
//! Seen in `base/nitro-validator`, pull request 29 (review): a list of revoked certificates that went by bytes.
//!
//! Whatever goes by a certificate's bytes, for good or ill, can be asked about other bytes. And if a memory goes by the
//! signed part alone, a certificate whose signature is spoilt is refused by one verifier and accepted by another, which
//! has met a good copy.
//!
//! Here, the key of an entry covers the issuer's key and the whole certificate with its signature: a verdict does not
//! depend on what was asked before. Revocation is not consulted, as AWS prescribes.
//!
//! Test: `a_known_certificate_with_a_spoilt_signature_is_unknown` in `tests/it/manual/cache.rs`.
//!
//! Test: `a_known_chain_vouches_for_no_other_document` in `tests/it/manual/cache.rs`.
