//! The certificate of who signs an image.

use std::fmt;

use nacre_attestation_verifier::{Pcr, UnixSeconds};
use p384::ecdsa::VerifyingKey;
use sha2::{Digest as _, Sha256, Sha384};
use x509_cert::Certificate;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _, pem};

use crate::measure::extended;
use crate::sign::error::{SignError, SignatureError};

/// One X.509 certificate with a P-384 key, its PEM as it was given.
#[derive(Clone)]
pub struct SigningCertificate {
    pem: Vec<u8>,
    der: Vec<u8>,
    key: VerifyingKey,
    subject: String,
    not_before: u64,
    not_after: u64,
}

impl SigningCertificate {
    /// Reads one certificate in PEM (RFC 7468).
    ///
    /// # Errors
    ///
    /// [`SignatureError::Certificate`] and [`SignatureError::Curve`].
    pub fn from_pem(text: &[u8]) -> Result<Self, SignatureError> {
        let wrong = |reason: &dyn fmt::Display| SignatureError::Certificate(reason.to_string());
        let (label, der) = pem::decode_vec(text).map_err(|error| wrong(&error))?;
        if label != "CERTIFICATE" {
            return Err(wrong(&format_args!("its label is {label:?}")));
        }
        let certificate = Certificate::from_der(&der).map_err(|error| wrong(&error))?;
        // What is hashed for PCR8 must not depend on who re-encodes it.
        if certificate.to_der().ok().as_ref() != Some(&der) {
            return Err(wrong(&"it is not in DER"));
        }
        let body = certificate.tbs_certificate();
        let key = body.subject_public_key_info();
        let curve = key.algorithm.parameters.as_ref();
        let curve = curve.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        if key.algorithm.oid != EC_PUBLIC_KEY || curve != Some(SECP384R1) {
            return Err(SignatureError::Curve);
        }
        let point = key.subject_public_key.as_bytes();
        let key = point.and_then(|point| VerifyingKey::from_sec1_bytes(point).ok());
        let key = key.ok_or(wrong(&"its key is no point of the curve"))?;
        let validity = body.validity();
        Ok(Self {
            pem: text.to_vec(),
            key,
            subject: printable(&body.subject().to_string()),
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
            der,
        })
    }

    /// What PCR8 is in an enclave whose image this certificate signed.
    pub fn pcr8(&self) -> Pcr {
        extended(Sha384::new().chain_update(&self.der))
    }

    /// The certificate as it was given.
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// Its subject, as RFC 4514 writes names; what a terminal would obey is escaped.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The SHA-256 of its DER.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// Its first and last second, seconds since 1970.
    pub fn validity(&self) -> (u64, u64) {
        (self.not_before, self.not_after)
    }

    /// Checks that the certificate is valid at this time; `nitro-cli` starts no image with one that is not.
    ///
    /// # Errors
    ///
    /// [`SignError::OutOfValidity`].
    pub fn check_validity(&self, unix_seconds: u64) -> Result<(), SignError> {
        match (self.not_before..=self.not_after).contains(&unix_seconds) {
            true => Ok(()),
            false => Err(SignError::OutOfValidity {
                not_before: UnixSeconds(self.not_before),
                not_after: UnixSeconds(self.not_after),
            }),
        }
    }

    pub(crate) fn key(&self) -> &VerifyingKey {
        &self.key
    }
}

impl fmt::Debug for SigningCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningCertificate({})", self.subject)
    }
}

/// A name comes from whoever made the image.
fn printable(name: &str) -> String {
    let mut escaped = String::new();
    for letter in name.chars() {
        match letter.is_alphanumeric() || (letter.is_ascii() && !letter.is_control()) {
            true => escaped.push(letter),
            false => escaped.extend(letter.escape_unicode()),
        }
    }
    escaped
}

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
