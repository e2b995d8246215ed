//! The attestation verifier: whole documents, payloads alone, certificates alone.

use std::sync::LazyLock;

use nacre_attestation_verifier::{
    Measurements, Pcr, Policy, Roots, RootsError, TrustedEnclave, UnixMillis, UnverifiedDocument,
    VerificationTime, VerifyError, verify,
};

/// Verifies and appraises a document against the seeds' root at the seeds' time.
pub fn document(data: &[u8]) -> Result<TrustedEnclave, VerifyError> {
    let at = VerificationTime::Archive(UnixMillis(SEED_TIME_MS));
    assert!(
        verify(data, &Roots::aws(), at).is_err(),
        "nobody but AWS can make a document under its root"
    );
    let enclave = verify(data, &ROOTS, at)?.appraise(&POLICY)?;
    assert!(!enclave.is_debug(), "the policy does not allow debug mode");
    Ok(enclave)
}

/// Reads a payload that stands in a well-formed envelope.
pub fn payload(data: &[u8]) -> Result<UnverifiedDocument, VerifyError> {
    let parsed = UnverifiedDocument::parse(&in_envelope(data))?;
    let claims = parsed.claims();
    assert!((1..=32).contains(&claims.pcrs.len()) && claims.pcrs.keys().all(|index| *index < 32));
    assert!((1..=8).contains(&claims.cabundle.len()));
    Ok(parsed)
}

/// Reads a certificate as a root, then verifies a document that it claims to have signed.
pub fn certificate(data: &[u8]) -> Result<Roots, RootsError> {
    let forged = in_envelope(&payload_with(data));
    let at = VerificationTime::Archive(UnixMillis(SEED_TIME_MS));
    assert!(
        verify(&forged, &ROOTS, at).is_err(),
        "the envelope's signature is a constant"
    );
    let roots = Roots::development(data.to_vec())?;
    assert_eq!(roots.der(), data);
    Ok(roots)
}

/// A COSE_Sign1 with a signature that no key made.
fn in_envelope(payload: &[u8]) -> Vec<u8> {
    let start = [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0];
    [
        &start,
        byte_string(payload).as_slice(),
        &byte_string(&[1; 96]),
    ]
    .concat()
}

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
    let length = bytes.len() as u32;
    let head = match length {
        0..=23 => vec![0x40 | length as u8],
        24..=0xff => vec![0x58, length as u8],
        0x100..=0xffff => [&[0x59], (length as u16).to_be_bytes().as_slice()].concat(),
        _ => [&[0x5a], length.to_be_bytes().as_slice()].concat(),
    };
    [head.as_slice(), bytes].concat()
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

const ROOT: &[u8] = include_bytes!("../roots/attestation.der");

/// When the seeds were made, 2025-06-15T15:06:40Z.
const SEED_TIME_MS: u64 = 1_750_000_000_000;
