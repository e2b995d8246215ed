//! The enclave image: builds, measures, signs and compares EIF files. The same inputs give the same bytes.

pub mod eif;
