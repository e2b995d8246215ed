//! What an enclave signs for a contract.

use k256::ecdsa::SigningKey;

use super::ChainTerms;
use crate::digest::Digest;
use crate::eip712::{
    EthAddress, Word, keccak, point, recover_signer, sign_digest, typed_digest, word,
};
use crate::encoding::base64url;
use crate::job::JobSyntaxError;
use crate::job::cbor::{Fields, encoded, header_bytes};

const TYPE: &[u8] = b"JobResult(uint256 jobId,bytes32 functionDigest,bytes32 inputHash,bytes32 outputHash,uint8 status,uint64 executedMs,address payee)";
const WHAT: &str = "chain result";
/// Longest encoding, in bytes before base64url.
const MAX: usize = 256;

/// How a job ended, as a contract is told: only what model and input determine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainStatus {
    /// 0: the function answered (HTTP 200).
    Answered,
    /// 1: the function refused the input, and always will (HTTP 4xx).
    Refused,
}

impl ChainStatus {
    /// As HTTP has it; none where the answer is not final.
    pub fn of_http(status: u16) -> Option<Self> {
        match status {
            200 => Some(Self::Answered),
            400..=499 => Some(Self::Refused),
            _ => None,
        }
    }

    /// The contract's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Answered => 0,
            Self::Refused => 1,
        }
    }

    fn of_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Answered),
            1 => Some(Self::Refused),
            _ => None,
        }
    }
}

/// What an enclave claims to a contract of a job that it has finished.
///
/// EIP-712 typed data in the domain `{name: "Nacre", version: "1", chainId, verifyingContract}`, signed singly:
/// `JobResult(uint256 jobId,bytes32 functionDigest,bytes32 inputHash,bytes32 outputHash,uint8 status,uint64 executedMs,address payee)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainResult {
    /// For whom: chain, contract, job, payee.
    pub terms: ChainTerms,
    /// Which function ran.
    pub function: Digest,
    /// SHA-256 of the input as carried.
    pub input_hash: Digest,
    /// SHA-256 of the output (see [`crate::chain_job`]).
    pub output_hash: Digest,
    /// How it ended.
    pub status: ChainStatus,
    /// When: Unix milliseconds by the enclave's attested clock.
    pub executed_ms: u64,
}

impl ChainResult {
    /// The EIP-712 digest that the receipt key signs.
    pub fn digest(&self) -> Word {
        let message = keccak(&[
            &keccak(&[TYPE]),
            &self.terms.job.word(),
            self.function.as_bytes(),
            self.input_hash.as_bytes(),
            self.output_hash.as_bytes(),
            &word(self.status.number().into()),
            &word(self.executed_ms),
            &self.terms.payee.word(),
        ]);
        typed_digest(&self.terms.domain().separator(), &message)
    }

    /// Signs it.
    pub fn sign(self, key: &SigningKey) -> SignedChainResult {
        SignedChainResult {
            signature: sign_digest(key, &self.digest()),
            input_hash: self.input_hash,
            output_hash: self.output_hash,
            status: self.status,
            executed_ms: self.executed_ms,
        }
    }
}

/// A signed [`ChainResult`] without what everybody knows who asked for it: its terms and function.
///
/// Deterministic CBOR, integer keys:
///
/// | key | field | type |
/// |---|---|---|
/// | 1 | version = 1 | uint |
/// | 2 | SHA-256 of the input as carried | bstr 32 |
/// | 3 | SHA-256 of the output | bstr 32 |
/// | 4 | status, 0 or 1 | uint |
/// | 5 | executed, Unix ms | uint |
/// | 6 | signature r‖s‖v | bstr 65 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedChainResult {
    /// As in [`ChainResult`].
    pub input_hash: Digest,
    /// As in [`ChainResult`].
    pub output_hash: Digest,
    /// As in [`ChainResult`].
    pub status: ChainStatus,
    /// As in [`ChainResult`].
    pub executed_ms: u64,
    /// secp256k1 over [`ChainResult::digest`], r‖s‖v with low s and v 27 or 28.
    pub signature: [u8; 65],
}

