//! An enclave agrees to work for an operator at one registry of receipt keys on one chain (DESIGN §3.3, §7).
//!
//! `EnclaveRegistry` takes a worker's key only with two words: a verifier's, that a Nitro document shows the key in an enclave
//! of an approved image ([`crate::verified_enclave`]), and the key's own, that it works for this operator there. Without the
//! second anybody who has seen the document could register the key as his.
//!
//! The enclave signs it for whoever holds its control channel, which is its host, and the host is the operator. That needs no
//! further proof of the host: who runs the machine decides anyway for whom it works, and the word names an address and
//! nothing else. It is no word of the operator's, though: so a registry takes a worker's key for
//! the first time from the operator alone. It opens no payload, is no word about an answer (its type differs from every
//! other that the key signs, and so does its digest), and pays nobody: the payee is in each signed result. At a registry a
//! key has one operator, the first that was registered; a second word to another changes nothing there.

use k256::ecdsa::SigningKey;

use crate::eip712::{EthAddress, Word, keccak, point, recover_signer, sign_digest, typed_digest};
use crate::verified_enclave::ContractDomain;

mod signature;

pub use signature::{ConsentSignature, SignatureSyntaxError};

const TYPE: &[u8] = b"OperatorConsent(address receiptKey,address operator)";

/// EIP-712 typed data, signed by `receipt_key` in the domain `{name: "Nacre", version: "1", chainId, verifyingContract}` of
/// the registry: `OperatorConsent(address receiptKey,address operator)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorConsent {
    /// The address of the enclave's receipt key.
    pub receipt_key: EthAddress,
    /// For whom it works.
    pub operator: EthAddress,
}

impl OperatorConsent {
    /// The word of the enclave with this receipt key (X‖Y, as in its identity statement); none where that is no key.
    pub fn of(receipt_key: &[u8; 64], operator: EthAddress) -> Option<Self> {
        Some(Self {
            receipt_key: EthAddress::of_key(&point(receipt_key)?),
            operator,
        })
    }

    /// What the registry's `consentDigest` gives.
    pub fn digest(&self, registry: &ContractDomain) -> Word {
        let message = keccak(&[
            &keccak(&[TYPE]),
            &self.receipt_key.word(),
            &self.operator.word(),
        ]);
        typed_digest(&registry.separator(), &message)
    }

    /// Agrees for the enclave that holds `key`.
    pub fn sign(
        key: &SigningKey,
        operator: EthAddress,
        registry: &ContractDomain,
    ) -> ConsentSignature {
        let consent = Self {
            receipt_key: EthAddress::of_key(key.verifying_key()),
            operator,
        };
        ConsentSignature::from_bytes(sign_digest(key, &consent.digest(registry)))
    }

    /// Whether the receipt key itself signed this for this registry, as the registry would find.
    pub fn is_signed(&self, registry: &ContractDomain, signature: &ConsentSignature) -> bool {
        let signer = recover_signer(&self.digest(registry), signature.as_bytes());
        signer.is_some_and(|signer| EthAddress::of_key(&signer) == self.receipt_key)
    }
}

#[cfg(test)]
mod tests;
