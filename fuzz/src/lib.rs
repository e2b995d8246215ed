//! What the fuzz targets do with their bytes.
//!
//! The functions stand apart from the targets so that ordinary tests on a stable compiler replay `corpus/` through them.
//! A seed named `ok-…` must be accepted, one named `refused-<rule>` must be refused under that rule.
//!
//! Run a target with `cargo +nightly fuzz run document`.

pub mod attestation;
