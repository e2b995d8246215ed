//! DESIGN §4 *Chain*: what each certificate is by itself. Every rule is tried on the leaf and on a CA.

use nacre_attestation_verifier::{ResultCode, Roots, RootsError};

use super::{assert_accepted, assert_error};
use crate::builder::certificate::{
    BASIC_CONSTRAINTS, CA, CertificateOrder, ECDSA_WITH_SHA256, KEY_USAGE, NAME_CONSTRAINTS,
    P521_KEY, extension,
};
use crate::builder::{DocumentOrder, der, signing_key};

/// Changes the leaf, then the intermediate, then the root, and expects each to be refused.
fn refused(rule: &str, change: impl Fn(&mut CertificateOrder)) {
    let mut leaf = DocumentOrder::valid();
    change(&mut leaf.leaf);
    assert_error(leaf.verify(), ResultCode::Chain, rule);

    let mut intermediate = DocumentOrder::valid();
    change(&mut intermediate.bundle[1]);
    assert_error(intermediate.verify(), ResultCode::Chain, rule);

    let mut root = CertificateOrder::root();
    change(&mut root);
    match Roots::development(root.make(&signing_key(0))) {
        Err(RootsError::Certificate(error)) => assert_eq!(error.rule(), rule, "{error}"),
        other => panic!("{rule}: {other:?}"),
    }
}

fn accepted(change: impl Fn(&mut CertificateOrder)) {
    assert_accepted(|order| change(&mut order.leaf));
    assert_accepted(|order| change(&mut order.bundle[1]));
    assert_accepted(|order| change(&mut order.bundle[0]));
}

#[test]
fn version_3() {
    refused("certificate-version", |order| {
        order.version = vec![0xa0, 0x03, 0x02, 0x01, 0x01]
    });
    refused("certificate-version", |order| {
        order.version = vec![0xa0, 0x03, 0x02, 0x01, 0x03]
    });
    refused("certificate-version", |order| order.version = Vec::new());
}

#[test]
fn serial_numbers_are_positive_and_have_up_to_21_octets() {
    accepted(|order| order.serial = [&[0x00], [0xf0; 20].as_slice()].concat());
    accepted(|order| order.serial = vec![0x7f; 21]);
    refused("certificate-serial-number", |order| {
        order.serial = vec![0x00]
    });
    refused("certificate-serial-number", |order| {
        order.serial = vec![0x7f; 22]
    });
    refused("certificate-serial-number", |order| {
        order.serial = vec![0x80]
    });
    refused("certificate-serial-number", |order| {
        order.serial = vec![0x00, 0x01]
    });
    refused("certificate-serial-number", |order| {
        order.serial = Vec::new()
    });
}

#[test]
fn ecdsa_with_sha384_inside_and_outside() {
    refused("certificate-signature-algorithm", |order| {
        order.inner_algorithm = ECDSA_WITH_SHA256.to_vec()
    });
    refused("certificate-signature-algorithm", |order| {
        order.outer_algorithm = ECDSA_WITH_SHA256.to_vec()
    });
    let with_null =
        |order: &CertificateOrder| der::sequence(&[&order.outer_algorithm[2..], &[0x05, 0x00]]);
    refused("certificate-signature-algorithm", |order| {
        order.outer_algorithm = with_null(order)
    });
    refused("certificate-signature-algorithm", |order| {
        order.inner_algorithm = with_null(order)
    });
}

#[test]
fn names_are_strict_and_not_empty() {
    for name in [
        vec![0x30, 0x00],             // no attribute
        vec![0x30, 0x02, 0x31, 0x00], // an empty set
        der::sequence(&[&der::tlv(0x31, &der::sequence(&[&der::oid(&[0x55])]))]), // no value
        der::tlv(0x31, b""),
        // 2.10804.3: an identifier that parsers read differently, or not at all.
        der::sequence(&[&der::tlv(
            0x31,
            &der::sequence(&[&der::oid(&[0xd5, 0x04, 0x03]), &der::tlv(0x0c, b"x")]),
        )]),
    ] {
        refused("certificate-name", |order| order.issuer = name.clone());
        refused("certificate-name", |order| order.subject = name.clone());
    }
}

#[test]
fn a_name_with_several_attributes_in_one_set_has_them_in_order() {
    let attribute =
        |id, text: &[u8]| der::sequence(&[&der::oid(&[0x55, 0x04, id]), &der::tlv(0x0c, text)]);
    let name =
        |first: &[u8], second: &[u8]| der::sequence(&[&der::tlv(0x31, &[first, second].concat())]);
    let (less, greater) = (attribute(0x03, b"x"), attribute(0x0a, b"x"));
    assert_accepted(|order| order.leaf.subject = name(&less, &greater));
    refused("certificate-name", |order| {
        order.subject = name(&greater, &less)
    });
}

