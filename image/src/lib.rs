//! The enclave image: builds, measures, signs and compares EIF files. The same inputs give the same bytes.

pub mod build;
pub mod cache;
pub mod cli;
mod command;
pub mod contents;
pub mod cpio;
pub mod debian;
pub mod diff;
pub mod eif;
mod error;
pub mod kernel;
mod licences;
pub mod measure;
pub mod policy;
pub mod ramdisk;
mod relocated;
mod rust;
pub mod sbom;
pub mod sign;
pub mod toolchain;

pub use error::ImageError;
