//! What comes of a job.

use super::cbor::{Fields, JobSyntaxError, encoded};
use super::input::{MAX_CONTENT_TYPE, MAX_LENGTH_TEXT};
use super::{InputCommitment, MAX_JOB_BYTES};
use crate::digest::Digest;
use crate::receipt::{ReceiptError, ResponseParts, SignedReceipt};

/// The function's answer, with its receipt. A refusal that model and input determine (status 400) is a result, too.
///
/// Deterministic CBOR, integer keys:
///
/// | key | field | type |
/// |---|---|---|
/// | 1 | version = 1 | uint |
/// | 2 | HTTP status | uint |
/// | 3 | content type | tstr |
/// | 4 | `inference-header-content-length`, empty where absent | tstr |
/// | 5 | receipt, as in the header `nacre-receipt` before base64url | bstr |
/// | 6 | body | bstr |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobResult<'a> {
    /// HTTP status that the same request would have had.
    pub status: u16,
    /// `content-type`.
    pub content_type: &'a str,
    /// `inference-header-content-length`, empty where absent.
    pub inference_header_length: &'a str,
    /// The receipt.
    pub receipt: SignedReceipt,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> JobResult<'a> {
    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.head(self.body.len());
        out.extend_from_slice(self.body);
        out
    }

    /// Reads the encoding; any byte out of place is an error.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, JobSyntaxError> {
        let mut fields = Fields::of("job result", bytes, MAX_JOB_BYTES, 6)?;
        let result = Self {
            status: fields.status()?,
            content_type: fields.text(MAX_CONTENT_TYPE)?,
            inference_header_length: fields.text(MAX_LENGTH_TEXT)?,
            receipt: {
                let receipt = SignedReceipt::decode(fields.bytes()?);
                receipt.map_err(|_| fields.wrong("its receipt is none"))?
            },
            body: fields.bytes()?,
        };
        fields.end(&result.head(0), result.body)?;
        Ok(result)
    }

    /// What the receipt's response hash covers.
    pub fn response_parts(&self) -> ResponseParts<'_> {
        ResponseParts {
            status: self.status,
            content_type: self.content_type,
            inference_header_length: self.inference_header_length,
            body: self.body,
        }
    }

    /// Checks that the holder of `receipt_key` signed exactly this answer of this function to this input as this job.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`].
    pub fn verify(
        &self,
        function: &Digest,
        input: &InputCommitment,
        receipt_key: &[u8; 64],
    ) -> Result<(), ReceiptError> {
        self.receipt.verify_signature(receipt_key)?;
        let claims = &self.receipt.receipt;
        if claims.function_digest != *function {
            let (wanted, got) = (*function, claims.function_digest);
            return Err(ReceiptError::Function { wanted, got });
        }
        if self.receipt.salt != input.salt || claims.request_hash != input.request_hash {
            return Err(ReceiptError::Request);
        }
        if claims.status != self.status
            || claims.response_hash != self.response_parts().hash(&input.salt)
        {
            return Err(ReceiptError::Response);
        }
        Ok(())
    }

    fn head(&self, more: usize) -> Vec<u8> {
        encoded(more, |e| {
            e.map(6)?;
            e.u8(1)?.u8(1)?;
            e.u8(2)?.u16(self.status)?;
            e.u8(3)?.str(self.content_type)?;
            e.u8(4)?.str(self.inference_header_length)?;
            e.u8(5)?.bytes(&self.receipt.encode())?;
            e.u8(6)?.bytes_len(self.body.len() as u64)?;
            Ok(())
        })
    }
}
