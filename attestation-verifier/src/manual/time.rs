//! # Validity, age, clocks
//!
//! ## The chain is judged at the document's own time
//!
//! Seen in `marlinprotocol/oyster-monorepo`, `sdks/rs/src/attestation.rs`, `verify_cert_chain`; `capeprivacy/cli`, pull
//! request 250, which takes the leaf's first moment for now; `MystenLabs/hashi`, pull request 832, for records only.
//!
//! The document says when it is, and the certificates are valid then. Nothing ever expires: the key of an enclave that
//! was lost years ago makes documents of its own time.
//!
//! Here, the time is the verifier's ([`VerificationTime::Live`](crate::VerificationTime::Live)). To ask about the past
//! is another word, [`Archive`](crate::VerificationTime::Archive), with a time that the caller names, and the evidence
//! says so ever after ([`VerifiedEvidence::is_archive`](crate::VerifiedEvidence::is_archive)).
//!
//! Test: `a_chain_is_judged_by_the_verifiers_time` in `tests/it/manual/time.rs`.
//!
//! ## A document has no age
//!
//! Seen in `smartcontractkit/chainlink-common`, mended in pull request 2170 (audit finding CL112-10);
//! `aptos-labs/aptos-core`, pull request 20103 (review); `Dstack-TEE/dstack`, pull request 701 (review); `tkhq/qos` and
//! `evervault/attestation-doc-validation`, which leave it to their callers.
//!
//! Only the certificates' validity was checked, and the timestamp not at all, or only against zero. A document of an
//! enclave that has stopped can be shown again for as long as its leaf lives, some three hours.
//!
//! Here, a policy always has a greatest age, 300 seconds unless it says otherwise (`document-too-old`).
//!
//! Test: `an_old_document_is_refused_while_its_certificates_are_valid` in `tests/it/manual/time.rs`.
//!
//! ## Seconds for milliseconds
//!
//! Seen in `marlinprotocol/NitroProver`, `src/NitroProver.sol`.
//!
//! The timestamp, in milliseconds, is compared with the time of the block, in seconds. It is a thousand times as great,
//! so that no document is ever too old, whatever age is asked for.
//!
//! Here, times are types with their unit: [`UnixMillis`](crate::UnixMillis), [`UnixSeconds`](crate::UnixSeconds) and
//! `Duration`.
//!
//! Test: `age_is_counted_in_milliseconds` in `tests/it/manual/time.rs`.
//!
//! ## The future passes for fresh
//!
//! Seen in `marlinprotocol/oyster-monorepo`, `sdks/rs/src/attestation.rs`, `verify`.
//!
//! Age is only looked at where the timestamp is not after now. A document from next year is never too old, this year.
//!
//! Here, a timestamp may be 30 seconds ahead, for clocks that differ, and no policy can allow more
//! (`document-from-future`).
//!
//! Test: `the_future_is_no_excuse_for_age` in `tests/it/manual/time.rs`.
//!
//! ## A time that is cast
//!
//! Seen in `MystenLabs/fastcrypto`, `nitro_attestation.rs`, `verify_cert_chain`; `smartcontractkit/chainlink-common`,
//! pull request 2170 (review).
//!
//! An unsigned number of milliseconds is turned into a signed one, and beyond the middle of its range it is a time
//! before 1970.
//!
//! Here, times stay unsigned and differences saturate.
//!
//! Test: `no_number_is_too_large_for_a_time` in `tests/it/manual/time.rs`.
//!
//! ## One message for every wrong clock
//!
//! Seen in `MaplePrivacyLabs/Maple`, mended in pull request 936.
//!
//! A leaf is issued for three hours and valid from that second. A device whose clock was wrong, in either direction,
//! was told that the certificate had expired; nobody thought of the clock.
//!
//! Here, "not yet" and "no longer" are two rules (`certificate-not-yet-valid`, `certificate-expired`), each with the
//! time of the certificate.
//!
//! Test: `a_wrong_clock_gets_the_right_words` in `tests/it/manual/time.rs`.
//!
//! ## The clock belongs to somebody else
//!
//! Seen in Trail of Bits' notes on the attack surface of Nitro Enclaves (September 2024), which name time sources and
//! take the parent instance for the attacker; `MystenLabs/sui`, pull request 20017 (review), where each validator asked
//! its own clock.
//!
//! A library that asks the system for the time asks the host when it runs in an enclave, and gives two answers to one
//! question when it runs in two places.
//!
//! Here, the crate has no clock. The time is an argument, and the evidence names the time for which it was verified
//! ([`VerifiedEvidence::verified_at`](crate::VerifiedEvidence::verified_at)).
//!
//! Test: `the_same_question_has_the_same_answer_whenever_it_is_asked` in `tests/it/manual/time.rs`.
