//! One X.509 certificate, read strictly (RFC 5280 §4.1).
//!
//! What is compared later (the bytes to be signed, the names) is kept as received. Where DER leaves an encoder no
//! choice, the encoding itself is compared instead of what it means.

use der::asn1::{AnyRef, BitStringRef, UintRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use x509_cert::name::RdnSequence;

use crate::backend::Backend;
use crate::cache::SignatureHash;
use crate::certificate_time::certificate_time;
use crate::der_rules::is_der;
use crate::error::CertificateError;
use crate::extensions::Extensions;
use crate::signature::{PublicKey, Signature};
use crate::time::UnixMillis;

/// A certificate with everything that path validation looks at.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    der: &'a [u8],
    to_be_signed: &'a [u8],
    signature: Signature,
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// Unix seconds.
    pub(crate) not_before: i64,
    /// Unix seconds; that second still counts.
    pub(crate) not_after: i64,
    pub(crate) public_key: PublicKey,
    pub(crate) extensions: Extensions,
}

impl<'a> Certificate<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CertificateError> {
        let mut reader = start(bytes)?;
        let mut outer = sequence(&mut reader, "certificate")?;
        finish(reader, "certificate")?;

        let to_be_signed = raw(&mut outer, "tbsCertificate")?;
        signature_algorithm(&mut outer)?;
        let signature =
            Signature::from_der(octets(&mut outer, CertificateError::SignatureEncoding)?)?;
        finish(outer, "signatureValue")?;

        let mut reader = start(to_be_signed)?;
        let mut tbs = sequence(&mut reader, "tbsCertificate")?;
        version(&mut tbs)?;
        serial_number(&mut tbs)?;
        signature_algorithm(&mut tbs)?;
        let issuer = name(&mut tbs, "issuer")?;
        let (not_before, not_after) = validity(&mut tbs)?;
        let subject = name(&mut tbs, "subject")?;
        let public_key = subject_public_key(&mut tbs)?;
        no_unique_identifier(&tbs)?;
        let extensions = Extensions::read(&mut tbs)?;
        finish(tbs, "extensions")?;
        // After the rules that can say more exactly what is wrong.
        if !is_der(bytes) {
            return Err(CertificateError::Der("value"));
        }

        Ok(Self {
            der: bytes,
            to_be_signed,
            signature,
            issuer,
            subject,
            not_before,
            not_after,
            public_key,
            extensions,
        })
    }

    /// Checks that the key of `issuer` signed this certificate.
    pub(crate) fn check_issued_by(
        &self,
        issuer: &Certificate<'_>,
        backend: Backend,
    ) -> Result<(), CertificateError> {
        match backend.holds(&issuer.public_key, self.to_be_signed, &self.signature) {
            true => Ok(()),
            false => Err(CertificateError::BadSignature),
        }
    }

    /// What stands for "the key of `issuer` signed this certificate" in the cache.
    pub(crate) fn link_to(&self, issuer: &Certificate<'_>) -> SignatureHash {
        SignatureHash::of_certificate(&issuer.public_key, self.der)
    }

    /// Checks the validity, whose ends both belong to it (RFC 5280 §4.1.2.5).
    pub(crate) fn check_valid_at(&self, at: UnixMillis) -> Result<(), CertificateError> {
        let second = i64::try_from(at.second().0).unwrap_or(i64::MAX);
        if second < self.not_before {
            return Err(CertificateError::NotYetValid {
                not_before: self.not_before,
            });
        }
        if second > self.not_after {
            return Err(CertificateError::Expired {
                not_after: self.not_after,
            });
        }
        Ok(())
    }
}

/// `[0] EXPLICIT INTEGER 2`: version 3.
fn version(tbs: &mut SliceReader<'_>) -> Result<(), CertificateError> {
    match raw(tbs, "version")? {
        [0xa0, 0x03, 0x02, 0x01, 0x02] => Ok(()),
        _ => Err(CertificateError::Version),
    }
}

/// AWS's serial numbers have up to 21 octets, one more than RFC 5280 §4.1.2.2 allows.
fn serial_number(tbs: &mut SliceReader<'_>) -> Result<(), CertificateError> {
    let serial = AnyRef::decode(tbs).map_err(|_| CertificateError::SerialNumber)?;
    if serial.value().len() > MAX_SERIAL_BYTES {
        return Err(CertificateError::SerialNumber);
    }
    // `UintRef` refuses negative numbers and those that are not in their shortest form.
    match serial.decode_as::<UintRef<'_>>() {
        Ok(number) if number.as_bytes() != [0] => Ok(()),
        _ => Err(CertificateError::SerialNumber),
    }
}

