//! Receipts (DESIGN §3.3): proof, checkable by anyone, of which function answered which request with which response.
//!
//! A receipt is EIP-712 typed data. Signing is batched: the receipt key signs the RFC 6962 root over the receipts that
//! waited, and each answer carries its own path to it.

use k256::ecdsa::SigningKey;

use crate::digest::Digest;
use crate::eip712::{keccak, nacre_domain, point, recover_signer, sign_digest, typed_digest, word};
use crate::merkle::{Hash, InclusionError, MAX_LEAVES, Tree, leaf_hash, root_from_path};

mod codec;
mod hashes;

pub use codec::{MAX_RECEIPT, ReceiptSyntaxError};
pub use hashes::{RequestParts, ResponseParts};

const RECEIPT_TYPE: &[u8] = b"InferenceReceipt(bytes32 functionDigest,bytes32 requestHash,bytes32 responseHash,uint64 startedMs,uint32 computeMicros,uint16 status)";
const BATCH_TYPE: &[u8] = b"ReceiptBatch(bytes32 root)";

/// What is claimed of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InferenceReceipt {
    /// The function that answered.
    pub function_digest: Digest,
    /// Salted hash of the request, see [`RequestParts::hash`].
    pub request_hash: Hash,
    /// Salted hash of the response, see [`ResponseParts::hash`].
    pub response_hash: Hash,
    /// When the work began: Unix milliseconds by the enclave's attested clock.
    pub started_ms: u64,
    /// Time in the model, microseconds.
    pub compute_micros: u32,
    /// HTTP status of the response.
    pub status: u16,
}

impl InferenceReceipt {
    /// EIP-712 `hashStruct`.
    pub fn hash_struct(&self) -> Hash {
        keccak(&[
            &keccak(&[RECEIPT_TYPE]),
            self.function_digest.as_bytes(),
            &self.request_hash,
            &self.response_hash,
            &word(self.started_ms),
            &word(self.compute_micros.into()),
            &word(self.status.into()),
        ])
    }

    /// This receipt's leaf in a batch.
    pub fn leaf(&self) -> Hash {
        leaf_hash(&[&self.hash_struct()])
    }
}

/// The EIP-712 digest that the receipt key signs for a batch.
pub fn batch_digest(root: &Hash) -> Hash {
    let batch = keccak(&[&keccak(&[BATCH_TYPE]), root]);
    typed_digest(&nacre_domain(), &batch)
}

/// A receipt with everything that is needed to check it, but for the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    /// The claims.
    pub receipt: InferenceReceipt,
    /// The salt of both hashes.
    pub salt: [u8; 32],
    /// Where the receipt's leaf stands in its batch.
    pub index: u32,
    /// How many receipts the batch holds.
    pub size: u32,
    /// Inclusion path to the batch's root.
    pub path: Vec<Hash>,
    /// secp256k1 over [`batch_digest`], r‖s‖v with low s and v 27 or 28, as the EVM's `ecrecover` takes it.
    pub signature: [u8; 65],
}

/// A receipt that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The key in the identity statement is not a secp256k1 point.
    #[error("the receipt key is not a point of secp256k1")]
    Key,
    /// The path does not lead to a root of the batch.
    #[error("receipt's inclusion path: {0}")]
    Inclusion(#[from] InclusionError),
    /// The signature is not this key's over this batch.
    #[error("the receipt key did not sign this batch")]
    Signature,
    /// The request is another one.
    #[error("the request is not the one that the receipt speaks of")]
    Request,
    /// The response is another one.
    #[error("the response is not the one that the receipt speaks of")]
    Response,
    /// Another function answered.
    #[error("answered by function {got}, wanted {wanted}")]
    Function {
        /// The digest that the caller named.
        wanted: Digest,
        /// The digest in the receipt.
        got: Digest,
    },
}

impl SignedReceipt {
    /// Checks signature and path against the receipt key (uncompressed X‖Y) of an enclave whose evidence was checked.
    pub fn verify_signature(&self, receipt_key: &[u8; 64]) -> Result<(), ReceiptError> {
        let key = point(receipt_key).ok_or(ReceiptError::Key)?;
        let root = self.batch_root()?;
        if recover_signer(&batch_digest(&root), &self.signature) == Some(key) {
            Ok(())
        } else {
            Err(ReceiptError::Signature)
        }
    }

    /// Checks everything: signature, function, request and response.
    pub fn verify(
        &self,
        receipt_key: &[u8; 64],
        function: &Digest,
        request: &RequestParts<'_>,
        response: &ResponseParts<'_>,
    ) -> Result<(), ReceiptError> {
        self.verify_signature(receipt_key)?;
        let got = self.receipt.function_digest;
        if got != *function {
            let wanted = *function;
            return Err(ReceiptError::Function { wanted, got });
        }
        if request.hash(&self.salt) != self.receipt.request_hash {
            return Err(ReceiptError::Request);
        }
        if response.status != self.receipt.status
            || response.hash(&self.salt) != self.receipt.response_hash
        {
            return Err(ReceiptError::Response);
        }
        Ok(())
    }

    /// The root that this receipt's leaf and path lead to; the signature decides whether it is the right one.
    fn batch_root(&self) -> Result<Hash, InclusionError> {
        root_from_path(&self.receipt.leaf(), self.index, self.size, &self.path)
    }
}

/// Signs receipts in one batch; answers stand in the order of the receipts.
///
/// `None` for an empty batch or one above [`MAX_LEAVES`].
pub fn sign_batch(
    key: &SigningKey,
    receipts: &[(InferenceReceipt, [u8; 32])],
) -> Option<Vec<SignedReceipt>> {
    let tree = Tree::new(receipts.iter().map(|(receipt, _)| receipt.leaf()).collect())?;
    let signature = sign_digest(key, &batch_digest(&tree.root()));
    receipts
        .iter()
        .zip(0..MAX_LEAVES)
        .map(|(&(receipt, salt), index)| {
            Some(SignedReceipt {
                receipt,
                salt,
                index,
                size: tree.size(),
                path: tree.path(index)?,
                signature,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
