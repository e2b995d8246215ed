//! What the fuzz targets do with their bytes.
//!
//! The functions stand apart from the targets so that ordinary tests on a stable compiler replay `corpus/` through them:
//! `attestation` in the verifier's tests, the others in the end-to-end tests (`tests/tests/fuzz_corpus`). A seed named
//! `ok-…` must be accepted, one named `refused-<rule>` or `refused-<rule>.<which>` must be refused under that rule.
//!
//! Run a target with `cargo +nightly fuzz run document`; with `--no-default-features` where it is none of the enclave's,
//! which take long to build. `make fuzz` runs all. `seed_from_corpus.py` gives those that read whole documents the
//! verifier's adversarial corpus to start from.

#[allow(dead_code, reason = "the verifier's tests need more of it")]
#[path = "../../attestation-verifier/tests/it/builder"]
mod builder {
    pub(crate) mod cbor;
    pub(crate) mod der;
}

pub mod attestation;
#[cfg(feature = "enclave")]
pub mod egress;
pub mod emulator;
#[cfg(feature = "enclave")]
pub mod enclave;
#[cfg(feature = "enclave")]
pub mod gateway;
pub mod image;
pub mod jobs;
pub mod model;
pub mod protocol;
pub mod transport;
pub mod vsock;
