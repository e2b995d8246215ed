//! The policy of an image trusts that image and no other.

use nacre_attestation_verifier::{Pcr, Policy};
use nacre_image::policy::policy;

use crate::signing::signer;
use crate::support::Parts;

#[test]
fn a_policy_names_the_registers_of_each_image_once() {
    let signer = signer("builder");
    let unsigned = Parts::small().write(None).1;
    let signed = Parts::small().write(Some(&signer)).1;
    let policy = policy(&[unsigned, signed, unsigned], false).unwrap();
    let policy = Policy::from_json(policy.to_json().as_bytes()).unwrap();
    let sets = policy.measurements();
    assert_eq!(sets.len(), 2);
    for (set, image) in sets.iter().zip([unsigned, signed]) {
        assert_eq!(
            (set.pcr0, set.pcr1, set.pcr2),
            (image.pcr0, image.pcr1, image.pcr2)
        );
        assert_eq!(set.pcr8, image.pcr8);
    }
    assert!(sets[0].pcr8.is_none() && sets[1].pcr8.is_some());
    assert!(!policy.allow_debug());
}

#[test]
fn debug_mode_is_trusted_only_where_it_was_asked_for() {
    let image = Parts::small().write(None).1;
    let policy = policy(&[image], true).unwrap();
    assert!(policy.allow_debug());
    let zero = &policy.measurements()[1];
    assert_eq!([zero.pcr0, zero.pcr1, zero.pcr2], [Pcr::ZERO; 3]);
}

#[test]
fn no_image_is_no_policy() {
    for allow_debug in [false, true] {
        assert_eq!(
            policy(&[], allow_debug).unwrap_err().rule(),
            "policy-no-measurements"
        );
    }
}
