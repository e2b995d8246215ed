//! ECDSA on P-384 with SHA-384, the one signature scheme of the Nitro PKI.

use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{Signature, VerifyingKey};

use crate::envelope::{SIGNATURE_BYTES, signed_bytes};
use crate::error::{CertificateError, SignatureError};

/// Checks the document's own signature over the payload as received (DESIGN §4 *Signature*). A high s is accepted:
/// AWS sends it about half of the time.
pub(crate) fn verify_document(
    key: &VerifyingKey,
    payload: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), SignatureError> {
    let signature = Signature::from_slice(signature).map_err(|_| SignatureError::OutOfRange)?;
    key.verify(&signed_bytes(payload), &signature)
        .map_err(|_| SignatureError::Invalid)
}

/// Checks a certificate's signature under its issuer's key.
pub(crate) fn verify_certificate(
    key: &VerifyingKey,
    to_be_signed: &[u8],
    signature: &Signature,
) -> Result<(), CertificateError> {
    key.verify(to_be_signed, signature)
        .map_err(|_| CertificateError::BadSignature)
}

/// Reads an ECDSA-Sig-Value (RFC 5758 §3.2): strict DER, both numbers in range.
pub(crate) fn certificate_signature(der: &[u8]) -> Result<Signature, CertificateError> {
    Signature::from_der(der).map_err(|_| CertificateError::SignatureEncoding)
}

/// Reads a public key that must be an uncompressed point (RFC 5480 §2.2) on the curve.
pub(crate) fn public_key(point: &[u8]) -> Result<VerifyingKey, CertificateError> {
    // The only other form of this length, the hybrid one, is refused by the decoder.
    if point.len() != UNCOMPRESSED_POINT_BYTES {
        return Err(CertificateError::PublicKeyPoint);
    }
    VerifyingKey::from_sec1_bytes(point).map_err(|_| CertificateError::PublicKeyPoint)
}

/// SEC 1 §2.3.3.
const UNCOMPRESSED_POINT_BYTES: usize = 97;
