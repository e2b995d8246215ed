//! What overturns a watcher's word: the signed answer of the node's enclave to that watcher's own nonce.

use alloy::primitives::{Address, B256};
use nacre_protocol::eip712::{EthAddress, point};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::NodeId;
use nacre_protocol::receipt::{ReceiptError, SignedReceipt};
use nacre_protocol::receipt_file::ReceiptFile;
use nacre_protocol::uptime::Slot;

use super::{abi, node_word};
use crate::contracts::uptime_oracle::Receipts;

/// An answer to a watcher, as its evidence records keep it.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// Receipt and evidence.
    pub receipt: &'a ReceiptFile,
    /// The request's body.
    pub request: &'a [u8],
    /// Which node answered.
    pub node: NodeId,
    /// In which slot.
    pub slot: Slot,
    /// To which try.
    pub attempt: u8,
}

/// What a dispute says, in the contract's words.
#[derive(Debug, Clone)]
pub struct DisputeArguments {
    /// Whose word on what.
    pub claim: abi::Claim,
    /// What the watcher asked.
    pub request: Receipts::Request,
    /// What the enclave signed.
    pub receipt: Receipts::Receipt,
}

/// An answer that overturns nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisputeError {
    /// The receipt cannot be read.
    #[error("the receipt cannot be read: {0}")]
    Receipt(String),
    /// The statement beside it names no key.
    #[error("the identity statement names no receipt key")]
    Key,
    /// The key did not sign it.
    #[error("the receipt is not signed by the enclave: {0}")]
    Signature(#[from] ReceiptError),
    /// The answer is to another nonce than the watcher's for that slot and try.
    #[error("what was answered is not the watcher's own nonce")]
    Nonce,
    /// The receipt is of another request.
    #[error("the receipt is of another request")]
    Request,
}

impl DisputeError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Receipt(_) => "receipt-malformed",
            Self::Key => "receipt-key",
            Self::Signature(_) => "receipt-signature",
            Self::Nonce => "dispute-nonce",
            Self::Request => "dispute-request",
        }
    }
}

impl Answer<'_> {
    /// The key that signed the answer.
    ///
    /// # Errors
    ///
    /// `receipt-key`.
    pub fn receipt_key(&self) -> Result<EthAddress, DisputeError> {
        let statement = IdentityStatement::decode(&self.receipt.evidence.statement);
        let statement = statement.map_err(|_| DisputeError::Key)?;
        let key = point(&statement.receipt_key).ok_or(DisputeError::Key)?;
        Ok(EthAddress::of_key(&key))
    }

    /// Checks what can be checked off chain, and says it as the contract takes it. `nonce` is the watcher's, of its revealed
    /// salt; `salt` and `root` are what it revealed.
    ///
    /// # Errors
    ///
    /// [`DisputeError`].
    pub fn against(
        &self,
        watcher: Address,
        nonce: &[u8; 32],
        (salt, root): (B256, B256),
        operator: Address,
    ) -> Result<DisputeArguments, DisputeError> {
        let signed = SignedReceipt::from_header(&self.receipt.receipt);
        let signed = signed.map_err(|error| DisputeError::Receipt(error.to_string()))?;
        let statement = IdentityStatement::decode(&self.receipt.evidence.statement);
        let statement = statement.map_err(|_| DisputeError::Key)?;
        signed.verify_signature(&statement.receipt_key)?;
        if signed.salt != *nonce {
            return Err(DisputeError::Nonce);
        }
        let head = &self.receipt.request;
        if head.with_body(self.request).hash(nonce) != signed.receipt.request_hash {
            return Err(DisputeError::Request);
        }
        let claims = signed.receipt;
        Ok(DisputeArguments {
            claim: abi::Claim {
                watcher,
                salt,
                root,
                operator,
                node: node_word(&self.node),
                slot: self.slot.0,
                attempt: self.attempt,
                receiptKey: Address::from(*self.receipt_key()?.as_bytes()),
            },
            request: Receipts::Request {
                method: head.method.clone(),
                path: head.path.clone(),
                contentType: head.content_type.clone(),
                inferenceHeaderLength: head.inference_header_length.clone(),
                body: self.request.to_vec().into(),
            },
            receipt: Receipts::Receipt {
                functionDigest: B256::from(*claims.function_digest.as_bytes()),
                responseHash: B256::from(claims.response_hash),
                startedMs: claims.started_ms,
                computeMicros: claims.compute_micros,
                status: claims.status,
                index: signed.index,
                size: signed.size,
                path: signed.path.into_iter().map(B256::from).collect(),
                signature: signed.signature.to_vec().into(),
            },
        })
    }
}
