//! The `nacre-receipt` header: base64url of deterministic CBOR with integer keys.
//!
//! | key | field | type |
//! |---|---|---|
//! | 1 | function digest | bstr 32 |
//! | 2 | request hash | bstr 32 |
//! | 3 | response hash | bstr 32 |
//! | 4 | started, Unix ms | uint |
//! | 5 | compute, µs | uint |
//! | 6 | HTTP status | uint |
//! | 7 | salt | bstr 32 |
//! | 8 | leaf index | uint |
//! | 9 | tree size | uint |
//! | 10 | path | array of bstr 32 |
//! | 11 | signature | bstr 65 |

use minicbor::{Decoder, Encoder, decode, encode};

use super::{InferenceReceipt, SignedReceipt};
use crate::digest::Digest;
use crate::encoding::{base64url, from_base64url};
use crate::merkle::{Hash, MAX_PATH};

/// Longest encoded receipt, in bytes before base64url: the fields and a path of 16.
pub const MAX_RECEIPT: usize = 1024;

/// A header that is not a receipt in its one encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a receipt: {0}")]
pub struct ReceiptSyntaxError(&'static str);

impl SignedReceipt {
    /// The header's value.
    pub fn to_header(&self) -> String {
        base64url(&self.encode())
    }

    /// Reads the header's value.
    pub fn from_header(value: &str) -> Result<Self, ReceiptSyntaxError> {
        if value.len() > MAX_RECEIPT * 4 / 3 + 4 {
            return Err(ReceiptSyntaxError("too long"));
        }
        let bytes = from_base64url(value).map_err(|_| ReceiptSyntaxError("not base64url"))?;
        Self::decode(&bytes)
    }

    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(320 + 34 * self.path.len());
        match self.write(&mut Encoder::new(&mut out)) {
            Ok(()) => out,
            Err(e) => match e.into_write() {
                Some(never) => match never {},
                None => unreachable!("no custom encoder is called"),
            },
        }
    }

    /// Reads the encoding; any byte out of place is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptSyntaxError> {
        if bytes.len() > MAX_RECEIPT {
            return Err(ReceiptSyntaxError("too long"));
        }
        let receipt = Self::read(&mut Decoder::new(bytes))
            .map_err(|_| ReceiptSyntaxError("not the CBOR of a receipt"))?;
        if receipt.encode() == bytes {
            Ok(receipt)
        } else {
            Err(ReceiptSyntaxError("not deterministic CBOR"))
        }
    }

    fn write(
        &self,
        e: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), encode::Error<core::convert::Infallible>> {
        let claims = &self.receipt;
        e.map(11)?;
        e.u8(1)?.bytes(claims.function_digest.as_bytes())?;
        e.u8(2)?.bytes(&claims.request_hash)?;
        e.u8(3)?.bytes(&claims.response_hash)?;
        e.u8(4)?.u64(claims.started_ms)?;
        e.u8(5)?.u32(claims.compute_micros)?;
        e.u8(6)?.u16(claims.status)?;
        e.u8(7)?.bytes(&self.salt)?;
        e.u8(8)?.u32(self.index)?;
        e.u8(9)?.u32(self.size)?;
        e.u8(10)?.array(self.path.len() as u64)?;
        for hash in &self.path {
            e.bytes(hash)?;
        }
        e.u8(11)?.bytes(&self.signature)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        if d.map()? != Some(11) {
            return Err(decode::Error::message("not a map of eleven"));
        }
        let receipt = InferenceReceipt {
            function_digest: Digest::from_bytes(bytes(d, 1)?),
            request_hash: bytes(d, 2)?,
            response_hash: bytes(d, 3)?,
            started_ms: key(d, 4)?.u64()?,
            compute_micros: key(d, 5)?.u32()?,
            status: key(d, 6)?.u16()?,
        };
        Ok(Self {
            receipt,
            salt: bytes(d, 7)?,
            index: key(d, 8)?.u32()?,
            size: key(d, 9)?.u32()?,
            path: path(d)?,
            signature: bytes(d, 11)?,
        })
    }
}

fn key<'a, 'b>(d: &'a mut Decoder<'b>, key: u8) -> Result<&'a mut Decoder<'b>, decode::Error> {
    match d.u8()? {
        got if got == key => Ok(d),
        _ => Err(decode::Error::message("keys are not 1 to 11 in order")),
    }
}

fn bytes<const N: usize>(d: &mut Decoder<'_>, number: u8) -> Result<[u8; N], decode::Error> {
    let bytes = key(d, number)?.bytes()?;
    bytes
        .try_into()
        .map_err(|_| decode::Error::message("wrong length"))
}

fn path(d: &mut Decoder<'_>) -> Result<Vec<Hash>, decode::Error> {
    let count = key(d, 10)?
        .array()?
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count <= MAX_PATH)
        .ok_or_else(|| decode::Error::message("path too long"))?;
    (0..count)
        .map(|_| {
            let hash = d.bytes()?;
            hash.try_into()
                .map_err(|_| decode::Error::message("a hash has 32 bytes"))
        })
        .collect()
}
