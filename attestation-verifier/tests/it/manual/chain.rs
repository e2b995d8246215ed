//! `src/manual/chain.rs`

use nacre_attestation_verifier::{ResultCode, Roots};

use super::{TRUSTED, after, under};
use crate::builder::certificate::{
    BASIC_CONSTRAINTS, CertificateOrder, KEY_USAGE, NAME_CONSTRAINTS, extension,
};
use crate::builder::{DocumentOrder, cbor, der, signing_key};

/// A certificate that signs itself with a key of its own, as anybody can make one.
fn self_signed(key_seed: u8, name: &str) -> CertificateOrder {
    CertificateOrder {
        key_seed,
        issuer: der::name(name),
        subject: der::name(name),
        ..CertificateOrder::root()
    }
}

fn bundle(certificates: &[Vec<u8>]) -> Vec<u8> {
    cbor::array(certificates.iter().map(|der| cbor::bytes(der)))
}

#[test]
fn an_empty_bundle_proves_nothing() {
    assert_eq!(
        after(|order| order.set("cabundle", cbor::array([]))),
        (ResultCode::Malformed, "cabundle-count")
    );
    // Nor does a leaf that stands for the whole chain.
    assert_eq!(
        after(|order| {
            order.leaf.issuer = order.leaf.subject.clone();
            let leaf = order.leaf.make(&signing_key(order.leaf.key_seed));
            order.set("cabundle", bundle(std::slice::from_ref(&leaf)));
            order.set("certificate", cbor::bytes(&leaf));
        }),
        (ResultCode::Chain, "untrusted-root")
    );
}

#[test]
fn a_root_that_the_document_brings_is_not_trusted() {
    let trusted = DocumentOrder::valid().roots();
    // A whole PKI with the names of the trusted one, and keys of the attacker's.
    let mut forged = DocumentOrder::valid();
    forged.bundle[0].key_seed = 9;
    assert_eq!(forged.verify().map(drop), Ok(()), "sound but for its root");
    let refused = (ResultCode::Chain, "untrusted-root");
    assert_eq!(under(&trusted, &forged.make()), refused);
    assert_eq!(under(&Roots::aws(), &forged.make()), refused);
}

#[test]
fn a_certificate_of_the_bundle_is_no_trust_anchor() {
    let with_second_root = |name| {
        move |order: &mut DocumentOrder| {
            let root = order.certificates().remove(0);
            let second = self_signed(9, name).make(&signing_key(9));
            order.leaf.issuer = der::name(name);
            let leaf = order.leaf.make(&signing_key(9));
            order.set("cabundle", bundle(&[root, second]));
            order.set("certificate", cbor::bytes(&leaf));
        }
    };
    // Its own issuer, under another name and under the root's.
    let issuer = (ResultCode::Chain, "certificate-issuer");
    assert_eq!(after(with_second_root("second root")), issuer);
    let signature = (ResultCode::Chain, "certificate-signature");
    assert_eq!(after(with_second_root("root")), signature);
}

#[test]
fn without_a_root_there_is_no_question() {
    for nothing in [&b""[..], b"\n", b"-----BEGIN CERTIFICATE-----"] {
        let error = Roots::from_pem_or_der(nothing).unwrap_err();
        assert_eq!(error.code(), ResultCode::Usage, "{nothing:?}");
    }
}

#[test]
fn without_a_certificate_there_is_no_evidence() {
    let missing = (ResultCode::Malformed, "missing-key");
    assert_eq!(after(|order| order.remove("certificate")), missing);
    assert_eq!(after(|order| order.remove("cabundle")), missing);
    assert_eq!(
        after(|order| order.set("certificate", cbor::NULL.to_vec())),
        (ResultCode::Malformed, "cbor-type")
    );
}

#[test]
fn an_end_entity_issues_nothing() {
    // The leaf of a valid document signs another leaf, whose key the attacker has.
    assert_eq!(
        after(|order| {
            let mut certificates = order.certificates();
            let forged = CertificateOrder {
                key_seed: 9,
                issuer: order.leaf.subject.clone(),
                subject: der::name("forged"),
                ..CertificateOrder::leaf()
            };
            certificates.remove(1);
            let leaf = CertificateOrder {
                issuer: order.bundle[0].subject.clone(),
                ..CertificateOrder::leaf()
            };
            certificates[1] = leaf.make(&signing_key(0));
            order.set("cabundle", bundle(&certificates));
            order.set("certificate", cbor::bytes(&forged.make(&signing_key(2))));
        }),
        (ResultCode::Chain, "certificate-not-ca")
    );
}

