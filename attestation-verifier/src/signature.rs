//! ECDSA on P-384 with SHA-384, the one signature scheme of the Nitro PKI: the shapes of keys and signatures, and what
//! is signed. The arithmetic is a [`Backend`]'s.

use der::asn1::UintRef;
use der::{Decode, Reader};

use crate::backend::{Backend, Key};
use crate::cache::SignatureHash;
use crate::certificate::{finish, sequence, start};
use crate::envelope::{SIGNATURE_BYTES, signed_bytes};
use crate::error::{CertificateError, SignatureError};
use crate::verifier::Verifier;

/// Checks the document's own signature over the payload as received (DESIGN §4 *Signature*). A high s is accepted:
/// AWS sends it about half of the time.
///
/// Where the verifier remembers documents, one that was verified under this key is not verified again.
pub(crate) fn verify_document(
    verifier: &Verifier,
    key: &PublicKey,
    payload: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), SignatureError> {
    let numbers = Signature::from_fixed(signature).ok_or(SignatureError::OutOfRange)?;
    let holds = || key.holds(&signed_bytes(payload), &numbers);
    let documents = verifier.documents();
    if !documents.is_enabled() {
        return holds().then_some(()).ok_or(SignatureError::Invalid);
    }
    let hash = SignatureHash::of_document(key, payload, signature);
    if !documents.knows(&hash) {
        holds().then_some(()).ok_or(SignatureError::Invalid)?;
        documents.learn(&[hash]);
    }
    Ok(())
}

/// A public key: an uncompressed point (RFC 5480 §2.2) that lies on the curve and is not the one at infinity.
#[derive(Debug)]
pub(crate) struct PublicKey {
    point: [u8; POINT_BYTES],
    key: Key,
}

impl PublicKey {
    pub(crate) fn parse(point: &[u8], backend: Backend) -> Result<Self, CertificateError> {
        let point: [u8; POINT_BYTES] = point
            .try_into()
            .map_err(|_| CertificateError::PublicKeyPoint)?;
        // The hybrid form has the same length.
        let is_uncompressed = point[0] == UNCOMPRESSED;
        let key = is_uncompressed.then(|| backend.key(&point)).flatten();
        match key {
            Some(key) => Ok(Self { point, key }),
            None => Err(CertificateError::PublicKeyPoint),
        }
    }

    /// 0x04 ‖ X ‖ Y.
    pub(crate) fn point(&self) -> &[u8; POINT_BYTES] {
        &self.point
    }

    /// Whether the signature over the message is this key's.
    pub(crate) fn holds(&self, message: &[u8], signature: &Signature) -> bool {
        self.key.holds(message, signature)
    }
}

/// r ‖ s, both from 1 to the curve's order minus 1 (FIPS 186-5 §6.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature([u8; SIGNATURE_BYTES]);

impl Signature {
    /// Reads r ‖ s; nothing where one of them is out of range.
    pub(crate) fn from_fixed(bytes: &[u8; SIGNATURE_BYTES]) -> Option<Self> {
        let (r, s) = bytes.split_at(SCALAR_BYTES);
        (is_in_range(r) && is_in_range(s)).then_some(Self(*bytes))
    }

    /// Reads an ECDSA-Sig-Value (RFC 5758 §3.2): strict DER, both numbers in range.
    pub(crate) fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        Self::read_der(bytes).ok_or(CertificateError::SignatureEncoding)
    }

    fn read_der(bytes: &[u8]) -> Option<Self> {
        let mut reader = start(bytes).ok()?;
        let mut pair = sequence(&mut reader, "signatureValue").ok()?;
        finish(reader, "signatureValue").ok()?;
        let mut fixed = [0; SIGNATURE_BYTES];
        for half in fixed.chunks_exact_mut(SCALAR_BYTES) {
            // `UintRef` refuses negative numbers and those that are not in their shortest form.
            let number = UintRef::decode(&mut pair).ok()?;
            let number = number.as_bytes();
            let start = SCALAR_BYTES.checked_sub(number.len())?;
            half[start..].copy_from_slice(number);
        }
        pair.finish().ok()?;
        Self::from_fixed(&fixed)
    }

    /// r ‖ s.
    pub(crate) fn bytes(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.0
    }
}

/// Whether a big-endian number of [`SCALAR_BYTES`] is neither zero nor the curve's order or more. Nothing here is
/// secret: the comparison may take as long as it likes.
fn is_in_range(number: &[u8]) -> bool {
    number < &CURVE_ORDER[..] && number.iter().any(|byte| *byte != 0)
}

const SCALAR_BYTES: usize = SIGNATURE_BYTES / 2;

/// Bytes of an uncompressed point (SEC 1 §2.3.3).
pub(crate) const POINT_BYTES: usize = 97;
const UNCOMPRESSED: u8 = 0x04;

/// n of P-384 (SP 800-186 §3.2.1.4).
const CURVE_ORDER: [u8; SCALAR_BYTES] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(r: &[u8; 48], s: &[u8; 48]) -> [u8; 96] {
        let mut fixed = [0; 96];
        fixed[..48].copy_from_slice(r);
        fixed[48..].copy_from_slice(s);
        fixed
    }

    fn one() -> [u8; 48] {
        let mut one = [0; 48];
        one[47] = 1;
        one
    }

    #[test]
    fn r_and_s_are_from_one_to_the_order_minus_one() {
        let mut largest = CURVE_ORDER;
        largest[47] -= 1;
        let mut beyond = CURVE_ORDER;
        beyond[47] += 1;
        for number in [one(), largest] {
            assert!(Signature::from_fixed(&fixed(&number, &one())).is_some());
            assert!(Signature::from_fixed(&fixed(&one(), &number)).is_some());
            // The crate that does the arithmetic draws the same line.
            assert!(p384::ecdsa::Signature::from_slice(&fixed(&number, &one())).is_ok());
        }
        for number in [[0; 48], CURVE_ORDER, beyond, [0xff; 48]] {
            assert!(Signature::from_fixed(&fixed(&number, &one())).is_none());
            assert!(Signature::from_fixed(&fixed(&one(), &number)).is_none());
            assert!(p384::ecdsa::Signature::from_slice(&fixed(&number, &one())).is_err());
        }
    }

    #[test]
    fn der_signatures_have_one_form() {
        assert_eq!(
            Signature::from_der(&[0x30, 6, 2, 1, 1, 2, 1, 1]),
            Ok(Signature(fixed(&one(), &one())))
        );
        for other in [
            &[0x30, 6, 2, 1, 1, 2, 1, 1, 0][..],   // a byte after it
            &[0x30, 7, 2, 1, 1, 2, 1, 1, 0],       // a byte in it
            &[0x30, 7, 2, 2, 0, 1, 2, 1, 1],       // a leading zero
            &[0x30, 6, 2, 1, 0xff, 2, 1, 1],       // negative
            &[0x30, 6, 2, 1, 0, 2, 1, 1],          // zero
            &[0x30, 0x81, 6, 2, 1, 1, 2, 1, 1],    // a length in long form
            &[0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0], // BER's indefinite length
            &[0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1], // three numbers
            &[0x30, 3, 2, 1, 1],                   // one number
            &[0x31, 6, 2, 1, 1, 2, 1, 1],          // a SET
            &[],
        ] {
            let error = Err(CertificateError::SignatureEncoding);
            assert_eq!(Signature::from_der(other), error, "{other:02x?}");
        }
    }
}
