//! The root that this build trusts.

use nacre_attestation_verifier::{Roots, RootsError};

const COMPILED_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/root.der"));

/// The one root that the program believes: AWS's, unless it was built for another (see `build.rs`).
///
/// # Errors
///
/// None in a program that was built: the same check ran when it was.
pub fn compiled_in() -> Result<Roots, RootsError> {
    Roots::from_pem_or_der(COMPILED_IN)
}