#[test]
fn times_have_the_form_of_rfc_5280() {
    let validity = |from: Vec<u8>, to: Vec<u8>| der::sequence(&[&from, &to]);
    let from = || der::utc_time("200101000000Z");
    accepted(|order| order.validity = validity(from(), der::generalized_time("20500101000000Z")));
    for to in [
        der::generalized_time("20491231235959Z"),
        der::generalized_time("20500101000000"),
        der::generalized_time("20500101000000.5Z"),
        der::utc_time("4912312359Z"),
        der::utc_time("491231235959+0000"),
        der::utc_time("490230000000Z"),
        der::utc_time("49123123596xZ"),
        der::integer(&[1]),
    ] {
        refused("certificate-validity-encoding", |order| {
            order.validity = validity(from(), to.clone())
        });
    }
    refused("certificate-validity-encoding", |order| {
        order.validity = der::sequence(&[&from()])
    });
    refused("certificate-trailing-bytes", |order| {
        order.validity = der::sequence(&[&from(), &der::utc_time("491231235959Z"), &from()]);
    });
}

#[test]
fn keys_are_named_p384_and_uncompressed_points_of_the_curve() {
    refused("certificate-public-key-algorithm", |order| {
        order.key_algorithm = P521_KEY.to_vec()
    });
    refused("certificate-public-key-algorithm", |order| {
        // rsaEncryption
        let rsa = der::oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]);
        order.key_algorithm = der::sequence(&[&rsa, &[0x05, 0x00]]);
    });
    let point = |order: &CertificateOrder, compress| {
        signing_key(order.key_seed)
            .verifying_key()
            .to_sec1_point(compress)
            .as_bytes()
            .to_vec()
    };
    refused("certificate-public-key-point", |order| {
        order.point = Some(point(order, true))
    });
    refused("certificate-public-key-point", |order| {
        let mut off_curve = point(order, false);
        off_curve[96] ^= 1;
        order.point = Some(off_curve);
    });
    refused("certificate-public-key-point", |order| {
        // The hybrid form of X9.62.
        let mut hybrid = point(order, false);
        hybrid[0] = 0x06 | hybrid[96] & 1;
        order.point = Some(hybrid);
    });
    refused("certificate-public-key-point", |order| {
        // x is not below the field's prime.
        let mut unreduced = point(order, false);
        unreduced[1..49].fill(0xff);
        order.point = Some(unreduced);
    });
    refused("certificate-trailing-bytes", |order| {
        order.after_point = vec![0x05, 0x00]
    });
    for point in [vec![], vec![0x00], vec![0x04; 96], vec![0x04; 98]] {
        refused("certificate-public-key-point", |order| {
            order.point = Some(point.clone())
        });
    }
}

#[test]
fn no_unique_identifiers() {
    refused("certificate-unique-identifier", |order| {
        order.unique_identifier = der::tlv(0x81, &[0x00, 0x01])
    });
    refused("certificate-unique-identifier", |order| {
        order.unique_identifier = der::tlv(0x82, &[0x00, 0x01])
    });
}

#[test]
fn unknown_extensions_are_ignored_unless_critical() {
    let unknown: &[u8] = &[0x2a, 0x03, 0x04];
    accepted(|order| {
        order
            .more_extensions
            .push(extension(unknown, false, b"\x04\x08anything"))
    });
    refused("certificate-der", |order| {
        order
            .more_extensions
            .push(extension(unknown, false, b"anything"));
    });
    refused("certificate-critical-extension", |order| {
        order
            .more_extensions
            .push(extension(unknown, true, b"anything"));
    });
    refused("certificate-critical-extension", |order| {
        order
            .more_extensions
            .push(extension(NAME_CONSTRAINTS, true, &[0x30, 0x00]));
    });
}

#[test]
fn extensions_stand_once() {
    for id in [BASIC_CONSTRAINTS, KEY_USAGE] {
        refused("certificate-duplicate-extension", |order| {
            let known = if id == KEY_USAGE {
                &order.key_usage
            } else {
                &order.basic_constraints
            };
            order.more_extensions.push(known.clone().unwrap());
        });
    }
    refused("certificate-duplicate-extension", |order| {
        order.more_extensions = vec![extension(&[0x2a, 0x03, 0x04], false, b"\x04\x01x"); 2];
    });
}

