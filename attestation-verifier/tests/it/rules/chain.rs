//! DESIGN §4 *Chain*: how the certificates follow each other.

use nacre_attestation_verifier::{
    CertificateError, CertificatePosition, ChainError, ResultCode, Roots, UnixMillis,
    VerificationTime, VerifyError, verify,
};

use super::{assert_accepted, assert_error, assert_refused};
use crate::builder::certificate::{
    BASIC_CONSTRAINTS, CA, CA_PATH_LENGTH_0, CertificateOrder, KEY_USAGE, LEAF_KEY_USAGE, NO_CA,
    extension,
};
use crate::builder::{DocumentOrder, NOW_MS, cbor, der};

const LEAF_NOT_BEFORE_MS: u64 = 1_749_996_000_000;
const LEAF_NOT_AFTER_MS: u64 = 1_750_006_800_000;

fn refused(rule: &str, change: impl FnOnce(&mut DocumentOrder)) {
    assert_refused(ResultCode::Chain, rule, change);
}

#[test]
fn the_root_is_the_trusted_one_byte_for_byte() {
    let at = VerificationTime::Live(UnixMillis(NOW_MS));
    let document = DocumentOrder::valid().make();
    assert_error(
        verify(&document, &Roots::aws(), at),
        ResultCode::Chain,
        "untrusted-root",
    );

    // The same key and the same names, only the serial number differs.
    let mut other = DocumentOrder::valid();
    other.bundle[0].serial = vec![0x55];
    assert_error(
        verify(&document, &other.roots(), at),
        ResultCode::Chain,
        "untrusted-root",
    );
}

#[test]
fn the_root_comes_first() {
    let swapped = |order: &DocumentOrder| {
        let certificates = order.certificates();
        cbor::array([cbor::bytes(&certificates[1]), cbor::bytes(&certificates[0])])
    };
    refused("untrusted-root", |order| {
        order.set("cabundle", swapped(order))
    });
}

#[test]
fn the_root_may_sign_the_leaf() {
    assert!(DocumentOrder::short().verify().is_ok());
}

#[test]
fn each_issuer_is_the_subject_before_it_byte_for_byte() {
    refused("certificate-issuer", |order| {
        order.bundle[1].issuer = der::name("Root")
    });
    refused("certificate-issuer", |order| {
        order.leaf.issuer = der::name("root")
    });
    // Equal as text, written as another string type.
    refused("certificate-issuer", |order| {
        let attribute = der::sequence(&[&der::oid(&[0x55, 0x04, 0x03]), &der::tlv(0x13, b"root")]);
        order.bundle[1].issuer = der::sequence(&[&der::tlv(0x31, &attribute)]);
    });
}

#[test]
fn no_certificate_is_left_out_or_stands_twice() {
    refused("certificate-issuer", |order| {
        let root = cbor::bytes(&order.certificates()[0]);
        order.set("cabundle", cbor::array([root]));
    });
    // The root issued itself, so that names and signatures fit however often it stands there.
    refused("certificate-repeated", |order| {
        let certificates = order.certificates();
        let bundle = [&certificates[0], &certificates[0], &certificates[1]];
        order.set("cabundle", cbor::array(bundle.map(|der| cbor::bytes(der))));
    });
}

#[test]
fn each_certificate_is_signed_by_the_one_before_it() {
    // Made for another issuer's key: the names fit, the signature does not.
    let foreign = |change: fn(&mut DocumentOrder)| {
        let mut other = DocumentOrder::valid();
        change(&mut other);
        other.certificates()
    };
    refused("certificate-signature", |order| {
        let leaf = foreign(|other| other.bundle[1].key_seed = 9).remove(2);
        order.set("certificate", cbor::bytes(&leaf));
    });
    refused("certificate-signature", |order| {
        let intermediate = foreign(|other| other.bundle[0].key_seed = 9).remove(1);
        let root = order.certificates().remove(0);
        order.set(
            "cabundle",
            cbor::array([cbor::bytes(&root), cbor::bytes(&intermediate)]),
        );
    });
}

#[test]
fn every_certificate_is_valid_at_the_given_time_both_ends_included() {
    let valid = DocumentOrder::valid();
    for at in [LEAF_NOT_BEFORE_MS, LEAF_NOT_AFTER_MS] {
        assert!(valid.verify_at(at).is_ok(), "{at}");
    }
    let late = valid.verify_at(LEAF_NOT_AFTER_MS + 1000);
    assert_error(late, ResultCode::Chain, "certificate-expired");
    assert_error(
        valid.verify_at(LEAF_NOT_BEFORE_MS - 1),
        ResultCode::Chain,
        "certificate-not-yet-valid",
    );
    assert_error(
        valid.verify_at(u64::MAX),
        ResultCode::Chain,
        "certificate-expired",
    );
    assert_error(
        valid.verify_at(0),
        ResultCode::Chain,
        "certificate-not-yet-valid",
    );

    for index in 0..2 {
        let validity = |from, to| der::sequence(&[&der::utc_time(from), &der::utc_time(to)]);
        refused("certificate-expired", |order| {
            order.bundle[index].validity = validity("200101000000Z", "250615150639Z");
        });
        refused("certificate-not-yet-valid", |order| {
            order.bundle[index].validity = validity("250615150641Z", "491231235959Z");
        });
    }
}

