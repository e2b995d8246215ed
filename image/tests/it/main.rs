//! What the image's formats promise.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod commands;
mod cpio;
mod cpio_hostile;
mod diff;
mod eif;
mod eif_hostile;
mod golden;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod policy;
mod sbom;
mod signing;
mod support;
