//! What the platform can check of a job without being able to read it.

use k256::ecdsa::SigningKey;

use super::JobTerms;
use super::cbor::{Fields, JobSyntaxError, encoded, header_bytes};
use crate::chain_job::ChainResultError;
use crate::digest::Digest;
use crate::eip712::{
    Word, keccak, nacre_domain, point, recover_signer, sign_digest, typed_digest, word,
    word_of_bytes,
};
use crate::encoding::base64url;
use crate::ids::JobId;

const TYPE: &[u8] = b"JobReceipt(bytes16 jobId,bytes32 functionDigest,uint64 deadlineMs,bytes32 inputHash,bytes32 resultHash,uint16 status,uint64 finishedMs)";
const WHAT: &str = "job receipt";
/// Longest encoding, in bytes before base64url.
const MAX: usize = 256;

/// What an enclave claims of a job that it has finished.
///
/// EIP-712 typed data in the domain `{name: "Nacre", version: "1"}`, signed singly:
/// `JobReceipt(bytes16 jobId,bytes32 functionDigest,uint64 deadlineMs,bytes32 inputHash,bytes32 resultHash,uint16 status,uint64 finishedMs)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobReceipt {
    /// Which job, which function, until when.
    pub terms: JobTerms,
    /// SHA-256 of the input as it was carried.
    pub input_hash: Digest,
    /// SHA-256 of the result as it is carried.
    pub result_hash: Digest,
    /// HTTP status of the result.
    pub status: u16,
    /// When the result was there: Unix milliseconds by the enclave's attested clock.
    pub finished_ms: u64,
}

impl JobReceipt {
    /// The EIP-712 digest that the receipt key signs.
    pub fn digest(&self) -> Word {
        let message = keccak(&[
            &keccak(&[TYPE]),
            &word_of_bytes(self.terms.job.as_bytes()),
            self.terms.function.as_bytes(),
            &word(self.terms.deadline_ms),
            self.input_hash.as_bytes(),
            self.result_hash.as_bytes(),
            &word(self.status.into()),
            &word(self.finished_ms),
        ]);
        typed_digest(&nacre_domain(), &message)
    }

    /// Signs it.
    pub fn sign(self, key: &SigningKey) -> SignedJobReceipt {
        let signature = sign_digest(key, &self.digest());
        SignedJobReceipt {
            receipt: self,
            signature,
        }
    }
}

/// A job receipt with everything that is needed to check it, but for the key.
///
/// Deterministic CBOR, integer keys:
///
/// | key | field | type |
/// |---|---|---|
/// | 1 | version = 1 | uint |
/// | 2 | job id | bstr 16 |
/// | 3 | function digest | bstr 32 |
/// | 4 | deadline, Unix ms | uint |
/// | 5 | SHA-256 of the input as carried | bstr 32 |
/// | 6 | SHA-256 of the result as carried | bstr 32 |
/// | 7 | HTTP status | uint |
/// | 8 | finished, Unix ms | uint |
/// | 9 | signature r‖s‖v | bstr 65 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedJobReceipt {
    /// The claims.
    pub receipt: JobReceipt,
    /// secp256k1 over [`JobReceipt::digest`], r‖s‖v with low s and v 27 or 28.
    pub signature: [u8; 65],
}

/// A job receipt that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobReceiptError {
    /// Not in its one encoding.
    #[error(transparent)]
    Syntax(#[from] JobSyntaxError),
    /// Not signed by the key that the node's evidence names.
    #[error("the node's receipt key did not sign this job receipt")]
    Signature,
    /// Another job, function or deadline.
    #[error("the job receipt is for other terms: another job, function or deadline")]
    Terms,
    /// Another input.
    #[error("the job receipt is for another input")]
    Input,
    /// Another result.
    #[error("the job receipt is for another result")]
    Result,
    /// What is signed for the contract that asked for the job is not of this result.
    #[error(transparent)]
    Chain(#[from] ChainResultError),
}

impl JobReceiptError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "job-receipt-malformed",
            Self::Signature => "job-receipt-signature",
            Self::Terms => "job-receipt-terms",
            Self::Input => "job-receipt-input",
            Self::Result => "job-receipt-result",
            Self::Chain(error) => error.code(),
        }
    }
}

impl SignedJobReceipt {
    /// Checks everything: the signature of an enclave whose evidence was checked (its receipt key, X‖Y), and that it is over
    /// these terms and these hashes of what was carried.
    pub fn verify(
        &self,
        receipt_key: &[u8; 64],
        terms: &JobTerms,
        input_hash: &Digest,
        result_hash: &Digest,
    ) -> Result<(), JobReceiptError> {
        let signer = recover_signer(&self.receipt.digest(), &self.signature);
        if signer.is_none() || signer != point(receipt_key) {
            return Err(JobReceiptError::Signature);
        }
        if self.receipt.terms != *terms {
            return Err(JobReceiptError::Terms);
        }
        if self.receipt.input_hash != *input_hash {
            return Err(JobReceiptError::Input);
        }
        if self.receipt.result_hash != *result_hash {
            return Err(JobReceiptError::Result);
        }
        Ok(())
    }

    /// The value of the header `nacre-job-receipt`.
    pub fn to_header(&self) -> String {
        base64url(&self.encode())
    }

    /// Reads the header's value.
    pub fn from_header(value: &str) -> Result<Self, JobSyntaxError> {
        Self::decode(&header_bytes(WHAT, value, MAX)?)
    }

    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.head();
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads the encoding; any byte out of place is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, JobSyntaxError> {
        let mut fields = Fields::of(WHAT, bytes, MAX, 9)?;
        let signed = Self {
            receipt: JobReceipt {
                terms: JobTerms {
                    job: JobId::from_random(fields.array()?),
                    function: Digest::from_bytes(fields.array()?),
                    deadline_ms: fields.uint()?,
                },
                input_hash: Digest::from_bytes(fields.array()?),
                result_hash: Digest::from_bytes(fields.array()?),
                status: fields.status()?,
                finished_ms: fields.uint()?,
            },
            signature: fields.array()?,
        };
        fields.end(&signed.head(), &signed.signature)?;
        Ok(signed)
    }

    fn head(&self) -> Vec<u8> {
        let claims = &self.receipt;
        encoded(0, |e| {
            e.map(9)?;
            e.u8(1)?.u8(1)?;
            e.u8(2)?.bytes(claims.terms.job.as_bytes())?;
            e.u8(3)?.bytes(claims.terms.function.as_bytes())?;
            e.u8(4)?.u64(claims.terms.deadline_ms)?;
            e.u8(5)?.bytes(claims.input_hash.as_bytes())?;
            e.u8(6)?.bytes(claims.result_hash.as_bytes())?;
            e.u8(7)?.u16(claims.status)?;
            e.u8(8)?.u64(claims.finished_ms)?;
            e.u8(9)?.bytes_len(self.signature.len() as u64)?;
            Ok(())
        })
    }
}
