//! The policy that clients of an image use.

use nacre_attestation_verifier::{Measurements as PolicySet, Pcr, Policy, PolicyError};

use crate::measure::Measurements;

/// A policy that trusts these images, and no other: PCR0 to PCR2, and PCR8 of those that are signed.
///
/// With `allow_debug` it trusts an enclave in debug mode as well, **whatever image it runs**: the hypervisor then
/// measures nothing, and its host reads its memory.
///
/// # Errors
///
/// [`PolicyError`] where there is no image, or more than a policy has room for.
pub fn policy(images: &[Measurements], allow_debug: bool) -> Result<Policy, PolicyError> {
    let mut sets: Vec<PolicySet> = Vec::new();
    for image in images {
        let mut set = PolicySet::new(image.pcr0, image.pcr1, image.pcr2);
        set.pcr8 = image.pcr8;
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    if allow_debug && !sets.is_empty() {
        sets.push(PolicySet::new(Pcr::ZERO, Pcr::ZERO, Pcr::ZERO));
    }
    Ok(Policy::new(sets)?.with_allow_debug(allow_debug))
}
