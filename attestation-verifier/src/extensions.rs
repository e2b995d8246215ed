//! The extensions of a certificate that path validation processes (RFC 5280 §4.2): basic constraints and key usage.
//!
//! An extension that is not processed is ignored unless it is critical; then the certificate is refused.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use crate::certificate::{finish, sequence, start};
use crate::der_rules::is_der;
use crate::error::CertificateError;

/// What the extensions say; where one is absent, what its absence means.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) is_ca: bool,
    pub(crate) path_length: Option<u64>,
    pub(crate) basic_constraints_critical: bool,
    pub(crate) digital_signature: bool,
    pub(crate) key_cert_sign: bool,
}

impl Extensions {
    /// Reads `[3] EXPLICIT Extensions`, or nothing where the certificate ends.
    pub(crate) fn read(tbs: &mut SliceReader<'_>) -> Result<Self, CertificateError> {
        let mut read = Self::default();
        if tbs.is_finished() {
            return Ok(read);
        }
        let explicit = AnyRef::decode(tbs).map_err(|_| CertificateError::Der("extensions"))?;
        if explicit.tag() != EXTENSIONS_TAG {
            return Err(CertificateError::Der("extensions"));
        }
        let mut reader = start(explicit.value())?;
        let mut list = sequence(&mut reader, "extensions")?;
        finish(reader, "extensions")?;
        if list.is_finished() {
            return Err(CertificateError::Der("extensions"));
        }
        let mut seen = Vec::new();
        while !list.is_finished() {
            let extension = Extension::read(&mut list)?;
            if seen.contains(&extension.id) {
                return Err(CertificateError::DuplicateExtension(extension.id));
            }
            seen.push(extension.id);
            read.process(&extension)?;
            // Also where the extension is ignored: extnValue holds the DER of one value (RFC 5280 §4.1).
            if !is_der(extension.value) {
                return Err(CertificateError::Der("extnValue"));
            }
        }
        Ok(read)
    }

    fn process(&mut self, extension: &Extension<'_>) -> Result<(), CertificateError> {
        match extension.id {
            BASIC_CONSTRAINTS => self.basic_constraints(extension),
            KEY_USAGE => self.key_usage(extension),
            unknown if extension.critical => {
                Err(CertificateError::UnknownCriticalExtension(unknown))
            }
            _ => Ok(()),
        }
    }

    /// `SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER (0..MAX) OPTIONAL }` (RFC 5280 §4.2.1.9).
    fn basic_constraints(&mut self, extension: &Extension<'_>) -> Result<(), CertificateError> {
        const WHAT: &str = "basicConstraints";
        let malformed = |_| CertificateError::Der(WHAT);
        let mut reader = start(extension.value)?;
        let mut constraints = sequence(&mut reader, WHAT)?;
        reader.finish().map_err(malformed)?;
        self.is_ca = default_false(&mut constraints, WHAT)?;
        self.path_length = None;
        if !constraints.is_finished() {
            let length = UintRef::decode(&mut constraints).map_err(malformed)?;
            self.path_length = Some(saturating(length.as_bytes()));
        }
        constraints.finish().map_err(malformed)?;
        self.basic_constraints_critical = extension.critical;
        Ok(())
    }

    /// A named bit list: at least one bit, no trailing zero bits (RFC 5280 §4.2.1.3; X.690 §11.2).
    fn key_usage(&mut self, extension: &Extension<'_>) -> Result<(), CertificateError> {
        let malformed = || CertificateError::Der("keyUsage");
        let bits = BitStringRef::from_der(extension.value).map_err(|_| malformed())?;
        let (octets, unused) = (bits.raw_bytes(), bits.unused_bits());
        let last = *octets.last().ok_or_else(malformed)?;
        if octets.len() > 2 || last.trailing_zeros() != u32::from(unused) {
            return Err(malformed());
        }
        self.digital_signature = octets[0] & 0x80 != 0;
        self.key_cert_sign = octets[0] & 0x04 != 0;
        Ok(())
    }
}

/// One extension.
struct Extension<'a> {
    id: ObjectIdentifier,
    critical: bool,
    value: &'a [u8],
}

impl<'a> Extension<'a> {
    fn read(list: &mut SliceReader<'a>) -> Result<Self, CertificateError> {
        let malformed = |_| CertificateError::Der("extension");
        let mut reader = sequence(list, "extension")?;
        let id = ObjectIdentifier::decode(&mut reader).map_err(malformed)?;
        let critical = default_false(&mut reader, "extension")?;
        let value = <&OctetStringRef>::decode(&mut reader)
            .map_err(malformed)?
            .as_bytes();
        finish(reader, "extension")?;
        Ok(Self {
            id,
            critical,
            value,
        })
    }
}

/// A BOOLEAN DEFAULT FALSE: it is TRUE, or left out (X.690 §11.5).
fn default_false(
    reader: &mut SliceReader<'_>,
    what: &'static str,
) -> Result<bool, CertificateError> {
    if reader.peek_byte() != Some(BOOLEAN) {
        return Ok(false);
    }
    match bool::decode(reader) {
        Ok(true) => Ok(true),
        _ => Err(CertificateError::Der(what)),
    }
}

/// A big-endian number, or the largest that there is place for: no bundle is so long.
fn saturating(number: &[u8]) -> u64 {
    number.iter().fold(0, |value: u64, byte| {
        value.saturating_mul(256).saturating_add(u64::from(*byte))
    })
}

// RFC 5280 §4.2.1.9 and §4.2.1.3.
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");

/// X.690 §8.2.
const BOOLEAN: u8 = 0x01;

const EXTENSIONS_TAG: Tag = Tag::ContextSpecific {
    constructed: true,
    number: TagNumber(3),
};
