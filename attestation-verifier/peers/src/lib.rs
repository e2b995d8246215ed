//! Other public verifiers of Nitro attestation documents, under Nacre's corpus and in its benchmarks.
//!
//! Each `peer-*` program wraps one library in the conformance protocol ([`protocol`]), as that library's own
//! documentation uses it. `conformance-table` runs them all over the corpus and writes `CONFORMANCE.md`;
//! `benches/verify.rs` times them side by side, and `bench-summary` turns its figures into a table.
//!
//! `prepare.py` must have run before: it says what of two libraries is replaced, and why.

pub mod bench;
pub mod corpus;
pub mod expectation;
pub mod findings;
pub mod peer;
pub mod pem;
pub mod protocol;
pub mod report;
pub mod run;