fn signature_algorithm(reader: &mut SliceReader<'_>) -> Result<(), CertificateError> {
    if raw(reader, "signatureAlgorithm")? == ECDSA_WITH_SHA384 {
        Ok(())
    } else {
        Err(CertificateError::SignatureAlgorithm)
    }
}

fn name<'a>(tbs: &mut SliceReader<'a>, which: &'static str) -> Result<&'a [u8], CertificateError> {
    let bytes = raw(tbs, which)?;
    let parsed = RdnSequence::from_der(bytes).map_err(|_| CertificateError::Name(which))?;
    let canonical = parsed.to_der().map_err(|_| CertificateError::Name(which))?;
    if parsed.is_empty() || parsed.iter().any(|rdn| rdn.is_empty()) || canonical != bytes {
        return Err(CertificateError::Name(which));
    }
    Ok(bytes)
}

fn validity(tbs: &mut SliceReader<'_>) -> Result<(i64, i64), CertificateError> {
    let mut reader = sequence(tbs, "validity")?;
    let mut time = || {
        let value = AnyRef::decode(&mut reader).ok()?;
        certificate_time(value.tag(), value.value())
    };
    let not_before = time().ok_or(CertificateError::ValidityEncoding)?;
    let not_after = time().ok_or(CertificateError::ValidityEncoding)?;
    finish(reader, "validity")?;
    Ok((not_before, not_after))
}

fn subject_public_key(tbs: &mut SliceReader<'_>) -> Result<PublicKey, CertificateError> {
    let mut reader = sequence(tbs, "subjectPublicKeyInfo")?;
    if raw(&mut reader, "subjectPublicKeyInfo")? != EC_PUBLIC_KEY_ON_P384 {
        return Err(CertificateError::PublicKeyAlgorithm);
    }
    let key = PublicKey::parse(octets(&mut reader, CertificateError::PublicKeyPoint)?)?;
    finish(reader, "subjectPublicKeyInfo")?;
    Ok(key)
}

fn no_unique_identifier(tbs: &SliceReader<'_>) -> Result<(), CertificateError> {
    match tbs.peek_byte() {
        // [1] and [2], primitive or constructed.
        Some(0x81 | 0x82 | 0xa1 | 0xa2) => Err(CertificateError::UniqueIdentifier),
        _ => Ok(()),
    }
}

/// The bytes of a BIT STRING that must be whole octets.
fn octets<'a>(
    reader: &mut SliceReader<'a>,
    error: CertificateError,
) -> Result<&'a [u8], CertificateError> {
    BitStringRef::decode(reader)
        .ok()
        .and_then(|bits| bits.as_bytes())
        .ok_or(error)
}

pub(crate) fn start(bytes: &[u8]) -> Result<SliceReader<'_>, CertificateError> {
    SliceReader::new(bytes).map_err(|_| CertificateError::Der("length"))
}

/// Enters a SEQUENCE.
pub(crate) fn sequence<'a>(
    reader: &mut SliceReader<'a>,
    what: &'static str,
) -> Result<SliceReader<'a>, CertificateError> {
    let value = AnyRef::decode(reader).map_err(|_| CertificateError::Der(what))?;
    if value.tag() != Tag::Sequence {
        return Err(CertificateError::Der(what));
    }
    start(value.value())
}

/// The next value with its tag and length, as received.
fn raw<'a>(reader: &mut SliceReader<'a>, what: &'static str) -> Result<&'a [u8], CertificateError> {
    reader.tlv_bytes().map_err(|_| CertificateError::Der(what))
}

pub(crate) fn finish(reader: SliceReader<'_>, what: &'static str) -> Result<(), CertificateError> {
    reader
        .finish()
        .map_err(|_| CertificateError::TrailingBytes(what))
}

const MAX_SERIAL_BYTES: usize = 21;

/// AlgorithmIdentifier 1.2.840.10045.4.3.3 without parameters (RFC 5758 §3.2).
const ECDSA_WITH_SHA384: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03,
];

/// AlgorithmIdentifier 1.2.840.10045.2.1 with the named curve 1.3.132.0.34 (RFC 5480 §2.1.1).
const EC_PUBLIC_KEY_ON_P384: [u8; 18] = [
    0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
    0x00, 0x22,
];
