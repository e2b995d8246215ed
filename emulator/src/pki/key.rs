//! P-384 keys that sign certificates and documents.

use std::fmt;

use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{DerSignature, Signature, SigningKey};
use p384::elliptic_curve::Generate as _;
use p384::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha384};
use x509_cert::spki::{self, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

/// A P-384 signing key. Its scalar is wiped when it is dropped; it prints as nothing.
#[derive(Clone)]
pub struct Key(SigningKey);

impl Key {
    /// Draws a new key.
    #[must_use]
    pub fn generate(rng: &mut StdRng) -> Self {
        Self(SigningKey::generate_from_rng(rng))
    }

    /// An ECDSA signature with SHA-384 over `message`, as r ‖ s. High S occurs, as in AWS's.
    #[must_use]
    pub fn sign_fixed(&self, message: &[u8]) -> [u8; 96] {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().into()
    }

    /// The same signature in the DER form that certificates carry.
    pub(super) fn sign_der(&self, message: &[u8]) -> DerSignature {
        self.0.sign(message)
    }

    /// The key as certificates name it.
    pub(super) fn public_info(&self) -> spki::Result<SubjectPublicKeyInfoOwned> {
        SubjectPublicKeyInfoOwned::from_key(self.0.verifying_key())
    }

    /// The key identifier: the leading 160 bits of SHA-384 over the public point (RFC 7093 §2, method 2).
    pub(super) fn identifier(&self) -> [u8; 20] {
        let digest = Sha384::digest(self.0.verifying_key().to_sec1_point(false).as_bytes());
        let mut identifier = [0; 20];
        identifier.copy_from_slice(&digest[..20]);
        identifier
    }

    /// PKCS #8 PEM.
    pub(super) fn to_pem(&self) -> p384::pkcs8::Result<Zeroizing<String>> {
        self.0.to_pkcs8_pem(LineEnding::LF)
    }

    pub(super) fn from_pem(pem: &str) -> p384::pkcs8::Result<Self> {
        SigningKey::from_pkcs8_pem(pem).map(Self)
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &DerSignature) -> bool {
        use p384::ecdsa::signature::Verifier as _;
        self.0.verifying_key().verify(message, signature).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(P-384)")
    }
}
