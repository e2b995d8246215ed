//! `src/manual/signature.rs`

use nacre_attestation_verifier::{
    Backend, ResultCode, Roots, UnixMillis, VerificationTime, Verifier,
};
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{DerSignature, Signature, SigningKey};

use super::{TRUSTED, Verdict, under, verdict};
use crate::builder::{DocumentOrder, Envelope, NOW_MS, PROTECTED, cbor};

const INVALID: Verdict = (ResultCode::Signature, "signature-invalid");

/// A valid document, its root, and its parts to be changed.
fn signed() -> (Roots, Envelope, Signature) {
    let order = DocumentOrder::valid();
    let payload = order.payload();
    let signature = order.sign(&payload);
    let envelope = Envelope::new(payload, signature.to_bytes().to_vec());
    (order.roots(), envelope, signature)
}

#[test]
fn a_blank_signature_signs_nothing() {
    let (roots, mut envelope, _) = signed();
    envelope.signature = cbor::bytes(&[0; 96]);
    let out_of_range = (ResultCode::Signature, "signature-range");
    assert_eq!(under(&roots, &envelope.make()), out_of_range);
}

#[test]
fn both_twins_of_a_signature_are_the_same_evidence() {
    let (roots, mut envelope, signature) = signed();
    let (r, s) = signature.split_scalars();
    let twin = Signature::from_scalars(*r, -*s).unwrap();
    assert_ne!(signature, twin);
    for signature in [signature, twin] {
        envelope.signature = cbor::bytes(&signature.to_bytes());
        assert_eq!(under(&roots, &envelope.make()), TRUSTED);
    }
}

#[test]
fn what_was_received_is_what_was_signed() {
    // Spelt as no encoder here would: without a length, the keys in another order, a long map besides.
    let mut order = DocumentOrder::valid();
    order.entries.reverse();
    order.indefinite = true;
    order.add("z", vec![0xbf, 0x61, b'b', 0x01, 0x61, b'a', 0x02, 0xff]);
    assert_eq!(under(&order.roots(), &order.make()), TRUSTED);

    // The same header in another spelling is not the header that was signed.
    let (roots, envelope, _) = signed();
    for spelling in [
        &[0xa1, 0x18, 0x01, 0x38, 0x22][..],
        &[0xbf, 0x01, 0x38, 0x22, 0xff],
        &[0xa1, 0x01, 0x39, 0x00, 0x22],
    ] {
        let mut envelope = envelope.clone();
        envelope.protected = cbor::bytes(spelling);
        let refused = (ResultCode::Malformed, "protected-header");
        assert_eq!(under(&roots, &envelope.make()), refused);
    }
    let mut envelope = envelope.clone();
    envelope.protected = [&[0x58, 4], &PROTECTED[..]].concat();
    let refused = (ResultCode::Malformed, "cbor-not-shortest");
    assert_eq!(under(&roots, &envelope.make()), refused);
}

#[test]
fn payloads_of_every_length_are_signed_alike() {
    let length = |filler: usize| {
        let mut order = DocumentOrder::short();
        order.add("filler", cbor::bytes(&vec![0; filler]));
        order
    };
    // Around the lengths at which the head of the payload's byte string, or its low octet, changes.
    let least = length(0).payload().len();
    for total in [4351, 4352, 4607, 4608, 8191, 8192, 15_000] {
        let order = length(total - least);
        assert_eq!(under(&order.roots(), &order.make()), TRUSTED, "{total}");
    }
}

#[test]
fn the_document_does_not_choose_its_algorithm() {
    let (roots, envelope, _) = signed();
    // ES256, ES512, ES384 by its name, and none.
    let headers = [
        vec![0xa1, 0x01, 0x26],
        vec![0xa1, 0x01, 0x38, 0x23],
        [&[0xa1, 0x01], &cbor::text("ES384")[..]].concat(),
        vec![0xa0],
        vec![],
    ];
    for header in headers {
        let mut envelope = envelope.clone();
        envelope.protected = cbor::bytes(&header);
        let refused = (ResultCode::Malformed, "protected-header");
        assert_eq!(under(&roots, &envelope.make()), refused, "{header:02x?}");
    }
}

#[test]
fn a_signature_has_the_form_of_cose() {
    let (roots, mut envelope, signature) = signed();
    envelope.signature = cbor::bytes(DerSignature::from(signature).as_bytes());
    let refused = (ResultCode::Malformed, "signature-length");
    assert_eq!(under(&roots, &envelope.make()), refused);
}

#[test]
fn a_good_signature_of_another_document_is_none() {
    let (roots, mut envelope, _) = signed();
    let mut other = DocumentOrder::valid();
    other.set("nonce", cbor::bytes(b"another"));
    envelope.payload = cbor::bytes(&other.payload());
    assert_eq!(under(&roots, &envelope.make()), INVALID);
}

#[test]
fn keys_at_the_edges_of_the_group_verify() {
    let scalar = |low: u8| {
        let mut bytes = [0; 48];
        bytes[47] = low;
        bytes
    };
    // 1 and 2, whose points are the generator and its double, and n − 1 and n − 2, their negatives.
    let keys = [1, 2].map(|low| SigningKey::from_slice(&scalar(low)).unwrap());
    let negative = |key: &SigningKey| {
        let negated = -*key.as_nonzero_scalar().as_ref();
        SigningKey::from_slice(&negated.to_bytes()).unwrap()
    };
    let negatives = [negative(&keys[0]), negative(&keys[1])];
    for key in keys.into_iter().chain(negatives) {
        let mut order = DocumentOrder::valid();
        let point = key.verifying_key().to_sec1_point(false);
        order.leaf.point = Some(point.as_bytes().to_vec());
        let payload = order.payload();
        let to_be_signed = [
            cbor::text("Signature1"),
            cbor::bytes(&PROTECTED),
            cbor::bytes(b""),
            cbor::bytes(&payload),
        ];
        let signature: Signature = key.sign(&cbor::array(to_be_signed));
        let document = Envelope::new(payload, signature.to_bytes().to_vec()).make();
        for backend in Backend::ALL {
            let verifier = Verifier::new(order.roots()).with_backend(*backend);
            let at = VerificationTime::Live(UnixMillis(NOW_MS));
            let answer = verdict(verifier.verify(&document, at));
            assert_eq!(answer, TRUSTED, "{}", backend.name());
        }
    }
}
