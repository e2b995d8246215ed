//! The enclave image: builds, measures, signs and compares EIF files. The same inputs give the same bytes.

pub mod cache;
mod command;
pub mod cpio;
pub mod debian;
pub mod eif;
pub mod kernel;
pub mod measure;
pub mod sbom;
pub mod sign;
pub mod toolchain;
