//! Bytes as a stranger sends them: nothing is signed again.

use std::sync::LazyLock;

use nacre_attestation_verifier::{
    MalformedError, Measurements, Pcr, Policy, Roots, RootsError, UnixMillis, UnverifiedDocument,
    VerificationTime, VerifyError, verify,
};

use super::accepted;
use super::differential::claimed;
use super::signed::Verdict;

/// Verifies and appraises a document against the seeds' root at the seeds' time; then against the root that it claims for
/// itself, at the time that it claims.
pub fn document(data: &[u8]) -> Verdict {
    let at = VerificationTime::Archive(UnixMillis(SEED_TIME_MS));
    assert!(
        verify(data, &Roots::aws(), at).is_err(),
        "nobody but AWS can make a document under its root"
    );
    if let Some((roots, at)) = claimed(data)
        && let Ok(evidence) = verify(data, &roots, at)
    {
        accepted::check(data, roots.der(), at.at().0, &evidence);
    }
    let evidence = verify(data, &ROOTS, at).map_err(|error| error.rule())?;
    accepted::check(data, ROOT, SEED_TIME_MS, &evidence);
    match evidence.appraise(&POLICY) {
        Ok(enclave) => assert!(!enclave.is_debug(), "the policy does not allow debug mode"),
        Err(error) => return Err(error.rule()),
    }
    Ok(())
}

/// Reads an envelope, whatever its payload is. Two byte strings say one thing: with a tag and without.
pub fn envelope(data: &[u8]) -> Verdict {
    let verdict = match UnverifiedDocument::parse(data) {
        Err(VerifyError::Malformed(
            error @ (MalformedError::TooLong { .. } | MalformedError::Envelope(_)),
        )) => Err(error.rule()),
        _ => Ok(()),
    };
    assert_eq!(
        verdict.is_ok(),
        data.len() <= 16 * 1024 && is_envelope(data)
    );
    if verdict.is_ok() {
        accepted::envelope(data);
    }
    verdict
}

/// Whether writing an envelope gives these bytes.
fn is_envelope(data: &[u8]) -> bool {
    let untagged = data.strip_prefix(&[0xd2]).unwrap_or(data);
    let Some(rest) = untagged.strip_prefix(ENVELOPE) else {
        return false;
    };
    [1, 2, 3, 5].into_iter().any(|head| {
        let Some(end) = rest.len().checked_sub(SIGNATURE_ELEMENT) else {
            return false;
        };
        let is_payload = end >= head && byte_string(&rest[head..end]) == rest[..end];
        is_payload && rest[end..].starts_with(&[0x58, 96])
    })
}

/// Reads a payload that stands in a well-formed envelope.
pub fn payload(data: &[u8]) -> Verdict {
    let document = in_envelope(data);
    let parsed = UnverifiedDocument::parse(&document).map_err(|error| error.rule())?;
    let claims = parsed.claims();
    assert!((1..=32).contains(&claims.pcrs.len()) && claims.pcrs.keys().all(|index| *index < 32));
    assert!((1..=8).contains(&claims.cabundle.len()));
    accepted::claims(data, claims);
    Ok(())
}

/// Reads a certificate as a root, then verifies a document that it claims to have signed.
pub fn certificate(data: &[u8]) -> Verdict {
    let forged = in_envelope(&payload_with(data));
    let at = VerificationTime::Archive(UnixMillis(SEED_TIME_MS));
    assert!(
        verify(&forged, &ROOTS, at).is_err(),
        "the envelope's signature is a constant"
    );
    match Roots::development(data.to_vec()) {
        Ok(roots) => {
            assert_eq!(roots.der(), data);
            accepted::strict(data);
            assert_eq!(Roots::from_pem_or_der(data).as_ref(), Ok(&roots));
            Ok(())
        }
        Err(RootsError::Certificate(error)) => Err(error.rule()),
        Err(error) => Err(error.rule()),
    }
}

/// A COSE_Sign1 with a signature that no key made.
fn in_envelope(payload: &[u8]) -> Vec<u8> {
    [ENVELOPE, &byte_string(payload), &byte_string(&[1; 96])].concat()
}

/// The array's head, the protected and the unprotected header.
const ENVELOPE: &[u8] = &[0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0];

/// The length of the last element.
const SIGNATURE_ELEMENT: usize = 98;

/// The smallest payload with this leaf certificate under the seeds' root.
fn payload_with(leaf: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 9] = [
        b"\xa6\x69module_id\x61i",
        b"\x66digest\x66SHA384",
        b"\x69timestamp\x01",
        b"\x64pcrs\xa1\x00",
        &byte_string(&[1; 48]),
        b"\x68cabundle\x81",
        &byte_string(ROOT),
        b"\x6bcertificate",
        &byte_string(leaf),
    ];
    parts.concat()
}

/// A CBOR byte string (RFC 8949 §3.1).
fn byte_string(bytes: &[u8]) -> Vec<u8> {
    crate::builder::cbor::bytes(bytes)
}

/// The root that the seeds lead to.
static ROOTS: LazyLock<Roots> = LazyLock::new(|| match Roots::development(ROOT.to_vec()) {
    Ok(roots) => roots,
    Err(error) => panic!("the seeds' root is damaged: {error}"),
});

/// The measurements of the seeds.
static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let set = Measurements::new(Pcr([1; 48]), Pcr([2; 48]), Pcr([3; 48]));
    match Policy::new(vec![set]) {
        Ok(policy) => policy,
        Err(error) => panic!("one set is a policy: {error}"),
    }
});

const ROOT: &[u8] = include_bytes!("../../roots/attestation.der");

/// When the seeds were made, 2025-06-15T15:06:40Z.
const SEED_TIME_MS: u64 = 1_750_000_000_000;
