//! What a job runs on, as the caller makes it.

use super::cbor::{Fields, JobSyntaxError, encoded};
use super::{MAX_JOB_BYTES, job_path};
use crate::ids::JobId;
use crate::receipt::RequestParts;

/// Longest content type.
pub(super) const MAX_CONTENT_TYPE: usize = 256;
/// Longest `inference-header-content-length`.
pub(super) const MAX_LENGTH_TEXT: usize = 20;

/// A KServe inference request without its path: the function is named by its digest.
///
/// Deterministic CBOR, integer keys:
///
/// | key | field | type |
/// |---|---|---|
/// | 1 | version = 1 | uint |
/// | 2 | content type, empty where absent, at most 256 bytes | tstr |
/// | 3 | `inference-header-content-length`, empty where absent, at most 20 bytes | tstr |
/// | 4 | salt of the receipt's hashes, random | bstr 32 |
/// | 5 | body | bstr |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobInput<'a> {
    /// `content-type`, empty where absent.
    pub content_type: &'a str,
    /// `inference-header-content-length`, empty where absent.
    pub inference_header_length: &'a str,
    /// Salt of the receipt's hashes, drawn by the caller.
    pub salt: [u8; 32],
    /// The body, without content encoding.
    pub body: &'a [u8],
}

/// An input, and the job that it is of, by the receipt's hash: what a caller keeps to check the result, in place of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputCommitment {
    /// Salt of the receipt's hashes.
    pub salt: [u8; 32],
    /// The receipt's request hash ([`RequestParts::hash`]).
    pub request_hash: [u8; 32],
}

impl<'a> JobInput<'a> {
    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.head(self.body.len());
        out.extend_from_slice(self.body);
        out
    }

    /// Reads the encoding; any byte out of place is an error.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, JobSyntaxError> {
        let mut fields = Fields::of("job input", bytes, MAX_JOB_BYTES, 5)?;
        let input = Self {
            content_type: fields.text(MAX_CONTENT_TYPE)?,
            inference_header_length: fields.text(MAX_LENGTH_TEXT)?,
            salt: fields.array()?,
            body: fields.bytes()?,
        };
        fields.end(&input.head(0), input.body)?;
        Ok(input)
    }

    /// What the receipt of the result must name.
    pub fn commitment(&self, job: &JobId) -> InputCommitment {
        let path = job_path(job);
        let request = RequestParts {
            method: "POST",
            path: &path,
            content_type: self.content_type,
            inference_header_length: self.inference_header_length,
            body: self.body,
        };
        InputCommitment {
            salt: self.salt,
            request_hash: request.hash(&self.salt),
        }
    }

    fn head(&self, more: usize) -> Vec<u8> {
        encoded(more, |e| {
            e.map(5)?;
            e.u8(1)?.u8(1)?;
            e.u8(2)?.str(self.content_type)?;
            e.u8(3)?.str(self.inference_header_length)?;
            e.u8(4)?.bytes(&self.salt)?;
            e.u8(5)?.bytes_len(self.body.len() as u64)?;
            Ok(())
        })
    }
}
