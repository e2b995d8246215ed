//! What is accepted, read again with programs for every purpose: `ciborium` by way of `coset`, `x509-cert`, and ECDSA of
//! `p384`. They share nothing with the verifier's own readers, and what they see must satisfy DESIGN §4.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use coset::cbor::Value;
use coset::{CborSerializable, CoseSign1, TaggedCborSerializable, iana};
use nacre_attestation_verifier::{DocumentClaims, UnverifiedDocument, VerifiedEvidence};
use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{DerSignature, Signature, VerifyingKey};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::forge::encode::signed_bytes;

/// Panics where accepted bytes break DESIGN §4.
pub fn check(document: &[u8], root: &[u8], at_ms: u64, evidence: &VerifiedEvidence) {
    let (payload, signature) = envelope(document);
    let Some(leaf) = check_unsigned(document, root, at_ms, evidence) else {
        return;
    };
    let Ok(signature) = Signature::from_slice(&signature) else {
        panic!("r or s is out of range");
    };
    assert!(leaf.verify(&signed_bytes(&payload), &signature).is_ok());
}

/// The same without the document's own signature; returns the key under which it must hold, where the certificates can
/// be read.
pub fn check_unsigned(
    document: &[u8],
    root: &[u8],
    at_ms: u64,
    evidence: &VerifiedEvidence,
) -> Option<VerifyingKey> {
    assert!(document.len() <= 16 * 1024);
    let parsed = match UnverifiedDocument::parse(document) {
        Ok(parsed) => parsed,
        Err(error) => panic!("verified, but not a document: {error}"),
    };
    let claims = parsed.claims();
    assert_eq!(evidence.timestamp_ms(), claims.timestamp_ms);
    assert_eq!(evidence.pcrs(), &claims.pcrs);
    self::claims(&envelope(document).0, claims);
    let mut chain: Vec<_> = claims.cabundle.iter().map(Vec::as_slice).collect();
    chain.push(&claims.certificate);
    assert_eq!(chain[0], root, "the root is not the one that is pinned");
    chain_holds(&chain, at_ms)
}

/// Payload and signature of a COSE_Sign1.
pub fn envelope(document: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let read = match document[0] {
        0xd2 => CoseSign1::from_tagged_slice(document),
        _ => CoseSign1::from_slice(document),
    };
    let envelope = match read {
        Ok(envelope) => envelope,
        Err(error) => panic!("no COSE_Sign1: {error:?}"),
    };
    let mut header = envelope.protected.header.clone();
    let algorithm = coset::RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES384);
    assert_eq!(header.alg.take(), Some(algorithm));
    assert!(header.is_empty() && envelope.unprotected.is_empty());
    assert_eq!(envelope.signature.len(), 96);
    match envelope.payload {
        Some(payload) => (payload, envelope.signature),
        None => panic!("the payload is detached"),
    }
}

fn text(value: &Value) -> &str {
    match value.as_text() {
        Some(text) => text,
        None => panic!("{value:?} is no text"),
    }
}

fn bytes(value: &Value) -> &[u8] {
    match value.as_bytes() {
        Some(bytes) => bytes,
        None => panic!("{value:?} is no byte string"),
    }
}

fn uint(value: &Value) -> u64 {
    match value.as_integer().map(u64::try_from) {
        Some(Ok(number)) => number,
        _ => panic!("{value:?} is no unsigned integer"),
    }
}