#[test]
fn basic_constraints_are_strict() {
    for value in [
        &[0x30, 0x03, 0x01, 0x01, 0x00][..], // the default spelled out
        &[0x30, 0x03, 0x01, 0x01, 0x01],     // TRUE is ff
        &[0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0xff], // a negative path length
        &[0x30, 0x07, 0x01, 0x01, 0xff, 0x02, 0x02, 0x00, 0x01], // not in the shortest form
        &[0x30, 0x81, 0x03, 0x01, 0x01, 0xff], // a length not in its shortest form
        &[0x30, 0x80, 0x01, 0x01, 0xff, 0x00, 0x00], // indefinite length
        &[0x30, 0x03, 0x01, 0x01, 0xff, 0x00], // a byte too many
        &[],
    ] {
        refused("certificate-der", |order| {
            order.basic_constraints = Some(extension(BASIC_CONSTRAINTS, true, value));
        });
    }
}

#[test]
fn key_usage_is_a_strict_named_bit_list() {
    for value in [
        &[0x03, 0x02, 0x00, 0x86][..],      // trailing zero bit not left out
        &[0x03, 0x02, 0x02, 0x86],          // an unused bit is set
        &[0x03, 0x03, 0x00, 0x86, 0x00],    // trailing zero octet
        &[0x03, 0x02, 0x08, 0x86],          // eight unused bits
        &[0x03, 0x01, 0x00],                // no bit
        &[0x03, 0x04, 0x07, 0x86, 0, 0x80], // more bits than there are usages
        &[0x04, 0x02, 0x01, 0x86],          // not a BIT STRING
    ] {
        refused("certificate-der", |order| {
            order.key_usage = Some(extension(KEY_USAGE, true, value))
        });
    }
}

#[test]
fn extensions_are_strict() {
    refused("certificate-der", |order| {
        // critical FALSE spelled out
        let id = der::oid(&[0x2a, 0x03, 0x04]);
        order.more_extensions.push(der::sequence(&[
            &id,
            &[0x01, 0x01, 0x00],
            &der::octets(b""),
        ]));
    });
    refused("certificate-der", |order| {
        order
            .more_extensions
            .push(der::sequence(&[&der::oid(&[0x2a, 0x03, 0x04])]));
    });
    refused("certificate-trailing-bytes", |order| {
        order.more_extensions.push(der::sequence(&[
            &der::oid(&[0x2a, 0x03, 0x04]),
            &der::octets(b""),
            &[0x05, 0x00],
        ]));
    });
    refused("certificate-trailing-bytes", |order| {
        order.after_tbs_fields = vec![0x05, 0x00]
    });
    // An empty list, and a good one under another context tag.
    let basic_constraints = extension(BASIC_CONSTRAINTS, true, &CA);
    for extensions in [
        der::tlv(0xa3, &[0x30, 0x00]),
        der::tlv(0xa4, &der::sequence(&[&basic_constraints])),
    ] {
        refused("certificate-der", |order| {
            order.basic_constraints = None;
            order.key_usage = None;
            order.after_tbs_fields = extensions.clone();
        });
    }
}

#[test]
fn signatures_are_strict_der_in_range() {
    // Each changes the encoding of one number and leaves everything else.
    type Rewrite = fn(&[u8]) -> Vec<u8>;
    let changes: [Rewrite; 7] = [
        |_| {
            der::bits(
                0,
                &der::sequence(&[&der::integer(&[0x80]), &der::integer(&[1])]),
            )
        },
        |signature| der::bits(1, signature),
        |signature| der::bits(0, &[signature, &[0]].concat()),
        |signature| der::bits(0, &[&[0x30, 0x81], &signature[1..]].concat()),
        |signature| {
            let padded = [&[0x02, signature[3] + 1, 0x00], &signature[4..]].concat();
            der::bits(0, &der::tlv(0x30, &padded))
        },
        |_| {
            der::bits(
                0,
                &der::sequence(&[&der::integer(&[0]), &der::integer(&[1])]),
            )
        },
        |_| der::bits(0, &der::sequence(&[&der::integer(&[1])])),
    ];
    for change in changes {
        refused("certificate-signature-encoding", |order| {
            order.signature = change
        });
    }
}

#[test]
fn nothing_follows_a_certificate_or_its_signature() {
    refused("certificate-trailing-bytes", |order| {
        order.after = vec![0x00]
    });
    refused("certificate-trailing-bytes", |order| {
        order.after_signature = vec![0x05, 0x00]
    });
}

#[test]
fn lengths_are_in_their_shortest_form() {
    // The outer SEQUENCE of 300 to 600 bytes with a length of three octets.
    let certificate = CertificateOrder::root().make(&signing_key(0));
    let stretched = [&[0x30, 0x83, 0x00], &certificate[2..]].concat();
    match Roots::development(stretched) {
        Err(RootsError::Certificate(error)) => assert_eq!(error.rule(), "certificate-der"),
        other => panic!("{other:?}"),
    }
}
