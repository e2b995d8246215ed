//! A key in a file.

use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{Signature, SigningKey};
use p384::pkcs8::DecodePrivateKey as _;

use crate::sign::error::SignError;
use crate::sign::{Signer, SigningCertificate};

/// A P-384 private key in memory. Its signatures are deterministic (RFC 6979): the same image, signed twice, is the
/// same file.
pub struct KeyFile {
    key: SigningKey,
    certificate: SigningCertificate,
}

impl KeyFile {
    /// Reads a private key in PEM, PKCS#8 or SEC 1 (`openssl ecparam -genkey` writes the latter, behind a block of
    /// parameters).
    ///
    /// # Errors
    ///
    /// [`SignError::Key`], which says nothing of the key.
    pub fn from_pem(key: &str, certificate: SigningCertificate) -> Result<Self, SignError> {
        let secret = match key.find(SEC1_BEGIN) {
            Some(start) => p384::SecretKey::from_sec1_pem(&key[start..]).ok(),
            None => p384::SecretKey::from_pkcs8_pem(key).ok(),
        };
        Ok(Self {
            key: secret.ok_or(SignError::Key)?.into(),
            certificate,
        })
    }
}

impl Signer for KeyFile {
    fn certificate(&self) -> &SigningCertificate {
        &self.certificate
    }

    fn sign_digest(&self, digest: &[u8; 48]) -> Result<[u8; 96], SignError> {
        let signature: Signature = self.key.sign_prehash(digest).map_err(|_| SignError::Key)?;
        Ok(signature.to_bytes().into())
    }
}

const SEC1_BEGIN: &str = "-----BEGIN EC PRIVATE KEY-----";