#[test]
fn the_evidence_knows_when_its_leaf_expires() {
    let evidence = DocumentOrder::valid().verify().unwrap();
    assert_eq!(evidence.leaf_not_after(), LEAF_NOT_AFTER_MS / 1000);
}

#[test]
fn cas_are_cas_with_critical_basic_constraints() {
    refused("certificate-not-ca", |order| {
        order.bundle[1].basic_constraints = Some(extension(BASIC_CONSTRAINTS, true, &NO_CA));
    });
    refused("certificate-not-ca", |order| {
        order.bundle[1].basic_constraints = None
    });
    refused("certificate-basic-constraints-critical", |order| {
        order.bundle[1].basic_constraints = Some(extension(BASIC_CONSTRAINTS, false, &CA));
    });
}

#[test]
fn ca_keys_may_sign_certificates() {
    refused("certificate-key-cert-sign", |order| {
        order.bundle[1].key_usage = Some(extension(KEY_USAGE, true, &LEAF_KEY_USAGE));
    });
    refused("certificate-key-cert-sign", |order| {
        order.bundle[1].key_usage = None
    });
}

#[test]
fn path_lengths_are_kept() {
    // Two intermediates below one that allows none, then one that allows one.
    let lengthen = |limit: u8| {
        move |order: &mut DocumentOrder| {
            let path_length = [0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, limit];
            order.bundle[1].basic_constraints =
                Some(extension(BASIC_CONSTRAINTS, true, &path_length));
            order.bundle.push(CertificateOrder {
                key_seed: 3,
                issuer: der::name("intermediate"),
                subject: der::name("instance"),
                basic_constraints: Some(extension(BASIC_CONSTRAINTS, true, &CA_PATH_LENGTH_0)),
                ..CertificateOrder::intermediate()
            });
            order.leaf.issuer = der::name("instance");
        }
    };
    assert_accepted(lengthen(1));
    refused("certificate-path-length", lengthen(0));
    // A root that allows no intermediate.
    refused("certificate-path-length", |order| {
        order.bundle[0].basic_constraints =
            Some(extension(BASIC_CONSTRAINTS, true, &CA_PATH_LENGTH_0));
    });
    // Self-issued certificates count as well.
    refused("certificate-path-length", |order| {
        lengthen(0)(order);
        order.bundle[2].subject = der::name("intermediate");
        order.leaf.issuer = der::name("intermediate");
    });
}

#[test]
fn the_leaf_is_no_ca() {
    refused("leaf-is-ca", |order| {
        order.leaf.basic_constraints = Some(extension(BASIC_CONSTRAINTS, true, &CA));
    });
    refused("leaf-is-ca", |order| {
        // digitalSignature and keyCertSign
        order.leaf.key_usage = Some(extension(KEY_USAGE, true, &[0x03, 0x02, 0x02, 0x84]));
    });
    refused("leaf-path-length", |order| {
        let path_length = [0x30, 0x03, 0x02, 0x01, 0x00];
        order.leaf.basic_constraints = Some(extension(BASIC_CONSTRAINTS, true, &path_length));
    });
    assert_accepted(|order| order.leaf.basic_constraints = None);
}

#[test]
fn the_leafs_key_may_sign() {
    refused("leaf-digital-signature", |order| {
        // nonRepudiation
        order.leaf.key_usage = Some(extension(KEY_USAGE, true, &[0x03, 0x02, 0x06, 0x40]));
    });
    refused("leaf-digital-signature", |order| {
        order.leaf.key_usage = None
    });
    refused("leaf-digital-signature", |order| {
        order.leaf.key_usage = None;
        order.leaf.basic_constraints = None;
    });
}

#[test]
fn errors_say_which_certificate() {
    let mut order = DocumentOrder::valid();
    order.bundle[1].key_usage = None;
    let chain = |position, error| VerifyError::Chain(ChainError::Certificate { position, error });
    let expected = chain(
        CertificatePosition::Bundle(1),
        CertificateError::KeyCertSign,
    );
    assert_eq!(order.verify(), Err(expected));

    let mut order = DocumentOrder::valid();
    order.leaf.key_usage = None;
    assert_eq!(
        order.verify(),
        Err(chain(
            CertificatePosition::Leaf,
            CertificateError::DigitalSignature
        ))
    );
}
