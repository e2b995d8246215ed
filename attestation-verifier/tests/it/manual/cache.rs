//! `src/manual/cache.rs`

use nacre_attestation_verifier::{ResultCode, UnixMillis, VerificationTime, Verifier};
use p384::ecdsa::{DerSignature, Signature};

use super::{TRUSTED, Verdict, verdict};
use crate::builder::certificate::CertificateOrder;
use crate::builder::{DocumentOrder, Envelope, NOW_MS, cbor, der, signing_key};

const BAD_LINK: Verdict = (ResultCode::Chain, "certificate-signature");

/// A verifier that has just verified a valid document, and that document's order.
fn warm() -> (Verifier, DocumentOrder) {
    let order = DocumentOrder::valid();
    let verifier = Verifier::new(order.roots());
    assert_eq!(ask(&verifier, &order), TRUSTED);
    (verifier, order)
}

fn ask(verifier: &Verifier, order: &DocumentOrder) -> Verdict {
    ask_at(verifier, order, NOW_MS)
}

fn ask_at(verifier: &Verifier, order: &DocumentOrder, at_ms: u64) -> Verdict {
    let at = VerificationTime::Live(UnixMillis(at_ms));
    verdict(verifier.verify(&order.make(), at))
}

/// (r, n − s) for (r, s).
fn twin(signature: &[u8]) -> Vec<u8> {
    let signature = Signature::from_der(signature).unwrap();
    let (r, s) = signature.split_scalars();
    let twin = Signature::from_scalars(*r, -*s).unwrap();
    der::bits(0, DerSignature::from(twin).as_bytes())
}

#[test]
fn a_twin_of_a_certificate_shuts_nobody_out() {
    let mut twins = DocumentOrder::valid();
    twins.bundle[1].signature = twin;
    assert_ne!(
        twins.certificates()[1],
        DocumentOrder::valid().certificates()[1]
    );
    // Whichever comes first.
    let verifier = Verifier::new(twins.roots());
    for order in [&twins, &DocumentOrder::valid(), &twins] {
        assert_eq!(ask(&verifier, order), TRUSTED);
    }
}

#[test]
fn a_known_certificate_with_a_spoilt_signature_is_unknown() {
    let (verifier, mut order) = warm();
    order.bundle[1].signature = |signature| {
        let mut spoilt = signature.to_vec();
        *spoilt.last_mut().unwrap() ^= 1;
        der::bits(0, &spoilt)
    };
    assert_eq!(ask(&verifier, &order), BAD_LINK);
}

#[test]
fn what_is_known_expires_all_the_same() {
    let mut order = DocumentOrder::valid();
    let (from, to) = (
        der::utc_time("250614000000Z"),
        der::utc_time("250615160000Z"),
    );
    order.bundle[1].validity = der::sequence(&[&from, &to]);
    let verifier = Verifier::new(order.roots());
    assert_eq!(ask(&verifier, &order), TRUSTED);
    // 16:30: the leaf is still valid, its issuer is not.
    let half_past_four = 1_750_005_000_000;
    let refused = (ResultCode::Chain, "certificate-expired");
    assert_eq!(ask_at(&verifier, &order, half_past_four), refused);
    assert_eq!(
        verifier.cache_stats().hits,
        0,
        "refused before it was looked up"
    );
}

#[test]
fn a_known_leaf_does_not_become_an_issuer() {
    let mut order = DocumentOrder::short();
    let verifier = Verifier::new(order.roots());
    assert_eq!(ask(&verifier, &order), TRUSTED);
    let forged = CertificateOrder {
        key_seed: 9,
        issuer: order.leaf.subject.clone(),
        subject: der::name("forged"),
        ..CertificateOrder::leaf()
    };
    let bundle = order.certificates();
    let forged_der = forged.make(&signing_key(order.leaf.key_seed));
    order.set(
        "cabundle",
        cbor::array(bundle.iter().map(|der| cbor::bytes(der))),
    );
    order.set("certificate", cbor::bytes(&forged_der));
    assert_eq!(
        ask(&verifier, &order),
        (ResultCode::Chain, "certificate-not-ca")
    );
}

#[test]
fn a_known_leaf_without_its_issuer_is_no_chain() {
    let (verifier, mut order) = warm();
    let root = order.certificates().remove(0);
    order.set("cabundle", cbor::array([cbor::bytes(&root)]));
    assert_eq!(
        ask(&verifier, &order),
        (ResultCode::Chain, "certificate-issuer")
    );
}

#[test]
fn a_known_chain_vouches_for_no_other_document() {
    let (verifier, order) = warm();
    let mut other = order.clone();
    other.set("nonce", cbor::bytes(b"another"));
    let signature = order.sign(&order.payload()).to_bytes().to_vec();
    let document = Envelope::new(other.payload(), signature).make();
    let at = VerificationTime::Live(UnixMillis(NOW_MS));
    assert_eq!(
        verdict(verifier.verify(&document, at)),
        (ResultCode::Signature, "signature-invalid")
    );
}

#[test]
fn strangers_certificates_are_not_remembered() {
    let (verifier, order) = warm();
    let before = verifier.cache_stats();
    // A PKI of the attacker's, under his own root, as often as he likes.
    let mut forged = DocumentOrder::valid();
    forged.bundle[0].key_seed = 9;
    for _ in 0..3 {
        assert_eq!(
            ask(&verifier, &forged),
            (ResultCode::Chain, "untrusted-root")
        );
    }
    assert_eq!(verifier.cache_stats(), before);
    assert_eq!(ask(&verifier, &order), TRUSTED);
    assert_eq!(verifier.cache_stats().misses, before.misses);
}