/// A chain result that no contract would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainResultError {
    /// The job is a contract's, and there is none.
    #[error("the job is a contract's, and its result is not signed for the contract")]
    Missing,
    /// Not in its one encoding.
    #[error(transparent)]
    Syntax(#[from] JobSyntaxError),
    /// Not signed by the key that the node's evidence names, or for other terms or another function.
    #[error("the node's receipt key did not sign this chain result for this job")]
    Signature,
    /// Another input.
    #[error("the chain result is for another input")]
    Input,
    /// Another output, or another status.
    #[error("the chain result is for another output")]
    Output,
}

impl ChainResultError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "chain-result-missing",
            Self::Syntax(_) => "chain-result-malformed",
            Self::Signature => "chain-result-signature",
            Self::Input => "chain-result-input",
            Self::Output => "chain-result-output",
        }
    }
}

impl SignedChainResult {
    /// Everything that was signed.
    pub fn claims(&self, terms: ChainTerms, function: Digest) -> ChainResult {
        ChainResult {
            terms,
            function,
            input_hash: self.input_hash,
            output_hash: self.output_hash,
            status: self.status,
            executed_ms: self.executed_ms,
        }
    }

    /// The address that signed it under these terms, as `ecrecover` would find it.
    pub fn signer(&self, terms: ChainTerms, function: Digest) -> Option<EthAddress> {
        let digest = self.claims(terms, function).digest();
        let key = recover_signer(&digest, &self.signature)?;
        Some(EthAddress::of_key(&key))
    }

    /// Checks the signature of an enclave whose evidence was checked (its receipt key, X‖Y): over these terms, this function,
    /// and these hashes and this HTTP status of what was carried.
    ///
    /// # Errors
    ///
    /// [`ChainResultError`].
    pub fn verify(
        &self,
        receipt_key: &[u8; 64],
        terms: ChainTerms,
        function: Digest,
        carried: &CarriedHashes,
    ) -> Result<(), ChainResultError> {
        let digest = self.claims(terms, function).digest();
        let signer = recover_signer(&digest, &self.signature);
        if signer.is_none() || signer != point(receipt_key) {
            return Err(ChainResultError::Signature);
        }
        if self.input_hash != carried.input {
            return Err(ChainResultError::Input);
        }
        let status = ChainStatus::of_http(carried.status);
        if self.output_hash != carried.output || Some(self.status) != status {
            return Err(ChainResultError::Output);
        }
        Ok(())
    }

    /// The value of the header `nacre-chain-result`.
    pub fn to_header(&self) -> String {
        base64url(&self.encode())
    }

    /// Reads the header's value.
    ///
    /// # Errors
    ///
    /// When it is not base64url of the one encoding.
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
    ///
    /// # Errors
    ///
    /// When a field is missing, out of its range, or not written as it must be.
    pub fn decode(bytes: &[u8]) -> Result<Self, JobSyntaxError> {
        let mut fields = Fields::of(WHAT, bytes, MAX, 6)?;
        let signed = Self {
            input_hash: Digest::from_bytes(fields.array()?),
            output_hash: Digest::from_bytes(fields.array()?),
            status: {
                let status = ChainStatus::of_number(fields.uint()?);
                status.ok_or_else(|| fields.wrong("the status is neither 0 nor 1"))?
            },
            executed_ms: fields.uint()?,
            signature: fields.array()?,
        };
        fields.end(&signed.head(), &signed.signature)?;
        Ok(signed)
    }

    fn head(&self) -> Vec<u8> {
        encoded(0, |e| {
            e.map(6)?;
            e.u8(1)?.u8(1)?;
            e.u8(2)?.bytes(self.input_hash.as_bytes())?;
            e.u8(3)?.bytes(self.output_hash.as_bytes())?;
            e.u8(4)?.u8(self.status.number())?;
            e.u8(5)?.u64(self.executed_ms)?;
            e.u8(6)?.bytes_len(self.signature.len() as u64)?;
            Ok(())
        })
    }
}

/// What was carried, as whoever carried it knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarriedHashes {
    /// SHA-256 of the input.
    pub input: Digest,
    /// SHA-256 of the output.
    pub output: Digest,
    /// HTTP status of the result.
    pub status: u16,
}
