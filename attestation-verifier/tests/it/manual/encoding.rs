//! `src/manual/encoding.rs`

use nacre_attestation_verifier::ResultCode;

use super::{TRUSTED, Verdict, after, under};
use crate::builder::certificate::{
    BASIC_CONSTRAINTS, CA, CA_KEY_USAGE, CertificateOrder, ECDSA_WITH_SHA384, KEY_USAGE, P521_KEY,
    extension,
};
use crate::builder::{DocumentOrder, Envelope, cbor, der, signing_key};

const BAD_DER: Verdict = (ResultCode::Chain, "certificate-der");
const LEFT_OVER: Verdict = (ResultCode::Chain, "certificate-trailing-bytes");

#[test]
fn a_length_has_one_spelling() {
    let leaf = CertificateOrder::leaf().make(&signing_key(1));
    let [0x30, 0x82, high, low, content @ ..] = &leaf[..] else {
        panic!("another length than of two octets: {leaf:02x?}");
    };
    let spelt = |length: &[u8], end: &[u8]| {
        let leaf = [&[0x30], length, content, end].concat();
        after(|order| order.set("certificate", cbor::bytes(&leaf)))
    };
    assert_eq!(spelt(&[0x82, *high, *low], &[]), TRUSTED);
    assert_eq!(spelt(&[0x83, 0, *high, *low], &[]), BAD_DER);
    assert_eq!(spelt(&[0x84, 0, 0, *high, *low], &[]), BAD_DER);
    // Of indefinite length, with its end mark.
    assert_eq!(spelt(&[0x80], &[0, 0]), BAD_DER);
}

#[test]
fn a_tag_is_part_of_the_value() {
    // A SET for a SEQUENCE, an OCTET STRING for an object identifier.
    let retagged = |value: &[u8], tag: u8| [&[tag], &value[1..]].concat();
    let name = (ResultCode::Chain, "certificate-name");
    assert_eq!(
        after(|order| order.leaf.issuer = retagged(&order.leaf.issuer, 0x31)),
        name
    );
    assert_eq!(
        after(|order| order.leaf.validity = retagged(&order.leaf.validity, 0x31)),
        BAD_DER
    );
    assert_eq!(
        after(|order| order.leaf.key_algorithm[2] = 0x04),
        (ResultCode::Chain, "certificate-public-key-algorithm")
    );
    assert_eq!(
        after(|order| order.leaf.outer_algorithm[2] = 0x04),
        (ResultCode::Chain, "certificate-signature-algorithm")
    );
    assert_eq!(
        after(|order| {
            let mut usage = extension(KEY_USAGE, true, &CA_KEY_USAGE);
            usage[2] = 0x04;
            order.bundle[1].key_usage = Some(usage);
        }),
        BAD_DER
    );
}

#[test]
fn nothing_is_left_over_anywhere() {
    assert_eq!(after(|order| order.leaf.after = vec![0]), LEFT_OVER);
    assert_eq!(
        after(|order| order.leaf.after_point = vec![5, 0]),
        LEFT_OVER
    );
    assert_eq!(
        after(|order| order.bundle[1].after_signature = vec![5, 0]),
        LEFT_OVER
    );
    assert_eq!(
        after(|order| order.leaf.version = vec![0xa0, 6, 2, 1, 2, 0, 0, 0]),
        (ResultCode::Chain, "certificate-version")
    );
    let left_over = (ResultCode::Malformed, "cbor-trailing-bytes");
    assert_eq!(after(|order| order.after_payload = vec![0]), left_over);
    let order = DocumentOrder::valid();
    let document = [order.make(), vec![0]].concat();
    assert_eq!(under(&order.roots(), &document), left_over);
}

