//! The outer structure: the COSE_Sign1 that Nitro makes, and no other (DESIGN §4 *Envelope*).

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

/// The bytes under a document's signature, the Sig_structure of RFC 9052 §4.4: `["Signature1", protected header, h'',
/// payload]`, header and payload as they were received.
pub(crate) fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    const LONGEST_HEAD: usize = 3;
    let mut signed = Vec::with_capacity(SIG_STRUCTURE.len() + LONGEST_HEAD + payload.len());
    signed.extend_from_slice(&SIG_STRUCTURE);
    // A document has at most 2^14 bytes, and so has its payload.
    match u16::try_from(payload.len()).unwrap_or(u16::MAX) {
        length @ 0..=0x17 => signed.push(0x40 | length.to_be_bytes()[1]),
        length @ 0x18..=0xff => signed.extend([0x58, length.to_be_bytes()[1]]),
        length => {
            signed.push(0x59);
            signed.extend(length.to_be_bytes());
        }
    }
    signed.extend_from_slice(payload);
    signed
}

/// All of the Sig_structure before the payload: an array of four, "Signature1", the protected header, no external data.
const SIG_STRUCTURE: [u8; 18] = *b"\x84\x6aSignature1\x44\xa1\x01\x38\x22\x40";

/// RFC 9052 §2, table 1.
const COSE_SIGN1_TAG: u64 = 18;

/// `{1: -35}`: the algorithm is ES384.
const PROTECTED_ES384: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

#[cfg(test)]
mod tests {
    use coset::{ProtectedHeader, SignatureContext, sig_structure_data};

    use super::*;

    #[test]
    fn what_is_signed_is_what_a_cose_library_says() {
        for length in [0, 1, 0x17, 0x18, 0xff, 0x100, 4_500, MAX_DOCUMENT_BYTES] {
            let payload = vec![0xa5; length];
            let protected = ProtectedHeader {
                original_data: Some(PROTECTED_ES384.to_vec()),
                ..ProtectedHeader::default()
            };
            let expected =
                sig_structure_data(SignatureContext::CoseSign1, protected, None, &[], &payload);
            assert_eq!(signed_bytes(&payload), expected, "{length}");
        }
    }
}
