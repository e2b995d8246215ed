//! Signatures: made, checked, replaced, and refused where they are another's.

use std::fs;

use nacre_image::eif::Eif;
use nacre_image::sign::{KeyFile, SigningCertificate, sign_file};
use rcgen::{CertificateParams, KeyPair};
use sha2::{Digest as _, Sha384};

use crate::eif_hostile::with_checksum;
use crate::support::Parts;

/// A key and a self-signed certificate of this name, both in PEM.
pub(crate) fn key_and_certificate(name: &str) -> (String, String, Vec<u8>) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut parameters = CertificateParams::default();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let certificate = parameters.self_signed(&key).unwrap();
    (
        pem("PRIVATE KEY", &key.serialize_der()),
        pem("CERTIFICATE", certificate.der()),
        certificate.der().to_vec(),
    )
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    x509_cert::der::pem::encode_string(label, Default::default(), der).unwrap()
}

pub(crate) fn signer(name: &str) -> KeyFile {
    let (key, certificate, _) = key_and_certificate(name);
    let certificate = SigningCertificate::from_pem(certificate.as_bytes()).unwrap();
    KeyFile::from_pem(&key, certificate).unwrap()
}

#[test]
fn pcr8_is_the_certificates_and_the_others_stay() {
    let (key, pem, der) = key_and_certificate("builder");
    let certificate = SigningCertificate::from_pem(pem.as_bytes()).unwrap();
    let signer = KeyFile::from_pem(&key, certificate).unwrap();
    let (_, unsigned) = Parts::small().write(None);
    let (file, signed) = Parts::small().write(Some(&signer));
    let expected = Sha384::digest([&[0; 48][..], &Sha384::digest(&der)].concat());
    assert_eq!(signed.pcr8.unwrap().to_vec(), expected.to_vec());
    assert_eq!(
        (signed.pcr0, signed.pcr1, signed.pcr2),
        (unsigned.pcr0, unsigned.pcr1, unsigned.pcr2)
    );
    let eif = Eif::open(file).unwrap();
    assert_eq!(eif.measurements(), &signed);
    assert_eq!(eif.signer().unwrap().subject(), "CN=builder");
}

#[test]
fn signing_twice_gives_the_same_bytes() {
    let signer = signer("builder");
    assert_eq!(
        Parts::small().write(Some(&signer)).0,
        Parts::small().write(Some(&signer)).0
    );
}

#[test]
fn an_image_that_is_there_is_signed_and_signed_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.eif");
    fs::write(&path, Parts::small().write(None).0).unwrap();
    let first = signer("first");
    sign_file(&path, &first, &path).unwrap();
    assert_eq!(
        fs::read(&path).unwrap(),
        Parts::small().write(Some(&first)).0
    );
    // A certificate of another length, into another file.
    let second = signer("a second one, of a longer name");
    let other = folder.path().join("other.eif");
    let measurements = sign_file(&path, &second, &other).unwrap();
    assert_eq!(
        fs::read(&path).unwrap(),
        Parts::small().write(Some(&first)).0
    );
    assert_eq!(
        fs::read(&other).unwrap(),
        Parts::small().write(Some(&second)).0
    );
    assert_eq!(
        Eif::open(fs::File::open(&other).unwrap())
            .unwrap()
            .measurements(),
        &measurements
    );
}

#[test]
fn a_key_that_is_not_the_certificates_makes_no_image() {
    let (key, _, _) = key_and_certificate("one");
    let (_, certificate, _) = key_and_certificate("two");
    let certificate = SigningCertificate::from_pem(certificate.as_bytes()).unwrap();
    let signer = KeyFile::from_pem(&key, certificate).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.eif");
    let unsigned = Parts::small().write(None).0;
    fs::write(&path, &unsigned).unwrap();
    let error = sign_file(&path, &signer, &path).unwrap_err();
    assert_eq!(error.code(), "sign-key-is-not-the-certificates");
    assert_eq!(fs::read(&path).unwrap(), unsigned, "the image is as it was");
}

