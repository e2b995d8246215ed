//! The development root.

use der::{Decode as _, Encode as _};
use p384::ecdsa::DerSignature;
use rand::rngs::StdRng;
use x509_cert::Certificate;

use super::certificate::{IssueError, Issuer, Validity};
use super::{Key, levels};

/// The root's key and its self-signed certificate.
#[derive(Clone, Debug)]
pub struct Root {
    key: Key,
    der: Vec<u8>,
    validity: Validity,
}

impl Root {
    /// Makes a new root at `now_ms`.
    ///
    /// # Errors
    ///
    /// When `now_ms` has no place in a certificate.
    pub fn generate(rng: &mut StdRng, now_ms: u64) -> Result<Self, IssueError> {
        let now = now_ms / 1000;
        let validity = Validity {
            from: now.saturating_sub(levels::ROOT.back),
            until: now.saturating_add(levels::ROOT.ahead),
        };
        let key = Key::generate(rng);
        let issuer = Issuer {
            name: &levels::root_name(),
            key: &key,
        };
        let der = levels::root(rng, validity).issue(&key, issuer)?;
        Ok(Self { key, der, validity })
    }

    /// The certificate's DER; its SHA-256 is what a verifier pins.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// When the root holds.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The root's key, for tests that make certificates of their own.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Puts a key and a certificate together again, if they are one root of ours.
    pub(super) fn from_parts(key: Key, der: Vec<u8>) -> Result<Self, &'static str> {
        let certificate =
            Certificate::from_der(&der).map_err(|_| "the certificate is not valid DER")?;
        let statement = certificate.tbs_certificate();
        let name = levels::root_name()
            .to_der()
            .map_err(|_| "the root's name has no DER form")?;
        let subject = statement
            .subject()
            .to_der()
            .map_err(|_| "the certificate has no readable subject")?;
        if subject != name {
            return Err("the certificate does not name a development root");
        }
        let public = key.public_info().map_err(|_| "the key has no DER form")?;
        if *statement.subject_public_key_info() != public {
            return Err("the certificate belongs to another key");
        }
        if certificate.signature_algorithm() != statement.signature() {
            return Err("the certificate names two signature algorithms");
        }
        let signature = DerSignature::try_from(certificate.signature().raw_bytes());
        let signed = statement
            .to_der()
            .map_err(|_| "the certificate cannot be read")?;
        if !signature.is_ok_and(|signature| key.verifies(&signed, &signature)) {
            return Err("the certificate's signature is wrong");
        }
        let validity = Validity {
            from: statement.validity().not_before.to_unix_duration().as_secs(),
            until: statement.validity().not_after.to_unix_duration().as_secs(),
        };
        Ok(Self { key, der, validity })
    }
}