/// Checks a payload, and holds what the verifier read against it.
pub fn claims(payload: &[u8], read: &DocumentClaims) {
    let Ok(Value::Map(claims)) = coset::cbor::de::from_reader::<Value, _>(payload) else {
        // Only inside what nobody knows is there CBOR that `ciborium` cannot show, such as simple values.
        assert!(!read.unknown_keys.is_empty());
        return;
    };
    let keys: BTreeSet<_> = claims.iter().map(|(key, _)| text(key)).collect();
    assert_eq!(keys.len(), claims.len(), "a key stands twice");
    assert!(!keys.contains("nitrotpm_pcrs"));
    let claim = |name: &str| {
        let entry = claims.iter().find(|(key, _)| text(key) == name);
        entry.map(|(_, value)| value)
    };
    let required = |name| match claim(name) {
        Some(value) => value,
        None => panic!("{name} is missing"),
    };
    assert_eq!(text(required("digest")), "SHA384");
    assert!(!read.module_id.is_empty());
    assert_eq!(text(required("module_id")), read.module_id);
    assert_ne!(read.timestamp_ms, 0);
    assert_eq!(uint(required("timestamp")), read.timestamp_ms);
    registers(required("pcrs"), read);
    for (name, read) in [
        ("public_key", &read.public_key),
        ("user_data", &read.user_data),
        ("nonce", &read.nonce),
    ] {
        let value = claim(name).filter(|value| !value.is_null()).map(bytes);
        assert_eq!(value, read.as_deref(), "{name}");
        assert!(value.is_none_or(|value| value.len() <= 1024));
    }
    let Some(bundle) = required("cabundle").as_array() else {
        panic!("the bundle is no array");
    };
    assert!(!bundle.is_empty());
    assert!(bundle.iter().map(bytes).eq(&read.cabundle));
    assert_eq!(bytes(required("certificate")), read.certificate);
    let mut certificates = read.cabundle.iter().chain([&read.certificate]);
    assert!(certificates.all(|der| (1..=1024).contains(&der.len())));
}

fn registers(value: &Value, read: &DocumentClaims) {
    let Some(pcrs) = value.as_map() else {
        panic!("the PCRs are no map");
    };
    let found: BTreeSet<_> = pcrs
        .iter()
        .map(|(index, value)| (uint(index), bytes(value)))
        .collect();
    assert!((1..=32).contains(&found.len()));
    assert_eq!(read.pcrs.len(), pcrs.len(), "a PCR stands twice");
    let read = read
        .pcrs
        .iter()
        .map(|(index, pcr)| (u64::from(*index), pcr.as_ref()));
    assert_eq!(found, read.collect());
    assert!(
        found
            .iter()
            .all(|(index, value)| *index < 32 && value.len() == 48)
    );
}

/// Checks the chain and returns the leaf's key; nothing where a certificate cannot be read.
fn chain_holds(chain: &[&[u8]], at_ms: u64) -> Option<VerifyingKey> {
    let chain: Vec<_> = chain.iter().map(|der| strict(der)).collect::<Option<_>>()?;
    let count = chain.len();
    for (position, certificate) in chain.iter().enumerate() {
        let tbs = certificate.tbs_certificate();
        assert_eq!(tbs.version(), Version::V3);
        assert!(tbs.serial_number().as_bytes().len() <= 21);
        for algorithm in [tbs.signature(), certificate.signature_algorithm()] {
            assert_eq!(
                (algorithm.oid, &algorithm.parameters),
                (ECDSA_WITH_SHA384, &None)
            );
        }
        assert!(tbs.issuer_unique_id().is_none() && tbs.subject_unique_id().is_none());
        let validity = tbs.validity();
        let (first, last) = (
            validity.not_before.to_unix_duration(),
            validity.not_after.to_unix_duration(),
        );
        assert!((first.as_secs()..=last.as_secs()).contains(&(at_ms / 1000)));
        let extensions = tbs.extensions().map_or(&[][..], |all| all);
        let distinct: BTreeSet<_> = extensions
            .iter()
            .map(|extension| extension.extn_id)
            .collect();
        assert_eq!(distinct.len(), extensions.len());
        let is_processed = |id: &ObjectIdentifier| [BASIC_CONSTRAINTS, KEY_USAGE].contains(id);
        assert!(
            extensions
                .iter()
                .all(|one| !one.critical || is_processed(&one.extn_id))
        );
        authority(
            certificate,
            position + 1 < count,
            (count - 1).saturating_sub(position + 1),
        );
        if let Some(parent) = position.checked_sub(1).map(|parent| &chain[parent]) {
            let parent = parent.tbs_certificate();
            assert_eq!(tbs.issuer().to_der(), parent.subject().to_der());
            link_holds(certificate, parent.subject_public_key_info());
        }
    }
    let leaf = chain[count - 1].tbs_certificate();
    Some(key(leaf.subject_public_key_info()))
}