#[test]
fn a_path_length_neither_wraps_nor_is_passed_over() {
    let path_length = |content: &[u8]| {
        let value = der::sequence(&[&[0x01, 0x01, 0xff], &der::integer(content)]);
        extension(BASIC_CONSTRAINTS, true, &value)
    };
    assert_eq!(
        after(|order| order.bundle[0].basic_constraints = Some(path_length(&[0]))),
        (ResultCode::Chain, "certificate-path-length")
    );
    assert_eq!(
        after(|order| order.bundle[1].basic_constraints = Some(path_length(&[0]))),
        TRUSTED
    );
    // Two to the 64th and one less: in 64 bits they are 0, and −1 with a sign.
    for large in [
        &[1, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &[0, 255, 255, 255, 255, 255, 255, 255, 255],
    ] {
        assert_eq!(
            after(|order| order.bundle[0].basic_constraints = Some(path_length(large))),
            TRUSTED
        );
    }
    assert_eq!(
        after(|order| order.bundle[1].basic_constraints = Some(path_length(&[0xff]))),
        (ResultCode::Chain, "certificate-der")
    );
}

#[test]
fn a_good_signature_under_another_name_is_no_issuance() {
    assert_eq!(
        after(|order| order.leaf.issuer = der::name("somebody else")),
        (ResultCode::Chain, "certificate-issuer")
    );
}

#[test]
fn only_ecdsa_on_p384_with_sha384_stands_in_a_chain() {
    let rsa_with_sha256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    let rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let ed25519 = der::sequence(&[&der::oid(&[0x2b, 0x65, 0x70])]);
    let with_null = |id: &[u8]| der::sequence(&[&der::oid(id), &[0x05, 0x00]]);
    let algorithm = (ResultCode::Chain, "certificate-signature-algorithm");
    for other in [with_null(&rsa_with_sha256), ed25519.clone()] {
        assert_eq!(
            after(|order| {
                order.bundle[1].inner_algorithm = other.clone();
                order.bundle[1].outer_algorithm = other;
            }),
            algorithm
        );
    }
    let key = (ResultCode::Chain, "certificate-public-key-algorithm");
    for other in [with_null(&rsa), ed25519] {
        assert_eq!(after(|order| order.bundle[1].key_algorithm = other), key);
    }
}

#[test]
fn a_curve_is_named_never_described() {
    // ecPublicKey with SpecifiedECDomain parameters: version 1, a prime field of 15, and so on.
    let field = der::sequence(&[
        &der::oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x01, 0x01]),
        &der::integer(&[15]),
    ]);
    let curve = der::sequence(&[&der::octets(&[1]), &der::octets(&[2])]);
    let parameters = der::sequence(&[
        &der::integer(&[1]),
        &field,
        &curve,
        &der::octets(&[2, 3]),
        &der::integer(&[7]),
    ]);
    let ec_public_key = der::oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
    let described = der::sequence(&[&ec_public_key, &parameters]);
    let refused = (ResultCode::Chain, "certificate-public-key-algorithm");
    assert_eq!(
        after(|order| order.leaf.key_algorithm = described.clone()),
        refused
    );
    assert_eq!(
        after(|order| order.bundle[1].key_algorithm = described),
        refused
    );
}

#[test]
fn a_key_is_the_whole_bit_string_not_its_end() {
    let point = |order: &CertificateOrder| {
        let key = signing_key(order.key_seed);
        key.verifying_key().to_sec1_point(false).as_bytes().to_vec()
    };
    let refused = (ResultCode::Chain, "certificate-public-key-point");
    // The right 96 bytes at the end, something else before them.
    for before in [&[][..], &[0x04, 0x04], &[0x00], &[0x02]] {
        assert_eq!(
            after(|order| {
                let end = point(&order.leaf).split_off(1);
                order.leaf.point = Some([before, &end].concat());
            }),
            refused
        );
    }
}

#[test]
fn an_unknown_critical_extension_is_not_passed_over() {
    assert_eq!(
        after(|order| {
            let constraints = extension(NAME_CONSTRAINTS, true, &[0x30, 0x00]);
            order.bundle[1].more_extensions.push(constraints);
        }),
        (ResultCode::Chain, "certificate-critical-extension")
    );
}

#[test]
fn the_root_stands_first_and_the_order_is_fixed() {
    assert_eq!(after(|_| {}), TRUSTED);
    let reversed = |order: &mut DocumentOrder| {
        let mut certificates = order.certificates();
        certificates.truncate(order.bundle.len());
        certificates.reverse();
        order.set("cabundle", bundle(&certificates));
    };
    assert_eq!(after(reversed), (ResultCode::Chain, "untrusted-root"));
}

#[test]
fn many_issuers_of_one_name_start_no_search() {
    // Seven CAs that could each have issued each other by name; one order would do, and it is not looked for.
    let crowd = |order: &mut DocumentOrder, count: u8| {
        let root = order.certificates().remove(0);
        let namesakes = (1..count).map(|seed| {
            let mut namesake = self_signed(seed, "root");
            namesake.serial = vec![seed];
            namesake.make(&signing_key(0))
        });
        let certificates: Vec<_> = [root].into_iter().chain(namesakes).collect();
        order.set("cabundle", bundle(&certificates));
        order.leaf.issuer = der::name("root");
        order.set(
            "certificate",
            cbor::bytes(&order.leaf.make(&signing_key(1))),
        );
    };
    assert_eq!(
        after(|order| crowd(order, 8)),
        (ResultCode::Chain, "certificate-signature")
    );
    assert_eq!(
        after(|order| crowd(order, 9)),
        (ResultCode::Malformed, "cabundle-count")
    );
}

#[test]
fn a_ca_without_the_right_to_sign_certificates_signs_none() {
    // digitalSignature alone.
    let usage = extension(KEY_USAGE, true, &[0x03, 0x02, 0x07, 0x80]);
    let refused = (ResultCode::Chain, "certificate-key-cert-sign");
    assert_eq!(
        after(|order| order.bundle[1].key_usage = Some(usage)),
        refused
    );
    assert_eq!(after(|order| order.bundle[1].key_usage = None), refused);
}