#[test]
fn true_is_ff() {
    let with_boolean = |value: u8| {
        move |order: &mut DocumentOrder| {
            let id = der::oid(&[0x2a, 0x03, 0x04]);
            let critical = [0x01, 0x01, value];
            let extension = der::sequence(&[&id, &critical, &der::octets(b"x")]);
            order.leaf.more_extensions.push(extension);
        }
    };
    assert_eq!(after(with_boolean(0x01)), BAD_DER);
    assert_eq!(after(with_boolean(0x00)), BAD_DER);
    assert_eq!(
        after(with_boolean(0xff)),
        (ResultCode::Chain, "certificate-critical-extension")
    );
    let mut ca = CA;
    ca[4] = 0x01;
    assert_eq!(
        after(|order| {
            order.bundle[1].basic_constraints = Some(extension(BASIC_CONSTRAINTS, true, &ca));
        }),
        BAD_DER
    );
}

#[test]
fn key_usage_has_the_same_bits_in_one_octet_and_in_two() {
    let usage = |value: &'static [u8]| {
        move |order: &mut DocumentOrder| {
            order.bundle[1].key_usage = Some(extension(KEY_USAGE, true, value));
        }
    };
    // keyCertSign, then with decipherOnly, which is bit 8, then decipherOnly and bit 13.
    assert_eq!(after(usage(&[0x03, 0x02, 0x02, 0x04])), TRUSTED);
    assert_eq!(after(usage(&[0x03, 0x03, 0x07, 0x04, 0x80])), TRUSTED);
    assert_eq!(
        after(usage(&[0x03, 0x03, 0x02, 0x00, 0x84])),
        (ResultCode::Chain, "certificate-key-cert-sign")
    );
    assert_eq!(after(usage(&[0x03, 0x00])), BAD_DER);
    assert_eq!(after(usage(&[0x03, 0x01, 0x00])), BAD_DER);
}

#[test]
fn numbers_that_begin_with_a_zero_octet_are_whole() {
    // A key whose x begins with a zero octet.
    let x = |seed: u8| {
        signing_key(seed)
            .verifying_key()
            .to_sec1_point(false)
            .as_bytes()[1]
    };
    let key_seed = (0..=255).find(|seed| x(*seed) == 0).unwrap();
    assert_eq!(after(|order| order.leaf.key_seed = key_seed), TRUSTED);

    // A certificate whose r has fewer than 48 octets in DER.
    let certificate = |serial: u16| CertificateOrder {
        serial: [&[1], &serial.to_be_bytes()[..]].concat(),
        ..CertificateOrder::leaf()
    };
    let r_octets = |certificate: &[u8]| match certificate {
        [0x30, 0x82, _, _, 0x30, 0x81, to_be_signed, rest @ ..] => {
            let signature = &rest[usize::from(*to_be_signed) + ECDSA_WITH_SHA384.len()..];
            // The heads of the BIT STRING and the SEQUENCE, then of the first INTEGER.
            signature[6]
        }
        other => panic!("lengths of another size: {other:02x?}"),
    };
    let serial = (0..)
        .find(|serial| r_octets(&certificate(*serial).make(&signing_key(1))) < 48)
        .unwrap();
    assert_eq!(after(|order| order.leaf = certificate(serial)), TRUSTED);

    // A document whose r begins with a zero octet.
    let mut order = DocumentOrder::valid();
    order.set("nonce", cbor::bytes(&[0xee; 8]));
    let payload = order.payload();
    let at = payload
        .windows(8)
        .position(|bytes| bytes == [0xee; 8])
        .unwrap();
    let with_nonce = |nonce: u64| {
        let mut payload = payload.clone();
        payload[at..at + 8].copy_from_slice(&nonce.to_be_bytes());
        let signature = order.sign(&payload).to_bytes().to_vec();
        (payload, signature)
    };
    let (payload, signature) = (0..)
        .map(with_nonce)
        .find(|(_, signature)| signature[0] == 0)
        .unwrap();
    let document = Envelope::new(payload, signature).make();
    assert_eq!(under(&order.roots(), &document), TRUSTED);
}

#[test]
fn a_serial_number_may_have_an_octet_for_its_sign() {
    let serial = |octets: Vec<u8>| after(|order| order.leaf.serial = octets);
    assert_eq!(serial(vec![0x7f; 20]), TRUSTED);
    assert_eq!(serial([vec![0], vec![0xff; 20]].concat()), TRUSTED);
    let refused = (ResultCode::Chain, "certificate-serial-number");
    assert_eq!(serial([vec![0], vec![0xff; 21]].concat()), refused);
    assert_eq!(serial(vec![0xff; 20]), refused);
    assert_eq!(serial(vec![0]), refused);
}

