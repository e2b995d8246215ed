//! The signature of an image: who vouches for its PCR0.
//!
//! The section is CBOR, written by serde with byte strings as arrays of integers:
//! `[{"signing_certificate": PEM, "signature": COSE_Sign1}]`. The COSE_Sign1 (RFC 9052) is untagged, its protected
//! header `{1: -35}` (ES384), its unprotected header empty, and its payload the map
//! `{"register_index": 0, "register_value": PCR0}`. Nothing but that very encoding is accepted: what is read is written
//! again and must give the same bytes.
//!
//! The certificate is judged by nobody here: PCR8 is its hash, and a policy names PCR8. Only P-384 keys are taken, as
//! `nitro-cli` demands.
//!
//! Source: `src/defs/mod.rs`, `src/utils/eif_signer.rs` of `aws-nitro-enclaves-image-format` 0.8.1.

mod certificate;
mod encoding;
mod error;
mod key;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
mod resign;

use nacre_attestation_verifier::Pcr;
use p384::ecdsa::Signature;
use p384::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha384};

pub use certificate::SigningCertificate;
pub use error::{SignError, SignatureError};
pub use key::KeyFile;
pub use resign::sign_file;

/// Who signs an image: a P-384 key, wherever it is kept, and its certificate.
pub trait Signer {
    /// The certificate that goes into the image.
    fn certificate(&self) -> &SigningCertificate;

    /// Signs a SHA-384 digest by ECDSA; gives r ‖ s.
    ///
    /// # Errors
    ///
    /// [`SignError`] where the key cannot be used.
    fn sign_digest(&self, digest: &[u8; 48]) -> Result<[u8; 96], SignError>;
}

/// A signature section whose signature is right.
#[derive(Debug, Clone)]
pub struct ImageSignature {
    certificate: SigningCertificate,
}

impl ImageSignature {
    /// Checks a section against the PCR0 that was measured.
    ///
    /// # Errors
    ///
    /// [`SignatureError`], a variant for each rule.
    pub fn verify(section: &[u8], pcr0: &Pcr) -> Result<Self, SignatureError> {
        let (pem, cose) = encoding::decode_section(section)?;
        let certificate = SigningCertificate::from_pem(&pem)?;
        let (payload, signature) = encoding::decode_cose(&cose)?;
        if payload != encoding::payload(pcr0) {
            return Err(SignatureError::OtherImage);
        }
        let digest = Sha384::digest(encoding::to_be_signed(&payload));
        let signature = Signature::from_slice(&signature).map_err(|_| SignatureError::Wrong)?;
        certificate
            .key()
            .verify_prehash(&digest, &signature)
            .map_err(|_| SignatureError::Wrong)?;
        Ok(Self { certificate })
    }

    /// The certificate that signed.
    pub fn certificate(&self) -> &SigningCertificate {
        &self.certificate
    }
}

/// Makes a signature section for this PCR0, and checks it: a key that is not its certificate's makes no image.
pub(crate) fn sign_pcr0(signer: &dyn Signer, pcr0: &Pcr) -> Result<Vec<u8>, SignatureError> {
    let payload = encoding::payload(pcr0);
    let digest = Sha384::digest(encoding::to_be_signed(&payload));
    let signature = signer.sign_digest(&digest.into())?;
    let cose = encoding::encode_cose(&payload, &signature);
    let section = encoding::encode_section(signer.certificate().pem(), &cose);
    match ImageSignature::verify(&section, pcr0) {
        Ok(_) => Ok(section),
        Err(SignatureError::Wrong) => Err(SignatureError::KeyIsNotTheCertificates),
        Err(error) => Err(error),
    }
}
