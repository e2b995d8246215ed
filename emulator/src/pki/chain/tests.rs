//! Certificates against a fixed description of AWS's, and their replacement over time.

use der::{Decode as _, Encode as _, Tag, Tagged as _};
use rand::SeedableRng as _;
use x509_cert::Certificate;
use x509_cert::time::Time;

use super::*;

const NOW: u64 = 1_790_000_000;

fn chain() -> (Chain, StdRng) {
    let mut rng = StdRng::seed_from_u64(3);
    let root = Root::generate(&mut rng, NOW * 1000).unwrap();
    let identity = InstanceIdentity::random(&mut rng, NOW * 1000);
    let chain = Chain::mint(root, identity, &mut rng, NOW * 1000).unwrap();
    (chain, rng)
}

fn certificates(chain: &Chain) -> Vec<Certificate> {
    let bundle = chain.cabundle().into_iter().chain([chain.leaf()]);
    bundle
        .map(|der| Certificate::from_der(der).unwrap())
        .collect()
}

/// A certificate in the words of the fixed description below.
#[derive(Debug, PartialEq)]
struct Shape {
    attributes: String,
    extensions: Vec<(String, bool, String)>,
    lifetime: u64,
}

fn shape(certificate: &Certificate) -> Shape {
    let statement = certificate.tbs_certificate();
    let attributes = statement
        .subject()
        .iter()
        .map(|attribute| {
            let kind = match attribute.value.tag() {
                Tag::PrintableString => 'p',
                Tag::Utf8String => 'u',
                _ => '?',
            };
            format!(
                "{}{kind}",
                attribute.oid.to_string().rsplit('.').next().unwrap()
            )
        })
        .collect::<Vec<_>>()
        .join(" ");
    let extensions = statement
        .extensions()
        .unwrap()
        .iter()
        .map(|extension| {
            let id = extension
                .extn_id
                .to_string()
                .rsplit('.')
                .next()
                .unwrap()
                .to_owned();
            // Constraints and usage are compared whole, identifiers and addresses by their head.
            let kept = match id.as_str() {
                "19" | "15" => usize::MAX,
                "35" => 4,
                "14" => 2,
                _ => 1,
            };
            let value = extension.extn_value.as_bytes();
            (
                id,
                extension.critical,
                hex::encode(&value[..value.len().min(kept)]),
            )
        })
        .collect();
    let validity = statement.validity();
    let lifetime = validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration();
    Shape {
        attributes,
        extensions,
        lifetime: lifetime.as_secs(),
    }
}

/// What AWS's certificates look like, level by level: the subject's attributes with their string
/// types, the extensions with criticality and content, the lifetime.
fn aws() -> Vec<Shape> {
    let extensions = |list: &[(&str, bool, &str)]| {
        list.iter()
            .map(|(id, critical, value)| ((*id).to_owned(), *critical, (*value).to_owned()))
            .collect()
    };
    let issued = |path: &'static str| {
        extensions(&[
            ("19", true, path),
            ("35", false, "30168014"),
            ("14", false, "0414"),
            ("15", true, "03020186"),
            ("31", false, "30"),
        ])
    };
    let hour = 3600;
    vec![
        Shape {
            attributes: "6p 10u 11u 3u".to_owned(),
            extensions: extensions(&[
                ("19", true, "30030101ff"),
                ("14", false, "0414"),
                ("15", true, "03020186"),
            ]),
            lifetime: (10_958 * 24 + 1) * hour,
        },
        Shape {
            attributes: "6p 10u 11u 3u".to_owned(),
            extensions: issued("30060101ff020102"),
            lifetime: (20 * 24 + 1) * hour,
        },
        Shape {
            attributes: "3u 11u 10u 6p 8u 7u".to_owned(),
            extensions: issued("30060101ff020101"),
            lifetime: 6 * 24 * hour,
        },
        Shape {
            attributes: "6p 8u 7u 10u 11u 3u".to_owned(),
            extensions: extensions(&[
                ("19", true, "30060101ff020100"),
                ("15", true, "03020204"),
                ("14", false, "0414"),
                ("35", false, "30168014"),
            ]),
            lifetime: 24 * hour,
        },
        Shape {
            attributes: "6p 8u 7u 10u 11u 3u".to_owned(),
            extensions: extensions(&[("19", true, "3000"), ("15", false, "030206c0")]),
            lifetime: 3 * hour + 3,
        },
    ]
}

#[test]
fn every_level_has_awss_shape() {
    let (chain, _) = chain();
    assert_eq!(
        certificates(&chain).iter().map(shape).collect::<Vec<_>>(),
        aws()
    );
}

