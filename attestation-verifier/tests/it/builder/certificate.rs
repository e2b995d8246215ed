//! Certificates to order, every part of which a test can replace by other bytes.

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{DerSignature, SigningKey};

use super::{der, signing_key};

/// A certificate to be made. What is not named otherwise is a whole DER value.
#[derive(Clone)]
pub(crate) struct CertificateOrder {
    /// Which key the certificate is for.
    pub(crate) key_seed: u8,
    pub(crate) version: Vec<u8>,
    /// Content octets.
    pub(crate) serial: Vec<u8>,
    pub(crate) inner_algorithm: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) validity: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) key_algorithm: Vec<u8>,
    /// Content of the key's BIT STRING after its unused bits; the key's own point where it is `None`.
    pub(crate) point: Option<Vec<u8>>,
    pub(crate) after_point: Vec<u8>,
    pub(crate) unique_identifier: Vec<u8>,
    pub(crate) basic_constraints: Option<Vec<u8>>,
    pub(crate) key_usage: Option<Vec<u8>>,
    pub(crate) more_extensions: Vec<Vec<u8>>,
    pub(crate) after_tbs_fields: Vec<u8>,
    pub(crate) outer_algorithm: Vec<u8>,
    /// How the signature is written.
    pub(crate) signature: fn(&[u8]) -> Vec<u8>,
    pub(crate) after_signature: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

impl CertificateOrder {
    pub(crate) fn root() -> Self {
        let ca = extension(BASIC_CONSTRAINTS, true, &CA);
        Self::new(
            0,
            "root",
            "root",
            ("200101000000Z", "491231235959Z"),
            ca,
            extension(KEY_USAGE, true, &CA_KEY_USAGE),
        )
    }

    pub(crate) fn intermediate() -> Self {
        let ca = extension(BASIC_CONSTRAINTS, true, &CA_PATH_LENGTH_0);
        let validity = ("250614000000Z", "250616000000Z");
        Self::new(
            1,
            "root",
            "intermediate",
            validity,
            ca,
            extension(KEY_USAGE, true, &CA_KEY_USAGE),
        )
    }

    /// Valid from 1749996000 to 1750006800.
    pub(crate) fn leaf() -> Self {
        let no_ca = extension(BASIC_CONSTRAINTS, true, &NO_CA);
        let validity = ("250615140000Z", "250615170000Z");
        let usage = extension(KEY_USAGE, false, &LEAF_KEY_USAGE);
        Self::new(2, "intermediate", "leaf", validity, no_ca, usage)
    }

    fn new(
        key_seed: u8,
        issuer: &str,
        subject: &str,
        (not_before, not_after): (&str, &str),
        basic_constraints: Vec<u8>,
        key_usage: Vec<u8>,
    ) -> Self {
        Self {
            key_seed,
            version: vec![0xa0, 0x03, 0x02, 0x01, 0x02],
            serial: vec![1 + key_seed; 16],
            inner_algorithm: ECDSA_WITH_SHA384.to_vec(),
            issuer: der::name(issuer),
            validity: der::sequence(&[&der::utc_time(not_before), &der::utc_time(not_after)]),
            subject: der::name(subject),
            key_algorithm: P384_KEY.to_vec(),
            point: None,
            after_point: Vec::new(),
            unique_identifier: Vec::new(),
            basic_constraints: Some(basic_constraints),
            key_usage: Some(key_usage),
            more_extensions: Vec::new(),
            after_tbs_fields: Vec::new(),
            outer_algorithm: ECDSA_WITH_SHA384.to_vec(),
            signature: |signature| der::bits(0, signature),
            after_signature: Vec::new(),
            after: Vec::new(),
        }
    }

    /// The certificate, signed by its issuer's key.
    pub(crate) fn make(&self, issuer: &SigningKey) -> Vec<u8> {
        let tbs = self.to_be_signed();
        let signature: DerSignature = issuer.sign(&tbs);
        let signature = (self.signature)(signature.as_bytes());
        let certificate = der::sequence(&[
            &tbs,
            &self.outer_algorithm,
            &signature,
            &self.after_signature,
        ]);
        [certificate, self.after.clone()].concat()
    }

    fn to_be_signed(&self) -> Vec<u8> {
        let own_point = || {
            signing_key(self.key_seed)
                .verifying_key()
                .to_sec1_point(false)
                .as_bytes()
                .to_vec()
        };
        let point = self.point.clone().unwrap_or_else(own_point);
        der::sequence(&[
            &self.version,
            &der::integer(&self.serial),
            &self.inner_algorithm,
            &self.issuer,
            &self.validity,
            &self.subject,
            &der::sequence(&[
                &self.key_algorithm,
                &der::bits(0, &point),
                &self.after_point,
            ]),
            &self.unique_identifier,
            &self.extensions(),
            &self.after_tbs_fields,
        ])
    }

    fn extensions(&self) -> Vec<u8> {
        let known = self.basic_constraints.iter().chain(&self.key_usage);
        let all: Vec<_> = known
            .chain(&self.more_extensions)
            .map(Vec::as_slice)
            .collect();
        match all.is_empty() {
            true => Vec::new(),
            false => der::tlv(0xa3, &der::sequence(&all)),
        }
    }
}

/// An Extension with the given content of its OID.
pub(crate) fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    der::sequence(&[&der::oid(id), critical, &der::octets(value)])
}

pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
pub(crate) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];

/// `{cA TRUE}`
pub(crate) const CA: [u8; 5] = [0x30, 0x03, 0x01, 0x01, 0xff];
/// `{cA TRUE, pathLenConstraint 0}`
pub(crate) const CA_PATH_LENGTH_0: [u8; 8] = [0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00];
/// `{}`
pub(crate) const NO_CA: [u8; 2] = [0x30, 0x00];
/// digitalSignature, keyCertSign, cRLSign
pub(crate) const CA_KEY_USAGE: [u8; 4] = [0x03, 0x02, 0x01, 0x86];
/// digitalSignature, nonRepudiation
pub(crate) const LEAF_KEY_USAGE: [u8; 4] = [0x03, 0x02, 0x06, 0xc0];

pub(crate) const ECDSA_WITH_SHA384: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03,
];
pub(crate) const ECDSA_WITH_SHA256: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
/// ecPublicKey, secp384r1
pub(crate) const P384_KEY: [u8; 18] = [
    0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
    0x00, 0x22,
];
/// ecPublicKey, secp521r1
pub(crate) const P521_KEY: [u8; 18] = [
    0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
    0x00, 0x23,
];
