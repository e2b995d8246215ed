//! # The document's own signature
//!
//! ## All zeros are a valid signature
//!
//! Seen in Java as CVE-2022-21449 (JFrog, *CVE-2022-21449 "Psychic Signatures": Analyzing the New Java Crypto
//! Vulnerability*).
//!
//! With r and s zero, both sides of the equation are zero. A library that does not check their range accepts this for
//! every message under every key.
//!
//! Here, r and s are in [1, n − 1] before anything is computed (`signature-range`; in certificates
//! `certificate-signature-encoding`), with each backend.
//!
//! Test: `a_blank_signature_signs_nothing` in `tests/it/manual/signature.rs`.
//!
//! ## Low s is demanded, or a signature is an identifier
//!
//! Seen in `base/nitro-validator`, commit c63aeab and pull request 35: the library has a bound for s, and the caller
//! must know to raise it.
//!
//! Other ecosystems allow only the lower of s and n − s. AWS sends both, so that half of all signatures would be
//! refused. Where both are accepted, as they must be, a signature or a document's hash tells nothing about "seen
//! before".
//!
//! Here, both are accepted and give equal evidence; this crate's first page says that a document is not an identifier.
//!
//! Test: `both_twins_of_a_signature_are_the_same_evidence` in `tests/it/manual/signature.rs`.
//!
//! ## What was received is encoded anew before it is verified
//!
//! Seen in `veraison/go-cose`, issues 7 and 119; `IntersectMBO/evolution-sdk`, issue 480.
//!
//! COSE signs bytes. A verifier that reads the header into a map and writes it out again verifies its own bytes: it
//! refuses what was spelt otherwise, and it can accept what nobody signed in that form.
//!
//! Here, the payload under the signature is the slice that was received, and the header has one spelling
//! (`protected-header`).
//!
//! Test: `what_was_received_is_what_was_signed` in `tests/it/manual/signature.rs`.
//!
//! ## The signed structure is guessed
//!
//! Seen in `EternisAI/remote-attestation-verifier`, `src/lib.rs`.
//!
//! The length in front of the payload is made of one constant octet and one computed from the length of a document that
//! the author had. Payloads of 256 lengths can be verified; with all others, the verification fails or the subtraction
//! does.
//!
//! Here, the structure of RFC 9052 §4.4 is encoded for the payload at hand, of whatever length.
//!
//! Test: `payloads_of_every_length_are_signed_alike` in `tests/it/manual/signature.rs`.
//!
//! ## The document chooses the algorithm
//!
//! Seen in `hf/nitrite`, `nitrite.go`.
//!
//! The header may name the algorithm by number or by text, and the hash then comes from the certificate's curve, so
//! that header and verification need not agree. Choice on the attacker's side has been the undoing of other token
//! formats.
//!
//! Here, there is one header, `{1: -35}`, as four bytes (`protected-header`), and one algorithm behind it.
//!
//! Test: `the_document_does_not_choose_its_algorithm` in `tests/it/manual/signature.rs`.
//!
//! ## A signature in the form of a certificate's
//!
//! Seen in `UTEXO-Protocol/enclave-signer`, mended in pull request 126 (audit finding I-05).
//!
//! COSE writes r and s side by side; X.509 writes them in DER. Accepting both gives each document several spellings and
//! strangers one parser more.
//!
//! Here, a document's signature has 96 bytes (`signature-length`).
//!
//! Test: `a_signature_has_the_form_of_cose` in `tests/it/manual/signature.rs`.
//!
//! ## The claims stand beside the signature, not under it
//!
//! Seen in `privkeyio/keep`, mended in pull request 717, in builds without the Nitro feature.
//!
//! The PCRs that a peer sent along were compared with the expected ones, which are public, and no document was verified
//! at all. Every peer that repeated them was an enclave.
//!
//! Here, claims without proof are another type ([`UnverifiedDocument`](crate::UnverifiedDocument)), which no policy
//! judges; and there is no build of this crate that verifies less.
//!
//! Test: `what_a_document_only_claims_is_not_judged` in `tests/it/manual/measurements.rs`.
//!
//! ## The verdict on one part is kept for another
//!
//! Seen in `hf/nitrite`, `nitrite.go`, whose result for a refused chain still says whether the signature was good, next
//! to the parsed document.
//!
//! A caller that reads `SignatureOK` and not the error beside it trusts a document under a certificate of anybody's.
//!
//! Here, there is either evidence or an error, never both, and a signature of another document is an error.
//!
//! Test: `a_good_signature_of_another_document_is_none` in `tests/it/manual/signature.rs`.
//!
//! ## The arithmetic fails at its edges
//!
//! Seen in `dl-solarity/solidity-lib`, issue 126, under `base/nitro-validator` (Cantina's review of January 2025,
//! finding 3.1.1).
//!
//! Adding two points has cases of its own: a point to itself, to its negative, to nothing. A library without them
//! refuses valid signatures, seldom and without a pattern; others have accepted invalid ones.
//!
//! Here, the arithmetic is that of two implementations in wide use, held to the same answers; this crate has none of
//! its own.
//!
//! Test: `keys_at_the_edges_of_the_group_verify` in `tests/it/manual/signature.rs`.
