//! The CBOR of the signature section. Its writers are infallible: they write to memory.

use minicbor::{Decoder, Encoder};
use nacre_attestation_verifier::Pcr;

use crate::sign::error::SignatureError;

/// `[{"signing_certificate": …, "signature": …}]`
pub(crate) fn encode_section(pem: &[u8], cose: &[u8]) -> Vec<u8> {
    written(|to| {
        to.array(1)?.map(2)?.str(CERTIFICATE)?;
        integers(to, pem)?;
        to.str(SIGNATURE)?;
        integers(to, cose)
    })
}

/// The certificate's PEM and the COSE_Sign1.
pub(crate) fn decode_section(section: &[u8]) -> Result<(Vec<u8>, Vec<u8>), SignatureError> {
    let wrong = SignatureError::Encoding;
    let mut from = Decoder::new(section);
    if !matches!(from.array(), Ok(Some(1))) {
        return Err(wrong("it is no array of one signature"));
    }
    if !matches!(from.map(), Ok(Some(2))) {
        return Err(wrong("its signature is no map of two"));
    }
    if !matches!(from.str(), Ok(CERTIFICATE)) {
        return Err(wrong("`signing_certificate` is not first"));
    }
    let pem = read_integers(&mut from).ok_or(wrong("the certificate is no array of bytes"))?;
    if !matches!(from.str(), Ok(SIGNATURE)) {
        return Err(wrong("`signature` is not second"));
    }
    let cose = read_integers(&mut from).ok_or(wrong("the signature is no array of bytes"))?;
    match encode_section(&pem, &cose) == section {
        true => Ok((pem, cose)),
        false => Err(wrong("it is not in the shortest form, or bytes follow")),
    }
}

/// The untagged COSE_Sign1 with this payload.
pub(crate) fn encode_cose(payload: &[u8], signature: &[u8; 96]) -> Vec<u8> {
    written(|to| {
        to.array(4)?.bytes(&PROTECTED)?.map(0)?;
        to.bytes(payload)?.bytes(signature)?;
        Ok(())
    })
}

/// The payload and the signature, r ‖ s.
pub(crate) fn decode_cose(cose: &[u8]) -> Result<(Vec<u8>, [u8; 96]), SignatureError> {
    let wrong = SignatureError::Cose;
    let mut from = Decoder::new(cose);
    if !matches!(from.array(), Ok(Some(4))) {
        return Err(wrong("it is no array of four"));
    }
    if !matches!(from.bytes(), Ok(bytes) if bytes == PROTECTED) {
        return Err(wrong("its protected header is not {1: -35}"));
    }
    if !matches!(from.map(), Ok(Some(0))) {
        return Err(wrong("its unprotected header is not empty"));
    }
    let payload = from.bytes().map_err(|_| wrong("it has no payload"))?;
    let signature = from.bytes().ok().and_then(|bytes| bytes.try_into().ok());
    let signature = signature.ok_or(wrong("its signature has not 96 bytes"))?;
    match encode_cose(payload, &signature) == cose {
        true => Ok((payload.to_vec(), signature)),
        false => Err(wrong("it is not in the shortest form, or bytes follow")),
    }
}

/// `{"register_index": 0, "register_value": PCR0}`
pub(crate) fn payload(pcr0: &Pcr) -> Vec<u8> {
    written(|to| {
        to.map(2)?.str("register_index")?.u8(0)?;
        to.str("register_value")?;
        integers(to, &pcr0.0)
    })
}

/// COSE's Sig_structure (RFC 9052 §4.4), whose SHA-384 is signed.
pub(crate) fn to_be_signed(payload: &[u8]) -> Vec<u8> {
    written(|to| {
        to.array(4)?.str("Signature1")?.bytes(&PROTECTED)?;
        to.bytes(&[])?.bytes(payload)?;
        Ok(())
    })
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn written(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Written) -> Vec<u8> {
    let mut bytes = Vec::new();
    #[expect(clippy::expect_used, reason = "a vector takes whatever is written")]
    write(&mut Encoder::new(&mut bytes)).expect("memory takes it");
    bytes
}

/// Bytes as serde writes a `Vec<u8>`.
fn integers(to: &mut Encoder<&mut Vec<u8>>, bytes: &[u8]) -> Written {
    to.array(bytes.len() as u64)?;
    for byte in bytes {
        to.u8(*byte)?;
    }
    Ok(())
}

fn read_integers(from: &mut Decoder<'_>) -> Option<Vec<u8>> {
    let length = from.array().ok()??;
    // Every element has at least a byte: no count makes more room than the section has.
    let left = from.input().len() - from.position();
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= left)?;
    (0..length).map(|_| from.u8().ok()).collect()
}

const CERTIFICATE: &str = "signing_certificate";
const SIGNATURE: &str = "signature";
/// `{1: -35}`: the algorithm is ES384.
const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];