fn link_holds(certificate: &Certificate, parent: &SubjectPublicKeyInfoOwned) {
    let (Ok(whole), Ok(tbs), Ok(signature)) = (
        certificate.to_der(),
        certificate.tbs_certificate().to_der(),
        DerSignature::from_bytes(certificate.signature().raw_bytes()),
    ) else {
        panic!("a signature is no ECDSA-Sig-Value");
    };
    let mut known = LINKS.lock().unwrap_or_else(PoisonError::into_inner);
    let link = [parent.subject_public_key.raw_bytes(), &whole].concat();
    if !known.contains(&link) {
        assert!(key(parent).verify(&tbs, &signature).is_ok());
        if known.len() == 256 {
            known.clear();
        }
        known.insert(link);
    }
}

/// Keys with certificates that they are known to have signed: under a fuzzer's instruments a verification takes
/// milliseconds, and most documents have the usual chain.
static LINKS: Mutex<BTreeSet<Vec<u8>>> = Mutex::new(BTreeSet::new());

/// A certificate that is the DER of what it says; nothing where `x509-cert` cannot read it.
pub fn strict(der: &[u8]) -> Option<Certificate> {
    // A UTCTime from 1950 to 1969.
    let is_old = |bytes: &[u8]| matches!(bytes, [0x17, 0x0d, b'5' | b'6', ..]);
    let certificate = match Certificate::from_der(der) {
        Ok(certificate) => certificate,
        Err(_) if der.windows(3).any(is_old) => return None,
        Err(error) => panic!("no certificate: {error}"),
    };
    assert_eq!(certificate.to_der().as_deref(), Ok(der), "not DER");
    Some(certificate)
}

/// Whether it may be used as it is: a CA certificate before so many others, or a leaf.
fn authority(certificate: &Certificate, is_ca: bool, following: usize) {
    let tbs = certificate.tbs_certificate();
    let Ok(usage) = tbs.get_extension::<KeyUsage>() else {
        panic!("a key usage cannot be read");
    };
    let has = |flag: KeyUsages| usage.is_some_and(|(_, usage)| usage.0.contains(flag));
    let mut extensions = tbs.extensions().map_or(&[][..], |all| all).iter();
    let constraints = extensions.find(|extension| extension.extn_id == BASIC_CONSTRAINTS);
    let (critical, says_ca, limit) = constraints.map_or((false, false, None), |extension| {
        match BasicConstraints::from_der(extension.extn_value.as_bytes()) {
            Ok(read) => (extension.critical, read.ca, read.path_len_constraint),
            // A length that does not fit into a byte, which no chain can exceed.
            Err(_) => (extension.critical, true, None),
        }
    });
    assert_eq!(says_ca, is_ca);
    if is_ca {
        assert!(critical && has(KeyUsages::KeyCertSign));
        assert!(limit.is_none_or(|limit| usize::from(limit) >= following));
    } else {
        assert!(limit.is_none() && has(KeyUsages::DigitalSignature));
        assert!(!has(KeyUsages::KeyCertSign));
    }
}

fn key(info: &SubjectPublicKeyInfoOwned) -> VerifyingKey {
    assert_eq!(info.algorithm.oid, EC_PUBLIC_KEY);
    let curve = info
        .algorithm
        .parameters
        .as_ref()
        .map(|curve| curve.decode_as::<ObjectIdentifier>());
    assert_eq!(curve, Some(Ok(SECP384R1)));
    let point = info.subject_public_key.raw_bytes();
    assert!(point.len() == 97 && point[0] == 4);
    match VerifyingKey::from_sec1_bytes(point) {
        Ok(key) => key,
        Err(_) => panic!("a key is no point of the curve"),
    }
}

const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
