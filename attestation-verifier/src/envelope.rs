//! The outer structure: the COSE_Sign1 that Nitro makes, and no other (DESIGN §4 *Envelope*).

use coset::{ProtectedHeader, SignatureContext, sig_structure_data};

use crate::cbor::Reader;
use crate::error::{EnvelopeError, MalformedError};

/// The longest document that is looked at.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 16 * 1024;

/// r ‖ s, 48 bytes each.
pub(crate) const SIGNATURE_BYTES: usize = 96;

/// The parts of an envelope, as received.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) signature: [u8; SIGNATURE_BYTES],
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, MalformedError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(MalformedError::TooLong {
                length: bytes.len(),
                limit: MAX_DOCUMENT_BYTES,
            });
        }
        Ok(Self::read(Reader::new(bytes))?)
    }

    fn read(mut reader: Reader<'a>) -> Result<Self, EnvelopeError> {
        reader.optional_tag(COSE_SIGN1_TAG)?;
        match reader.array()? {
            4 => {}
            count => return Err(EnvelopeError::ElementCount(count)),
        }
        if reader.bytes()? != PROTECTED_ES384 {
            return Err(EnvelopeError::ProtectedHeader);
        }
        if reader.map()? != 0 {
            return Err(EnvelopeError::UnprotectedHeader);
        }
        let payload = reader.bytes()?;
        let signature = reader.bytes()?;
        let signature = signature
            .try_into()
            .map_err(|_| EnvelopeError::SignatureLength(signature.len()))?;
        reader.finish()?;
        Ok(Self { payload, signature })
    }
}

/// The bytes under a document's signature (RFC 9052 §4.4): the protected header and the payload as they were received.
pub(crate) fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    // `original_data` is what goes into the structure. That it equals the bytes received was checked in `read`.
    let protected = ProtectedHeader {
        original_data: Some(PROTECTED_ES384.to_vec()),
        ..ProtectedHeader::default()
    };
    sig_structure_data(SignatureContext::CoseSign1, protected, None, &[], payload)
}

/// RFC 9052 §2, table 1.
const COSE_SIGN1_TAG: u64 = 18;

/// `{1: -35}`: the algorithm is ES384.
const PROTECTED_ES384: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];
