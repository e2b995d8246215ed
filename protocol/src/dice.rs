//! Evidence inside a certificate: the TCG DICE evidence extension (OID 2.23.133.5.4.9).
//!
//! The payload is CBOR: the tag that RFC 9277 gives COSE_Sign1's content format (1668546817 + 18), over an array of the
//! attestation document and the identity statement. A certificate's evidence has no client nonce: it says which enclave
//! holds the key, not that it lives now.

use minicbor::data::Tag;
use minicbor::{Decoder, Encoder};

use crate::evidence::MAX_DOCUMENT;
use crate::identity::MAX_STATEMENT;

/// The extension's object identifier, `tcg-dice-TaggedEvidence`.
pub const EVIDENCE_OID: [u64; 6] = [2, 23, 133, 5, 4, 9];

const TAG: Tag = Tag::new(1_668_546_817 + 18);

/// What the extension carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateEvidence {
    /// The attestation document.
    pub document: Vec<u8>,
    /// The encoded identity statement.
    pub statement: Vec<u8>,
}

/// The extension's payload is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not tagged evidence: {0}")]
pub struct CertificateEvidenceError(&'static str);

impl CertificateEvidence {
    /// The extension's payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.document.len() + self.statement.len() + 16);
        let mut encoder = Encoder::new(&mut out);
        let written = encoder
            .tag(TAG)
            .and_then(|e| e.array(2))
            .and_then(|e| e.bytes(&self.document))
            .and_then(|e| e.bytes(&self.statement).map(|_| ()));
        match written {
            Ok(()) => out,
            Err(e) => match e.into_write() {
                Some(never) => match never {},
                None => unreachable!("no custom encoder is called"),
            },
        }
    }

    /// Reads the extension's payload, and nothing after it.
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateEvidenceError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.tag().ok() != Some(TAG) {
            return Err(CertificateEvidenceError("another tag"));
        }
        if decoder.array().ok() != Some(Some(2)) {
            return Err(CertificateEvidenceError("not an array of two"));
        }
        let mut part = |limit: usize| {
            let bytes = decoder.bytes().ok().filter(|part| part.len() <= limit);
            bytes
                .map(<[u8]>::to_vec)
                .ok_or(CertificateEvidenceError("a part is missing or too long"))
        };
        let (document, statement) = (part(MAX_DOCUMENT)?, part(MAX_STATEMENT)?);
        let evidence = Self {
            document,
            statement,
        };
        if evidence.encode() == bytes {
            Ok(evidence)
        } else {
            Err(CertificateEvidenceError(
                "not deterministic, or bytes after it",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trips(document in proptest::collection::vec(any::<u8>(), 0..5000), statement in proptest::collection::vec(any::<u8>(), 0..256)) {
            let evidence = CertificateEvidence { document, statement };
            let bytes = evidence.encode();
            prop_assert_eq!(CertificateEvidence::decode(&bytes), Ok(evidence));
            let trailing = [bytes, vec![0]].concat();
            prop_assert!(CertificateEvidence::decode(&trailing).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = CertificateEvidence::decode(&bytes);
        }
    }
}
