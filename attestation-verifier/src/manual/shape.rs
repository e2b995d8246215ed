//! # The envelope and the payload's fields
//!
//! ## A key stands twice, and the last one wins
//!
//! Seen in `base/nitro-validator`, pull request 36, and `MystenLabs/fastcrypto`, `nitro_attestation.rs` (its first form
//! of parsing).
//!
//! Two `pcrs` in one signed payload mean one thing to a parser that keeps the first and another to one that keeps the
//! last. The same holds for a PCR index that stands twice.
//!
//! Here, neither may (`duplicate-key`, `duplicate-pcr`), known or unknown.
//!
//! Test: `a_second_value_is_refused_first_or_last` in `tests/it/manual/shape.rs`.
//!
//! ## PCRs by position instead of index
//!
//! Seen in `MystenLabs/fastcrypto`, `nitro_attestation.rs` (`pcr_vec`), and `marlinprotocol/NitroProver`,
//! `src/NitroProver.sol`.
//!
//! The first hands out PCR0 to 4 and 8 as a list in the order of the document: the third element is PCR2 only if
//! nothing is missing or swapped before it. The second refuses every other order, which no specification promises.
//!
//! Here, PCRs are a map from index to value, whatever the order
//! ([`VerifiedEvidence::pcrs`](crate::VerifiedEvidence::pcrs)).
//!
//! Test: `pcrs_go_by_their_index` in `tests/it/manual/shape.rs`.
//!
//! ## Real documents have gaps between their PCRs
//!
//! Seen in `base/nitro-validator`, mended in pull request 63; Cantina's review of August 2026, finding 3.1.1.
//!
//! An index was refused if it was not below the number of PCRs. The set 0, 1, 2, 3, 4 and 8, that of a signed image,
//! could not be verified at all.
//!
//! Here, an index is below 32 (`pcr-index`), and how many others there are says nothing about it.
//!
//! Test: `pcrs_may_have_gaps` in `tests/it/manual/shape.rs`.
//!
//! ## PCR32
//!
//! Seen in `tkhq/qos`, `src/qos_nsm/src/nitro/syntactic_validation.rs`.
//!
//! The greatest index was taken to be the number of registers. Where an array of 32 is filled by that index, it is
//! written past its end.
//!
//! Here, 31 is the last (`pcr-index`).
//!
//! Test: `pcr_31_is_the_last` in `tests/it/manual/shape.rs`.
//!
//! ## PCRs of another hash's length
//!
//! Seen in `hf/nitrite`, `nitrite.go`; `tkhq/qos`, `syntactic_validation.rs`; `evervault/attestation-doc-validation`,
//! `attestation_doc.rs`; `base/nitro-validator`, `src/NitroValidator.sol`.
//!
//! 32 and 64 bytes pass as well, although the digest must be SHA-384. A comparison that trims, pads or compares the
//! common part then calls two different measurements equal.
//!
//! Here, a PCR has 48 bytes (`pcr-length`), as a type ([`Pcr`](crate::Pcr)): a comparison has no lengths to get wrong.
//!
//! Test: `a_pcr_has_the_length_of_its_hash` in `tests/it/manual/shape.rs`.
//!
//! ## The indefinite-length map
//!
//! Seen in `base/nitro-validator`, pull requests 23 and 32.
//!
//! Documents of AWS have payloads that are a map without a length, which ends with a break. Verifiers that know only
//! the other form refuse them all.
//!
//! Here, the payload's map may have either form.
//!
//! Test: `the_payloads_map_has_either_form` in `tests/it/manual/shape.rs`.
//!
//! ## The break ends the wrong map
//!
//! Seen in `base/nitro-validator`, pull request 32 (review) and pull request 24, which wrote the behaviour down.
//!
//! A parser that takes a break wherever it finds one lets it end a map whose length was given, takes the end of an
//! inner map for the end of the outer, or does without: fields after it are signed, and not read.
//!
//! Here, a break is needed where a map has no length, and is an error everywhere else (`cbor-break`); maps and arrays
//! within the known fields have their length (`cbor-indefinite-length`).
//!
//! Test: `a_break_ends_only_its_own_map` in `tests/it/manual/shape.rs`.
//!
//! ## Empty and long user fields are refused
//!
//! Seen in `evervault/attestation-doc-validation`, `attestation_doc.rs`, and `hf/nitrite`, mended in pull request 5.
//!
//! `public_key`, `user_data` and `nonce` were to have at least one byte, and two of them at most 512. AWS sends empty
//! strings, and accepts longer ones.
//!
//! Here, each has 0 to 1024 bytes (`user-field-length`).
//!
//! Test: `user_fields_may_be_empty_and_up_to_1024_bytes_long` in `tests/it/manual/shape.rs`.
//!
//! ## An optional field is needed after all
//!
//! Seen in `base/nitro-validator`, mended in pull request 66 (Cantina's review of August 2026, finding 3.2.5), and
//! `marlinprotocol/oyster-monorepo`, `sdks/rs/src/attestation.rs`.
//!
//! A document without `public_key`, or with null for it, was refused, even where nobody wanted a key.
//!
//! Here, the three user fields may be absent, null or there; who needs one asks for it
//! ([`VerifiedEvidence::require_public_key`](crate::VerifiedEvidence::require_public_key)).
//!
//! Test: `optional_fields_are_optional` in `tests/it/manual/shape.rs`.
//!
//! ## A field under another name stays empty
//!
//! Seen in `veracruz-project/go-nitro-enclave-attestation-document`, `lib.go` and commit 6fc97d7.
//!
//! The payload is decoded into a structure by the names of its members, and some of them are not the document's:
//! `ModuleId` is not `module_id`. Nothing fails; the member is empty, and what is compared with it compares with
//! nothing.
//!
//! Here, the six mandatory keys must be there under their exact names (`missing-key`), and other keys are reported
//! ([`VerifiedEvidence::unknown_keys`](crate::VerifiedEvidence::unknown_keys)) and never used.
//!
//! Test: `a_key_has_one_name` in `tests/it/manual/shape.rs`.
//!
//! ## New fields break the verifier
//!
//! Seen in `base/nitro-validator`, mended in pull request 32.
//!
//! Every unknown key was an error, so that the day on which AWS adds a field is the day on which nothing is verified
//! any more.
//!
//! Here, unknown keys and their values are read, bounded and forgotten.
//!
//! Test: `a_field_of_tomorrow_changes_nothing` in `tests/it/manual/shape.rs`.
//!
//! ## The unprotected header is taken on trust
//!
//! Seen in `base/nitro-validator`, pull request 65 (Cantina's review of August 2026, finding 3.2.4), and
//! `richardfan1126/nitro-enclave-python-demo`, `attestation_verifier.py`.
//!
//! Nobody signs that header. In the first, a map with an entry shifted all that follows it; in the second, it goes into
//! the library that verifies.
//!
//! Here, it is an empty map (`unprotected-header`).
//!
//! Test: `the_header_that_nobody_signs_is_empty` in `tests/it/manual/shape.rs`.
//!
//! ## The tag that must, or must not, be there
//!
//! Seen in `veracruz-project/go-nitro-enclave-attestation-document`, `lib.go` (`add_prefix`), and
//! `marlinprotocol/NitroProver`, `src/NitroProver.sol`.
//!
//! AWS sends the envelope without a tag, other tools add tag 18. One library needs it, so that its caller puts a byte
//! before the document and must know which kind it holds; the other leaves the question open in a comment.
//!
//! Here, tag 18 and no tag are accepted; every other is refused (`cbor-type`).
//!
//! Test: `tag_18_and_no_tag_are_accepted` in `tests/it/rules/envelope.rs`.
//!
//! ## A NitroTPM document instead of an enclave's
//!
//! Seen in Amazon's *EC2 User Guide*, "NitroTPM Attestation Document contents"; both kinds are verified side by side in
//! `Dstack-TEE/dstack`, pull request 753.
//!
//! An EC2 instance gets documents of nearly the same form, but its registers mean something else: PCR0 and PCR1 are
//! constant there, and PCR16 is for debugging. A measurement that an image was to prove proves nothing.
//!
//! Here, a document with the key `nitrotpm_pcrs` is refused (`nitrotpm-document`), also where it has `pcrs` as well.
//!
//! Test: `a_virtual_machine_is_no_enclave` in `tests/it/manual/shape.rs`.
