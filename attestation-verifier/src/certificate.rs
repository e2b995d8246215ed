//! One X.509 certificate, read strictly (RFC 5280 §4.1).
//!
//! What is compared later (the bytes to be signed, the names) is kept as received. Where DER leaves an encoder no
//! choice, the encoding itself is compared instead of what it means.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Reader, SliceReader, Tag, Tagged};

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
    /// Reads a certificate; the backend judges its key's point.
    pub(crate) fn parse(bytes: &'a [u8], backend: Backend) -> Result<Self, CertificateError> {
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
        let public_key = subject_public_key(&mut tbs, backend)?;
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
    pub(crate) fn check_issued_by(&self, issuer: &Certificate<'_>) -> Result<(), CertificateError> {
        match issuer.public_key.holds(self.to_be_signed, &self.signature) {
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
    match is_name(bytes) {
        true => Ok(bytes),
        false => Err(CertificateError::Name(which)),
    }
}

/// `SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }`, none of them empty (RFC 5280 §4.1.2.4).
fn is_name(bytes: &[u8]) -> bool {
    let attribute = |bytes: &[u8]| {
        let Some(mut parts) = content_of(bytes, Tag::Sequence) else {
            return false;
        };
        // Not every identifier that X.690 allows, but every one that X.509 parsers agree upon.
        <ObjectIdentifier>::decode(&mut parts).is_ok()
            && parts.tlv_bytes().is_ok()
            && parts.is_finished()
    };
    // The elements of a SET OF stand in ascending order (X.690 §11.6).
    let ascending = |before: &[u8], value: &[u8]| before <= value;
    let relative = |bytes: &[u8]| is_row(content_of(bytes, Tag::Set), attribute, ascending);
    is_row(content_of(bytes, Tag::Sequence), relative, |_, _| true)
}

/// Whether there is at least one value, each is as it must be, and stands in order with the one before it.
fn is_row(
    values: Option<SliceReader<'_>>,
    each: impl Fn(&[u8]) -> bool,
    in_order: impl Fn(&[u8], &[u8]) -> bool,
) -> bool {
    let Some(mut values) = values.filter(|values| !values.is_finished()) else {
        return false;
    };
    let mut before: &[u8] = &[];
    while !values.is_finished() {
        match values.tlv_bytes() {
            Ok(value) if each(value) && in_order(before, value) => before = value,
            _ => return false,
        }
    }
    true
}

/// The inside of a value with this tag.
fn content_of(bytes: &[u8], tag: Tag) -> Option<SliceReader<'_>> {
    let value = AnyRef::from_der(bytes).ok()?;
    (value.tag() == tag).then(|| SliceReader::new(value.value()).ok())?
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

fn subject_public_key(
    tbs: &mut SliceReader<'_>,
    backend: Backend,
) -> Result<PublicKey, CertificateError> {
    let mut reader = sequence(tbs, "subjectPublicKeyInfo")?;
    if raw(&mut reader, "subjectPublicKeyInfo")? != EC_PUBLIC_KEY_ON_P384 {
        return Err(CertificateError::PublicKeyAlgorithm);
    }
    let point = octets(&mut reader, CertificateError::PublicKeyPoint)?;
    let key = PublicKey::parse(point, backend)?;
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