#[test]
fn every_level_is_ecdsa_with_sha384_on_p384() {
    let (chain, _) = chain();
    for certificate in certificates(&chain) {
        let statement = certificate.tbs_certificate();
        for algorithm in [statement.signature(), certificate.signature_algorithm()] {
            assert_eq!(algorithm.oid.to_string(), "1.2.840.10045.4.3.3");
            assert_eq!(algorithm.parameters, None);
        }
        let key = statement.subject_public_key_info();
        assert_eq!(key.algorithm.oid.to_string(), "1.2.840.10045.2.1");
        let curve = key.algorithm.parameters.as_ref().unwrap().to_der().unwrap();
        assert_eq!(hex::encode(curve), "06052b81040022");
        let point = key.subject_public_key.raw_bytes();
        assert_eq!((point.len(), point[0]), (97, 4));
        assert_eq!(format!("{:?}", statement.version()), "V3");
    }
}

#[test]
fn serials_are_as_long_as_awss() {
    let (chain, _) = chain();
    let certificates = certificates(&chain);
    let serial = |depth: usize| {
        certificates[depth]
            .tbs_certificate()
            .serial_number()
            .as_bytes()
            .to_vec()
    };
    for depth in [0, 1, 2] {
        assert!((16..=17).contains(&serial(depth).len()));
    }
    assert!((20..=21).contains(&serial(3).len()));
    assert_eq!(
        serial(4),
        [chain.identity.enclave(), NOW.to_be_bytes()].concat()
    );
}

#[test]
fn each_level_is_signed_by_the_one_above() {
    let (chain, _) = chain();
    let certificates = certificates(&chain);
    for (depth, certificate) in certificates.iter().enumerate() {
        let above = &certificates[depth.saturating_sub(1)];
        assert_eq!(
            certificate.tbs_certificate().issuer(),
            above.tbs_certificate().subject()
        );
        let key = [
            chain.root.key(),
            &chain.regional.key,
            &chain.zonal.key,
            &chain.instance.key,
        ];
        let signature =
            p384::ecdsa::DerSignature::try_from(certificate.signature().raw_bytes()).unwrap();
        assert!(
            key[depth.saturating_sub(1)]
                .verifies(&certificate.tbs_certificate().to_der().unwrap(), &signature)
        );
    }
}

#[test]
fn years_from_2050_on_are_generalized_time() {
    let (chain, _) = chain();
    let root = &certificates(&chain)[0];
    assert!(matches!(
        root.tbs_certificate().validity().not_before,
        Time::UtcTime(_)
    ));
    assert!(matches!(
        root.tbs_certificate().validity().not_after,
        Time::GeneralTime(_)
    ));
}

#[test]
fn certificates_fit_what_aws_describes() {
    let (chain, _) = chain();
    for der in chain.cabundle().into_iter().chain([chain.leaf()]) {
        assert!((1..=1024).contains(&der.len()), "{}", der.len());
    }
}

/// Forty days, half an hour at a time: the leaf always holds, nothing outlives its issuer, and
/// nothing is replaced that need not be.
#[test]
fn certificates_are_replaced_in_time_and_not_before() {
    let (mut chain, mut rng) = chain();
    let mut replaced = [0; 4];
    for step in 0..40 * 48 {
        let now = NOW + step * 1800;
        let before: Vec<Vec<u8>> = below_root(&chain)
            .iter()
            .map(|level| level.der.clone())
            .collect();
        chain.refresh(&mut rng, now * 1000).unwrap();
        let levels = below_root(&chain);
        for (count, (old, new)) in replaced.iter_mut().zip(before.iter().zip(levels)) {
            *count += usize::from(*old != new.der);
        }
        let mut issuer = chain.root.validity();
        for level in levels {
            assert!(level.validity.covers(now));
            assert!(issuer.from <= level.validity.from && level.validity.until <= issuer.until);
            issuer = level.validity;
        }
        assert!(chain.leaf.validity.covers(now + LEAF_MARGIN));
    }
    // Leaves last 2.5 hours, instance certificates 21, zonal ones 5, regional ones 14 days and some.
    assert_eq!(replaced[0], 2);
    assert!((6..=9).contains(&replaced[1]), "{replaced:?}");
    assert!((40..=50).contains(&replaced[2]), "{replaced:?}");
    assert!((300..=420).contains(&replaced[3]), "{replaced:?}");
}

#[test]
fn a_clock_that_steps_back_gets_new_certificates() {
    let (mut chain, mut rng) = chain();
    let later = NOW + 30 * 24 * 3600;
    chain.refresh(&mut rng, later * 1000).unwrap();
    chain.refresh(&mut rng, NOW * 1000).unwrap();
    assert!(chain.leaf.validity.covers(NOW));
    assert!(
        below_root(&chain)
            .iter()
            .all(|level| level.validity.covers(NOW))
    );
}

#[test]
fn nothing_is_issued_outside_the_root() {
    let (mut chain, mut rng) = chain();
    let leaf = chain.leaf().to_vec();
    for now in [NOW - 3601, NOW + 10_958 * 24 * 3600] {
        let error = chain.refresh(&mut rng, now * 1000).unwrap_err();
        assert!(matches!(error, IssueError::OutsideRoot { .. }), "{error}");
    }
    assert_eq!(chain.leaf(), leaf);
}

fn below_root(chain: &Chain) -> [&Certified; 4] {
    [&chain.regional, &chain.zonal, &chain.instance, &chain.leaf]
}
