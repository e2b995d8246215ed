//! DESIGN §4 *Signature*.

use nacre_attestation_verifier::{
    ResultCode, UnixMillis, VerificationTime, VerifiedEvidence, VerifyError, verify,
};
use p384::ecdsa::Signature;

use super::assert_error;
use crate::builder::{DocumentOrder, Envelope, NOW_MS, signing_key};
use p384::ecdsa::signature::Signer;

/// The order of P-384 (FIPS 186-5; SEC 2 §2.5.1).
const ORDER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";

fn verify_with(
    signature: impl FnOnce(&DocumentOrder, &[u8]) -> Vec<u8>,
) -> Result<VerifiedEvidence, VerifyError> {
    let order = DocumentOrder::valid();
    let payload = order.payload();
    let signature = signature(&order, &payload);
    let document = Envelope::new(payload, signature).make();
    verify(
        &document,
        &order.roots(),
        VerificationTime::Live(UnixMillis(NOW_MS)),
    )
}

#[test]
fn both_signatures_of_a_pair_are_legal() {
    let twins = |order: &DocumentOrder, payload: &[u8]| {
        let signature = order.sign(payload);
        let (r, s) = signature.split_scalars();
        let negated = Signature::from_scalars(*r, -*s).unwrap();
        assert_ne!(signature, negated);
        (signature, negated)
    };
    let one = verify_with(|order, payload| twins(order, payload).0.to_bytes().to_vec());
    let other = verify_with(|order, payload| twins(order, payload).1.to_bytes().to_vec());
    assert!(one.is_ok());
    assert_eq!(one, other);
}

#[test]
fn r_and_s_are_in_range() {
    let order = hex::decode(ORDER).unwrap();
    for number in [vec![0; 48], order, vec![0xff; 48]] {
        for half in [0..48, 48..96] {
            let refused = verify_with(|document, payload| {
                let mut signature = document.sign(payload).to_bytes().to_vec();
                signature[half.clone()].copy_from_slice(&number);
                signature
            });
            assert_error(refused, ResultCode::Signature, "signature-range");
        }
    }
}

#[test]
fn only_the_leafs_key_signs() {
    for seed in [0, 1, 9] {
        let refused = verify_with(|order, _| {
            let mut forged = order.clone();
            forged.leaf.key_seed = seed;
            forged.sign(&order.payload()).to_bytes().to_vec()
        });
        assert_error(refused, ResultCode::Signature, "signature-invalid");
    }
}

#[test]
fn the_payload_alone_is_not_what_is_signed() {
    let refused = verify_with(|_, payload| {
        let signature: Signature = signing_key(2).sign(payload);
        signature.to_bytes().to_vec()
    });
    assert_error(refused, ResultCode::Signature, "signature-invalid");
}

#[test]
fn a_signature_over_other_bytes_is_refused() {
    let refused = verify_with(|order, payload| {
        let mut other = payload.to_vec();
        other[20] ^= 1;
        order.sign(&other).to_bytes().to_vec()
    });
    assert_error(refused, ResultCode::Signature, "signature-invalid");
}
