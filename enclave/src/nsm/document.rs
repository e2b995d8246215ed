//! The two facts that the enclave itself needs of its own documents: when it was, and how long the leaf lives.
//!
//! This is no verifier. The documents come from the module that the enclave runs beside; whoever relies on one
//! verifies it with `nacre-attestation-verifier`.

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::NsmError;

/// What a document says of time, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentTimes {
    /// When it was signed, by the module's clock.
    pub signed_ms: u64,
    /// When the certificate that signed it ends.
    pub leaf_ends_ms: u64,
}

impl DocumentTimes {
    /// Reads them out of a COSE_Sign1 attestation document.
    pub fn of(document: &[u8]) -> Result<Self, NsmError> {
        let (signed_ms, certificate) =
            read(document).map_err(|e| NsmError::Malformed(e.to_string()))?;
        let certificate =
            Certificate::from_der(certificate).map_err(|e| NsmError::Malformed(e.to_string()))?;
        let ends = certificate
            .tbs_certificate()
            .validity()
            .not_after
            .to_unix_duration();
        Ok(Self {
            signed_ms,
            leaf_ends_ms: u64::try_from(ends.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// `timestamp` and `certificate` of the payload.
fn read(document: &[u8]) -> Result<(u64, &[u8]), Error> {
    let mut envelope = Decoder::new(document);
    if envelope.datatype()? == Type::Tag {
        envelope.tag()?;
    }
    envelope.array()?;
    envelope.skip()?;
    envelope.skip()?;
    let mut payload = Decoder::new(envelope.bytes()?);

    let (mut timestamp, mut certificate) = (None, None);
    let mut left = payload.map()?;
    while left != Some(0) && payload.datatype()? != Type::Break {
        match payload.str()? {
            "timestamp" => timestamp = Some(payload.u64()?),
            "certificate" => certificate = Some(payload.bytes()?),
            _ => payload.skip()?,
        }
        left = left.map(|left| left - 1);
    }
    let missing = |field| Error::message(format!("the document has no {field}"));
    Ok((
        timestamp.ok_or_else(|| missing("timestamp"))?,
        certificate.ok_or_else(|| missing("certificate"))?,
    ))
}

#[cfg(test)]
mod tests {
    use minicbor::Encoder;
    use proptest::prelude::*;

    use super::*;

    fn document(indefinite: bool) -> Vec<u8> {
        let mut payload = Encoder::new(Vec::new());
        if indefinite {
            payload.begin_map().unwrap();
        } else {
            payload.map(3).unwrap();
        }
        payload
            .str("pcrs")
            .unwrap()
            .map(1)
            .unwrap()
            .u8(0)
            .unwrap()
            .bytes(&[0; 48])
            .unwrap();
        payload
            .str("timestamp")
            .unwrap()
            .u64(1_700_000_000_123)
            .unwrap();
        payload.str("certificate").unwrap().bytes(b"der").unwrap();
        if indefinite {
            payload.end().unwrap();
        }
        let mut envelope = Encoder::new(Vec::new());
        envelope
            .array(4)
            .unwrap()
            .bytes(b"\xa1\x01\x38\x22")
            .unwrap();
        envelope
            .map(0)
            .unwrap()
            .bytes(payload.writer())
            .unwrap()
            .bytes(&[0; 96])
            .unwrap();
        envelope.into_writer()
    }

    #[test]
    fn both_forms_of_the_payload_are_read() {
        for indefinite in [false, true] {
            let (timestamp, certificate) = read(&document(indefinite))
                .map(|(t, c)| (t, c.to_vec()))
                .unwrap();
            assert_eq!(
                (timestamp, &certificate[..]),
                (1_700_000_000_123, &b"der"[..])
            );
        }
    }

    #[test]
    fn a_certificate_that_is_none_is_an_error() {
        assert!(matches!(
            DocumentTimes::of(&document(true)),
            Err(NsmError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = DocumentTimes::of(&bytes);
        }
    }
}
