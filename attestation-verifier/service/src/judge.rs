//! The verdict. Everything it depends on is given, the time included; nothing here waits.
//!
//! Rules are checked in the order of the core (DESIGN §4): shape, chain, signature, then the nonce that the asker wants,
//! age, measurements, and last what the typed data itself needs of the document.

use std::fmt;
use std::time::Duration;

use nacre_attestation_verifier::{
    ResultCode, RootKind, UnixMillis, VerificationTime, VerifiedEvidence, Verifier, VerifyError,
};
use nacre_protocol::eip712::{EthAddress, point};
use nacre_protocol::verified_enclave::{ContractDomain, VerifiedEnclave};
use nacre_protocol::verifier_api::{Claims, DEVELOPMENT_ROOT, VerifyRequest};
use sha2::{Digest as _, Sha256};

/// How old a document may be.
pub const MAX_AGE: Duration = Duration::from_secs(300);

/// Verifies documents under one root. Threads share it, and with it the memory of certificates.
#[derive(Debug)]
pub struct Judge {
    verifier: Verifier,
    root_id: [u8; 32],
}

/// What may be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The claim.
    pub enclave: VerifiedEnclave,
    /// Whom it is told to.
    pub domain: ContractDomain,
    /// All that the document says.
    pub claims: Claims,
}

/// Why nothing is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The document breaks a rule of the core.
    Document(VerifyError),
    /// `public_key` is not 64 bytes X‖Y of a point on secp256k1, so that no contract could check its signatures.
    ReceiptKey,
    /// `user_data` is not 32 bytes.
    UserDataShape,
}

impl Refused {
    /// The rule that was broken.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Document(error) => error.rule(),
            Self::ReceiptKey => "receipt-key",
            Self::UserDataShape => "user-data-shape",
        }
    }

    /// The result code of DESIGN §4.
    pub fn result(&self) -> ResultCode {
        match self {
            Self::Document(error) => error.code(),
            Self::ReceiptKey | Self::UserDataShape => ResultCode::Binding,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => error.fmt(f),
            Self::ReceiptKey => {
                f.write_str("public_key is not a point of secp256k1 in 64 bytes, X and Y")
            }
            Self::UserDataShape => f.write_str("user_data is not 32 bytes"),
        }
    }
}

impl From<VerifyError> for Refused {
    fn from(error: VerifyError) -> Self {
        Self::Document(error)
    }
}

impl Judge {
    /// One that believes what this verifier's root vouches for.
    pub fn new(verifier: Verifier) -> Self {
        let root_id = Sha256::digest(verifier.roots().der()).into();
        Self { verifier, root_id }
    }

    /// The verifier.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// What every verdict says besides, where the root is not AWS's.
    pub fn warning(&self) -> Option<&'static str> {
        match self.verifier.roots().kind() {
            RootKind::Aws => None,
            RootKind::Development => Some(DEVELOPMENT_ROOT),
        }
    }

    /// Judges a document at this time, Unix milliseconds.
    ///
    /// # Errors
    ///
    /// [`Refused`], the first rule that it breaks.
    pub fn judge(&self, asked: &VerifyRequest, now_ms: u64) -> Result<Judged, Refused> {
        let now = VerificationTime::Live(UnixMillis(now_ms));
        let evidence = self.verifier.verify(&asked.document, now)?;
        if let Some(nonce) = &asked.nonce {
            evidence.require_nonce(nonce)?;
        }
        evidence.require_age(MAX_AGE)?;
        // Which image runs is the contract's question; that one was measured is not.
        let image_id = evidence.image()?.id();
        let receipt_key = evidence.public_key().and_then(|key| key.try_into().ok());
        let receipt_key = receipt_key.and_then(point).ok_or(Refused::ReceiptKey)?;
        let user_data = evidence.user_data().and_then(|data| data.try_into().ok());
        Ok(Judged {
            enclave: VerifiedEnclave {
                root_id: self.root_id,
                image_id,
                receipt_key: EthAddress::of_key(&receipt_key),
                operator: asked.operator,
                user_data: user_data.ok_or(Refused::UserDataShape)?,
                timestamp_ms: evidence.timestamp_ms(),
                expires_ms: evidence.chain_not_after().saturating_mul(1000),
            },
            domain: ContractDomain {
                chain_id: asked.chain_id,
                verifying_contract: asked.verifying_contract,
            },
            claims: claims(&evidence),
        })
    }
}

fn claims(evidence: &VerifiedEvidence) -> Claims {
    let pcrs = evidence.pcrs().iter();
    let kind = match evidence.root_kind() {
        RootKind::Aws => "aws",
        RootKind::Development => "development",
    };
    Claims {
        module_id: evidence.module_id().to_owned(),
        timestamp_ms: evidence.timestamp_ms(),
        verified_at_ms: evidence.verified_at().0,
        pcrs: pcrs.map(|(index, pcr)| (*index, pcr.to_string())).collect(),
        public_key: evidence.public_key().map(<[u8]>::to_vec),
        user_data: evidence.user_data().map(<[u8]>::to_vec),
        nonce: evidence.nonce().map(<[u8]>::to_vec),
        root_kind: kind.to_owned(),
        chain_not_after: evidence.chain_not_after(),
    }
}

#[cfg(test)]
mod tests;
