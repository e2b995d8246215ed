//! What the image's formats promise.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod cpio;
mod cpio_hostile;
mod eif;
mod eif_hostile;
mod support;
