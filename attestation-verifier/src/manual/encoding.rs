//! # DER and CBOR: one meaning for each input
//!
//! ## Lengths have more than one spelling
//!
//! Seen in `base/nitro-validator`, pull requests 9 and 44; Cantina's review of January 2025 in the same repository,
//! finding 3.2.2.
//!
//! BER allows a length in more octets than it needs, or none at all until an end mark. The same certificate then has
//! many byte strings, and a cache or a list of revoked certificates that goes by bytes knows one of them. A length that
//! is cut to fewer bits reads another part of the input than the signer signed.
//!
//! Here, lengths have their shortest form, in certificates (`certificate-der`) and in CBOR (`cbor-not-shortest`), and
//! reach no further than the bytes that are there.
//!
//! Test: `a_length_has_one_spelling` in `tests/it/manual/encoding.rs`.
//!
//! ## Another tag with the same content
//!
//! Seen in `base/nitro-validator`, pull requests 51 and 67; Cantina's review of August 2026, finding 3.2.3.
//!
//! Fields were compared by a hash of their content, without the tag before it. What one program reads as an object
//! identifier is an octet string to the next, and two programs disagree about one signed certificate.
//!
//! Here, each field is read as the one type that it has, and where there is no choice the whole value is compared, tag
//! and length included (`certificate-der`, `certificate-name`, `certificate-public-key-algorithm`).
//!
//! Test: `a_tag_is_part_of_the_value` in `tests/it/manual/encoding.rs`.
//!
//! ## Bytes after the end
//!
//! Seen in `base/nitro-validator`, pull requests 34, 38 and 54, and Cantina's review of August 2026, findings 3.2.9 and
//! 3.2.10; `MystenLabs/fastcrypto`, `nitro_attestation.rs`, where the rest that a parser hands back is dropped.
//!
//! Bytes after a certificate, inside a wrapper or after the payload's map are carried along unseen: another byte string
//! for the same certificate, with which a cache can be poisoned, or a place for what a second parser reads.
//!
//! Here, every wrapper must be used up: document and payload (`cbor-trailing-bytes`), certificate and each part of it
//! (`certificate-trailing-bytes`, `certificate-version`).
//!
//! Test: `nothing_is_left_over_anywhere` in `tests/it/manual/encoding.rs`.
//!
//! ## A boolean that is neither true nor false
//!
//! Seen in `base/nitro-validator`, pull request 76; Cantina's review of August 2026, finding 3.2.7.
//!
//! In DER, TRUE is `ff`. One check took every other byte for true and the next took it for false: "critical" for one
//! purpose, no CA for the other.
//!
//! Here, a boolean is `ff`, and FALSE, which is always the default in a certificate, is left out (`certificate-der`).
//!
//! Test: `true_is_ff` in `tests/it/manual/encoding.rs`.
//!
//! ## Key usage bits are read from the wrong end
//!
//! Seen in `base/nitro-validator`, pull requests 39 and 72.
//!
//! A BIT STRING of two octets was read as one number, so that the masks for `keyCertSign` and `digitalSignature` fell
//! on other bits; an empty one was read past its end.
//!
//! Here, the bits are taken from the first octet, and the string must be one that DER would write: no unused bits set,
//! no trailing zeros, not empty (`certificate-der`).
//!
//! Test: `key_usage_has_the_same_bits_in_one_octet_and_in_two` in `tests/it/manual/encoding.rs`.
//!
//! ## A number that begins with a zero octet
//!
//! Seen in `base/nitro-validator`, pull request 25, and `richardfan1126/nitro-enclave-python-demo`,
//! `attestation_verifier.py`.
//!
//! DER drops leading zero octets, and so do conversions between integers and bytes. Code that takes all numbers of a
//! curve for 48 octets then reads r, s or a coordinate shifted, and refuses a valid signature: one certificate in about
//! 128, a few chains in a hundred, never twice in the same place.
//!
//! Here, numbers are read as numbers, and the sizes are those of the curve in both directions.
//!
//! Test: `numbers_that_begin_with_a_zero_octet_are_whole` in `tests/it/manual/encoding.rs`.
//!
//! ## Serial numbers of 21 octets
//!
//! Seen in `RustCrypto/formats`, pull request 848 and issue 978; `rustls/webpki`, pull requests 36 and 39;
//! `rustls/rcgen`, pull request 203.
//!
//! RFC 5280 allows 20 octets, and a random number of 20 octets needs one more in DER half of the time, for its sign.
//! Libraries under Nitro verifiers refused such certificates. Others take any length, and negative numbers.
//!
//! Here, a serial number is positive and has up to 21 octets (`certificate-serial-number`).
//!
//! Test: `a_serial_number_may_have_an_octet_for_its_sign` in `tests/it/manual/encoding.rs`.
//!
//! ## Dates that do not exist, or lie in another century
//!
//! Seen in `base/nitro-validator`, pull requests 6, 7 and 68; Cantina's reviews of January 2025 (3.1.3, 3.2.1) and
//! August 2026 (3.2.6); `marlinprotocol/NitroProver`, `src/CertManager.sol`.
//!
//! The 30th of February became a day in March. The type of a date was guessed from its length. Characters that are no
//! digits were left out. In the last of the three, the first two digits are always a year of this century, so that
//! 2050, written in four digits, is 2020.
//!
//! Here, a time has the one form of RFC 5280 for its year and names a second that exists
//! (`certificate-validity-encoding`).
//!
//! Test: `a_date_exists_and_means_its_own_year` in `tests/it/manual/encoding.rs`.
//!
//! ## A small document nests without end
//!
//! Seen in `serde_cbor`, RUSTSEC-2019-0025 (`kanidm/webauthn-rs`, issue 30), which several Nitro verifiers still use in
//! a later version; `base/nitro-validator`, pull requests 45 and 48 (audit finding I-01).
//!
//! Tags within tags within tags, in less than a kilobyte, use up the stack of a recursive parser. In Rust that ends the
//! process.
//!
//! Here, unknown values nest eight deep (`cbor-depth`), and known ones not at all: the reader knows what it reads.
//!
//! Test: `nesting_ends_early` in `tests/it/manual/encoding.rs`.
//!
//! ## Memory for what is only claimed
//!
//! Seen in `base/nitro-validator`, pull request 40; `tempoxyz/tempo`, pull request 7733; `base/base`, pull request 4373
//! (review).
//!
//! A head of nine bytes claims two to the 63rd entries. Whoever makes room for them, or counts up to them, is busy.
//!
//! Here, counts are compared with their limits before anything is read (`pcr-count`, `cabundle-count`, `too-many-keys`,
//! `cbor-count`), and bytes are borrowed, not copied, until they are known to be there (`cbor-truncated`).
//!
//! Test: `a_claim_of_many_costs_nothing` in `tests/it/manual/encoding.rs`.
//!
//! ## Reserved heads are read as small numbers
//!
//! Seen in `base/nitro-validator`, pull request 5; Cantina's review of January 2025, finding 3.1.2.
//!
//! CBOR leaves three values of a head's low bits unused and gives floats and simple values their own rules. Falling
//! through to "a small number" makes a length out of them.
//!
//! Here, each of the 32 cases is named; what RFC 8949 reserves is `cbor-reserved`.
//!
//! Test: `refuses_what_is_not_well_formed_or_not_shortest` in `src/cbor.rs`.
//!
//! ## Odd input ends the process
//!
//! Seen in `EternisAI/remote-attestation-verifier`, `src/lib.rs`, and `hf/nitrite`, `nitrite.go`.
//!
//! Both panic on bytes from a stranger: the first where an element has another type or a signature another length, the
//! second where the certificate has a key on a curve without a case of its own (P-521 is misspelt), and that before the
//! chain's verdict is looked at. A service that verifies for many is stopped by one request.
//!
//! Here, every refusal is a value of [`VerifyError`](crate::VerifyError); code outside of tests cannot call `unwrap`,
//! and the parsers are fuzzed.
//!
//! Test: `odd_input_is_refused_in_words` in `tests/it/manual/encoding.rs`.
