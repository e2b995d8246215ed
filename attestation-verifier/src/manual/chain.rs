//! # From the trusted root to the key that signs
//!
//! ## An empty bundle is taken for a chain
//!
//! Seen in `marlinprotocol/oyster-monorepo`, `sdks/rs/src/attestation.rs`, `verify_cert_chain`, and in
//! `evervault/attestation-doc-validation`, `attestation_doc.rs`.
//!
//! The first walks over the pairs of neighbours in the chain. A chain of the leaf alone has no pairs, so that nothing
//! is verified, and the leaf's own key is returned as the root's. The second asks of *all* certificates in the bundle
//! that they have a proper length, which is true of none at all. Where nobody compares the root afterwards, a document
//! that anybody made is evidence.
//!
//! Here, a bundle has 1 to 8 certificates (`cabundle-count`) and its first is the trusted root (`untrusted-root`): the
//! shortest chain is a root and a leaf.
//!
//! Test: `an_empty_bundle_proves_nothing` in `tests/it/manual/chain.rs`.
//!
//! ## The document brings its own root
//!
//! Seen in `marlinprotocol/oyster-monorepo`, `sdks/rs/src/attestation.rs`, and `EternisAI/remote-attestation-verifier`,
//! an early version of `src/lib.rs`.
//!
//! In the first, the expected root key is one of many optional expectations, and the default expects nothing: the chain
//! is verified up to whichever root stands in the document. The second put the document's own signing certificate into
//! the store of trusted roots. An attacker makes a PKI in a second, with AWS's names in it.
//!
//! Here, nothing is verified without [`Roots`](crate::Roots), and the bundle's first certificate must equal that root
//! byte for byte (`untrusted-root`); its names and its signature upon itself count for nothing.
//!
//! Test: `a_root_that_the_document_brings_is_not_trusted` in `tests/it/manual/chain.rs`.
//!
//! ## Certificates of the bundle become trust anchors
//!
//! Seen in `richardfan1126/nitro-enclave-python-demo`, `attestation_verifier.py`, and `reclaimprotocol/attestor-core`,
//! `src/server/utils/nitro-attestation.ts`.
//!
//! The first adds all but the first certificate of the bundle to the same store as the AWS root, and what is in the
//! store is trusted. The second lets a library build a chain out of the AWS root and the bundle together, and checks
//! each link of what comes back, but not that it ends at the AWS root. An attacker's self-signed root, put into the
//! bundle, ends the search.
//!
//! Here, the chain is not searched for: certificate *i* is issued by certificate *i − 1* and the first is the root
//! (`certificate-issuer`, `certificate-signature`). Trust comes from the root alone.
//!
//! Test: `a_certificate_of_the_bundle_is_no_trust_anchor` in `tests/it/manual/chain.rs`.
//!
//! ## Without a root, the chain is left out
//!
//! Seen in `richardfan1126/nitro-enclave-python-demo`, `attestation_verifier.py`; a store of roots that may be empty
//! and still counts as set up, in `aptos-labs/aptos-core`, pull request 20103 (review).
//!
//! The root is an argument that defaults to none, and with none the certificates are not verified at all, while the
//! signature under the document's own certificate still is. The result looks like a verification.
//!
//! Here, [`verify`](crate::verify) takes a root, not an option of one, and an empty file is not a root: a wrong
//! question (result code 2), not a lenient answer.
//!
//! Test: `without_a_root_there_is_no_question` in `tests/it/manual/chain.rs`.
//!
//! ## Without a certificate, the signature is left out
//!
//! Seen in `worldcoin/world-chain`, mended in pull request 1049.
//!
//! A document without the `certificate` field went past the signature check, and its PCRs and user data were then
//! compared as if hardware had vouched for them.
//!
//! Here, a missing field is an error of its own (`missing-key`) long before the first comparison, and
//! [`VerifiedEvidence`](crate::VerifiedEvidence) cannot be made without a verified signature.
//!
//! Test: `without_a_certificate_there_is_no_evidence` in `tests/it/manual/chain.rs`.
//!
//! ## Any certificate may issue another
//!
//! Seen in `UTEXO-Protocol/enclave-signer`, issue 70 and pull request 126 (audit finding W-10); `base/base`, pull
//! request 1401 (M-01); `base/nitro-validator`, commit 94d0ba1; `marlinprotocol/NitroProver`, `src/CertManager.sol`.
//!
//! Signatures and names were followed, but not whether the issuer is a CA. Whoever has the key of any end-entity
//! certificate under the root can then issue one for a key of his own and sign documents with it.
//!
//! Here, every certificate of the bundle has `cA` set in critical basic constraints (`certificate-not-ca`,
//! `certificate-basic-constraints-critical`), and the leaf has not (`leaf-is-ca`).
//!
//! Test: `an_end_entity_issues_nothing` in `tests/it/manual/chain.rs`.
//!
//! ## Key usage is not looked at
//!
//! Seen in `UTEXO-Protocol/enclave-signer`, issue 70; `marlinprotocol/NitroProver`, `src/CertManager.sol`, which leaves
//! all extensions to a later day.
//!
//! A CA key that was certified for something else, or a leaf that may sign no data, is used against its issuer's word.
//! An *absent* key usage is the easy case to forget: some verifiers check the bits only where the extension is there.
//!
//! Here, the extension is needed: `keyCertSign` on each CA (`certificate-key-cert-sign`), `digitalSignature` on the
//! leaf (`leaf-digital-signature`).
//!
//! Test: `a_ca_without_the_right_to_sign_certificates_signs_none` in `tests/it/manual/chain.rs`.
//!
//! ## The path length is not kept, or wraps
//!
//! Seen in `base/nitro-validator`, commit 793b5d5 and pull request 77; Cantina's review of August 2026 in the same
//! repository, finding 3.2.2; `UTEXO-Protocol/enclave-signer`, issue 70.
//!
//! An intermediate that may issue end entities only issues another CA. And a limit that is read into fewer bits than it
//! has can become any other limit: zero becomes "no limit", a huge number zero.
//!
//! Here, the limit is compared with the number of CAs that follow (`certificate-path-length`), the root's as well. A
//! number too large for any chain stays too large, and a negative one is refused (`certificate-der`).
//!
//! Test: `a_path_length_neither_wraps_nor_is_passed_over` in `tests/it/manual/chain.rs`.
//!
//! ## Issuer and subject are not compared
//!
//! Seen in `marlinprotocol/NitroProver`, `src/CertManager.sol`, where the comparison is still to be written;
//! `base/nitro-validator`, commit 61d6c04, which added it.
//!
//! A signature that fits says whose key it was, not on whose behalf. Where one key stands in several certificates, the
//! constraints of the wrong one are applied.
//!
//! Here, the issuer's bytes equal the subject's bytes of the certificate before (`certificate-issuer`), without any
//! folding of case or string types.
//!
//! Test: `a_good_signature_under_another_name_is_no_issuance` in `tests/it/manual/chain.rs`.
//!
//! ## RSA, P-256 and Ed25519 pass in a chain that is all P-384
//!
//! Seen in `evervault/attestation-doc-validation`, `cert.rs`: the list of algorithms was a TLS client's.
//!
//! Each algorithm more is code that strangers reach, and an agreement that AWS never made: a chain that changes to a
//! weaker key on the way is as good as AWS's own.
//!
//! Here, the algorithm identifier must be that of ECDSA with SHA-384, as bytes, inside and outside of the signed part
//! (`certificate-signature-algorithm`), and each key is on P-384 (`certificate-public-key-algorithm`).
//!
//! Test: `only_ecdsa_on_p384_with_sha384_stands_in_a_chain` in `tests/it/manual/chain.rs`.
//!
//! ## The certificate describes its own curve
//!
//! Seen in Windows as CVE-2020-0601 (Trend Micro, *A Technical Analysis of CurveBall*) and in OpenSSL as CVE-2022-0778
//! (Sophos, *Analyzing CVE-2022-0778: When Square Root Results in a Denial of Service*).
//!
//! With a generator of his own, an attacker has a private key for a trusted CA's public point. With a modulus that is
//! no prime, he keeps a parser in an endless loop, before any signature is verified. Several Nitro verifiers stand on
//! OpenSSL.
//!
//! Here, the key's algorithm must be the eighteen bytes that name P-384 (`certificate-public-key-algorithm`), and a
//! point in compressed form, which would need a square root, is refused (`certificate-public-key-point`).
//!
//! Test: `a_curve_is_named_never_described` in `tests/it/manual/chain.rs`.
//!
//! ## The key is "the last 96 bytes"
//!
//! Seen in `base/nitro-validator`, pull requests 30 and 42, and `EternisAI/remote-attestation-verifier`, `src/lib.rs`.
//!
//! The point was cut from the end of the field, without its length, its first byte or its range being checked. A
//! certificate then has one key for this verifier and another for everybody else; a coordinate that is not below the
//! prime has two spellings.
//!
//! Here, the BIT STRING is one uncompressed point of 97 bytes on the curve, with reduced coordinates, and nothing else
//! (`certificate-public-key-point`).
//!
//! Test: `a_key_is_the_whole_bit_string_not_its_end` in `tests/it/manual/chain.rs`.
//!
//! ## Unknown critical extensions are passed over
//!
//! Seen in `base/nitro-validator`, pull request 43.
//!
//! "Critical" is how a CA says: whoever does not understand this must not use the certificate. Name constraints are
//! such an extension.
//!
//! Here, a critical extension other than basic constraints and key usage refuses the certificate
//! (`certificate-critical-extension`).
//!
//! Test: `an_unknown_critical_extension_is_not_passed_over` in `tests/it/manual/chain.rs`.
//!
//! ## The root is sought at the wrong end
//!
//! Seen in `worldcoin/world-chain`, mended in pull request 956.
//!
//! The pin was compared with the last certificate of the bundle, which AWS sends root first. Every real document was
//! refused.
//!
//! Here, the order is that of AWS's specification (§3.2.3), and documents of real hardware are verified by the tests
//! where they are at hand.
//!
//! Test: `the_root_stands_first_and_the_order_is_fixed` in `tests/it/manual/chain.rs`.
//!
//! ## A search for the path costs exponential time
//!
//! Seen in `webpki`, RUSTSEC-2023-0052 (`ChainSafe/forest`, issue 3410); `evervault/attestation-doc-validation` and
//! `tkhq/qos` call that library with the document's bundle.
//!
//! Where many certificates have the same name, a path builder tries one after the other at each step. The bundle comes
//! from a stranger, and the search runs before anything is known to be true.
//!
//! Here, there is no search: at most nine certificates (`cabundle-count`), one order, each signature verified at most
//! once, and all cheap checks before the first of them.
//!
//! Test: `many_issuers_of_one_name_start_no_search` in `tests/it/manual/chain.rs`.