#[test]
fn a_signature_of_another_image_is_refused() {
    let signer = signer("builder");
    let signed = Parts::small().write(Some(&signer)).0;
    let mut other = Parts::small();
    other.kernel[0] ^= 1;
    // The same lengths, so the signature section of the one fits into the other.
    let unsigned = other.write(None).0;
    let mut forged = signed.clone();
    forged[548..unsigned.len()].copy_from_slice(&unsigned[548..]);
    let error = Eif::open(with_checksum(forged)).unwrap_err();
    assert_eq!(error.code(), "eif-signature-other-image");
}

#[test]
fn whatever_changes_in_the_signature_section_is_refused_or_changes_pcr8() {
    let signer = signer("builder");
    let (signed, measurements) = Parts::small().write(Some(&signer));
    let pcr8 = measurements.pcr8;
    let start = Parts::small().write(None).0.len() + 12;
    let mut codes = std::collections::BTreeSet::new();
    for at in start..signed.len() {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        match Eif::open(with_checksum(changed)) {
            Err(error) => drop(codes.insert(error.code())),
            // Another certificate with the same key; PCR8 says so.
            Ok(eif) => assert_ne!(eif.measurements().pcr8, pcr8, "byte {at}"),
        }
    }
    let expected = [
        "eif-signature-certificate",
        "eif-signature-cose",
        "eif-signature-encoding",
        "eif-signature-other-image",
        "eif-signature-wrong",
    ];
    for code in expected {
        assert!(codes.contains(code), "{code} is not among {codes:?}");
    }
}

#[test]
fn only_one_p384_certificate_will_do() {
    let refused = |pem: &str| {
        SigningCertificate::from_pem(pem.as_bytes())
            .unwrap_err()
            .code()
    };
    let p256 = KeyPair::generate().unwrap();
    let p256 = CertificateParams::default().self_signed(&p256).unwrap();
    let p256 = pem("CERTIFICATE", p256.der());
    assert_eq!(refused(&p256), "eif-signature-curve");
    let (key, pem, _) = key_and_certificate("builder");
    assert_eq!(refused(&key), "eif-signature-certificate");
    assert_eq!(refused(&format!("{pem}{pem}")), "eif-signature-certificate");
    assert_eq!(refused(""), "eif-signature-certificate");
    assert_eq!(
        refused("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
        "eif-signature-certificate"
    );
}

#[test]
fn a_key_of_openssl_is_read_in_both_its_forms() {
    use p384::pkcs8::DecodePrivateKey as _;
    let (pkcs8, certificate, _) = key_and_certificate("builder");
    let certificate = SigningCertificate::from_pem(certificate.as_bytes()).unwrap();
    let secret = p384::SecretKey::from_pkcs8_pem(&pkcs8).unwrap();
    let sec1 = secret.to_sec1_pem(Default::default()).unwrap();
    let behind_parameters = format!(
        "-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n{}",
        *sec1
    );
    for text in [pkcs8.as_str(), &sec1, &behind_parameters] {
        let signer = KeyFile::from_pem(text, certificate.clone()).unwrap();
        assert!(Eif::open(Parts::small().write(Some(&signer)).0).is_ok());
    }
    let error = KeyFile::from_pem("no key", certificate).err().unwrap();
    assert_eq!(error.code(), "sign-key");
}

#[test]
fn a_certificate_has_its_time() {
    let mut parameters = CertificateParams::default();
    parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2026, 1, 2);
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let pem = pem("CERTIFICATE", parameters.self_signed(&key).unwrap().der());
    let certificate = SigningCertificate::from_pem(pem.as_bytes()).unwrap();
    let first = 1_767_225_600;
    assert_eq!(certificate.validity(), (first, first + 86_400));
    assert!(
        certificate.check_validity(first).is_ok()
            && certificate.check_validity(first + 86_400).is_ok()
    );
    for at in [first - 1, first + 86_401] {
        let error = certificate.check_validity(at).unwrap_err();
        assert!(
            error.to_string().contains("2026-01-01T00:00:00Z"),
            "{error}"
        );
    }
}

#[test]
fn a_name_in_a_certificate_gives_a_terminal_no_orders() {
    let (_, pem, _) = key_and_certificate("Müller\u{1b}[2J\u{202e}");
    let certificate = SigningCertificate::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(certificate.subject(), "CN=Müller\\1b[2J\\u{202e}");
}
