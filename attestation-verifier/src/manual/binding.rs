//! # What the enclave said, and to whom
//!
//! ## The nonce is not compared
//!
//! Seen in `base/base`, where pull request 1480 added nonces to requests, and `capeprivacy/cli`, pull request 236.
//!
//! Without one, an answer to another caller, or to an earlier question, is as good as a new one: evidence can be handed
//! on.
//!
//! Here, one call compares it, and an absent nonce is not an equal one (`nonce-mismatch`).
//!
//! Test: `a_document_for_another_question_is_no_answer` in `tests/it/manual/binding.rs`.
//!
//! ## Null is read as empty
//!
//! Seen in `marlinprotocol/oyster-monorepo`, `sdks/rs/src/attestation.rs`, `parse_user_data`.
//!
//! An enclave that said nothing, and one that said the empty string, look alike. A caller who expects emptiness accepts
//! silence.
//!
//! Here, both are told apart from the parser to the comparison (`user-data-mismatch`).
//!
//! Test: `null_is_not_empty` in `tests/it/manual/binding.rs`.
//!
//! ## Bytes are compared as text
//!
//! Seen in `evervault/attestation-doc-validation`, `attestation_doc.rs`, `validate_expected_nonce`.
//!
//! The nonce is compared in base64, of one alphabet and with padding. A caller with the other alphabet is refused; and
//! wherever decoding is lenient, several texts are the same bytes.
//!
//! Here, bytes are compared with bytes; text stays with whoever brought it.
//!
//! Test: `bytes_are_compared_not_their_text` in `tests/it/manual/binding.rs`.
//!
//! ## The key is believed because there is a document
//!
//! Seen in `MystenLabs/hashi`, mended in pull request 666.
//!
//! A key was published next to a document and used without asking whether the document names it. The document can be
//! anybody's genuine one.
//!
//! Here, a key counts if it is the document's `public_key` (`public-key-mismatch`), or in `user_data` by the caller's
//! own comparison.
//!
//! Test: `a_key_counts_only_where_the_document_names_it` in `tests/it/manual/binding.rs`.