#[test]
fn a_date_exists_and_means_its_own_year() {
    let until = |not_after: Vec<u8>| {
        move |order: &mut DocumentOrder| {
            order.leaf.validity = der::sequence(&[&der::utc_time("250615140000Z"), &not_after]);
        }
    };
    let refused = (ResultCode::Chain, "certificate-validity-encoding");
    for date in [
        "260230000000Z",
        "250631000000Z",
        "261301000000Z",
        "260101240000Z",
        "26a101000000Z",
    ] {
        assert_eq!(after(until(der::utc_time(date))), refused, "{date}");
    }
    // The 29th of February where there is one; a year of four digits in the year that it names.
    assert_eq!(after(until(der::utc_time("280229000000Z"))), TRUSTED);
    assert_eq!(
        after(until(der::generalized_time("20500101000000Z"))),
        TRUSTED
    );
    assert_eq!(
        after(until(der::utc_time("990101000000Z"))),
        (ResultCode::Chain, "certificate-expired")
    );
}

#[test]
fn nesting_ends_early() {
    for wrapper in [0xc1, 0x81] {
        let nested = [vec![wrapper; 4000], vec![0]].concat();
        assert_eq!(
            after(|order| order.add("bomb", nested)),
            (ResultCode::Malformed, "cbor-depth")
        );
    }
    // In the place of the document itself.
    let order = DocumentOrder::valid();
    let tags = [vec![0xd2; 4000], order.make()].concat();
    assert_eq!(
        under(&order.roots(), &tags),
        (ResultCode::Malformed, "cbor-type")
    );
}

#[test]
fn a_claim_of_many_costs_nothing() {
    let many = |major: u8| [&[major << 5 | 27][..], &[0x7f; 8]].concat();
    for (key, major, rule) in [
        ("pcrs", 5, "pcr-count"),
        ("cabundle", 4, "cabundle-count"),
        ("certificate", 2, "cbor-truncated"),
        ("user_data", 2, "cbor-truncated"),
        ("module_id", 3, "cbor-truncated"),
    ] {
        assert_eq!(
            after(|order| order.set(key, many(major))),
            (ResultCode::Malformed, rule),
            "{key}"
        );
    }
    let mut array = cbor::head(4, 1 << 40);
    array.extend([0; 1000]);
    assert_eq!(
        after(|order| order.add("list", array)),
        (ResultCode::Malformed, "cbor-count")
    );
}

#[test]
fn odd_input_is_refused_in_words() {
    // A certificate on P-521, and a point of that curve's length.
    assert_eq!(
        after(|order| {
            order.leaf.key_algorithm = P521_KEY.to_vec();
            order.leaf.point = Some(vec![4; 133]);
        }),
        (ResultCode::Chain, "certificate-public-key-algorithm")
    );
    // Every type in every place of the envelope.
    let order = DocumentOrder::valid();
    let valid = Envelope::new(order.payload(), vec![1; 96]);
    let odd = [
        cbor::uint(1),
        cbor::bytes(b"x"),
        cbor::text("x"),
        cbor::array([]),
        cbor::map([(cbor::uint(1), cbor::uint(2))]),
        cbor::NULL.to_vec(),
        vec![0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for value in odd {
        let places: [fn(&mut Envelope, Vec<u8>); 4] = [
            |envelope, value| envelope.protected = value,
            |envelope, value| envelope.unprotected = value,
            |envelope, value| envelope.payload = value,
            |envelope, value| envelope.signature = value,
        ];
        for place in places {
            let mut envelope = valid.clone();
            place(&mut envelope, value.clone());
            let (code, rule) = under(&order.roots(), &envelope.make());
            assert_eq!(code, ResultCode::Malformed, "{value:02x?}: {rule}");
        }
    }
}
