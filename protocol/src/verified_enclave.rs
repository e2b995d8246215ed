//! What a verifier enclave tells a smart contract of another enclave (DESIGN §7): EIP-712 typed data that binds the chain
//! and the one contract that it is meant for.
//!
//! `operator` is whom the asker named. The signature says nothing of whether the enclave agrees: a contract that lets an
//! operator speak for an enclave must also demand the receipt key's own signature over the operator, the chain and the
//! contract.

use k256::ecdsa::SigningKey;
use serde_json::{Value, json};

use crate::eip712::{EthAddress, Word, keccak, recover_signer, sign_digest, typed_digest, word};

mod chain_id;
mod contract_text;

pub use chain_id::{ChainId, ChainIdSyntaxError};
pub use contract_text::ContractSyntaxError;

const DOMAIN_TYPE: &[u8] =
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const ENCLAVE_TYPE: &[u8] = b"VerifiedEnclave(bytes32 rootId,bytes32 imageId,address receiptKey,address operator,bytes32 userData,uint64 timestampMs,uint64 expiresMs)";
const NAME: &str = "Nacre";
const VERSION: &str = "1";

/// An enclave whose attestation document was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedEnclave {
    /// Which root vouches for it: SHA-256 of the certificate's DER.
    pub root_id: Word,
    /// Which image it runs: SHA-256(PCR0 ‖ PCR1 ‖ PCR2).
    pub image_id: Word,
    /// The address of the document's public key.
    pub receipt_key: EthAddress,
    /// Whom the asker named as its operator.
    pub operator: EthAddress,
    /// The document's user data: for our enclaves the hash of the identity statement.
    pub user_data: Word,
    /// When the document was made, Unix milliseconds.
    pub timestamp_ms: u64,
    /// When the first certificate of its chain ends, Unix milliseconds.
    pub expires_ms: u64,
}

/// Whom a [`VerifiedEnclave`] is told to: one contract on one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContractDomain {
    /// The chain.
    pub chain_id: ChainId,
    /// The contract.
    pub verifying_contract: EthAddress,
}

impl VerifiedEnclave {
    /// The digest that the verifier's key signs.
    pub fn digest(&self, domain: &ContractDomain) -> Word {
        typed_digest(&domain.separator(), &self.hash_struct())
    }

    /// Signs it for one contract: r‖s‖v with low s and v 27 or 28.
    pub fn sign(&self, domain: &ContractDomain, key: &SigningKey) -> [u8; 65] {
        sign_digest(key, &self.digest(domain))
    }

    /// The address whose key signed this for this contract, as `ecrecover` would find it.
    pub fn signer(&self, domain: &ContractDomain, signature: &[u8; 65]) -> Option<EthAddress> {
        let key = recover_signer(&self.digest(domain), signature)?;
        Some(EthAddress::of_key(&key))
    }

    /// EIP-712 `hashStruct`.
    pub fn hash_struct(&self) -> Word {
        keccak(&[
            &keccak(&[ENCLAVE_TYPE]),
            &self.root_id,
            &self.image_id,
            &self.receipt_key.word(),
            &self.operator.word(),
            &self.user_data,
            &word(self.timestamp_ms),
            &word(self.expires_ms),
        ])
    }

    /// The same as JSON of `eth_signTypedData_v4`, which every wallet library hashes.
    pub fn typed_data(&self, domain: &ContractDomain) -> Value {
        let fields = |type_text: &[u8]| -> Vec<Value> {
            // The type's own text is the one place where its fields stand.
            let text = String::from_utf8_lossy(type_text);
            let inside = text.split(['(', ')']).nth(1).unwrap_or_default();
            let fields = inside.split(',').filter_map(|field| field.split_once(' '));
            fields
                .map(|(kind, name)| json!({"name": name, "type": kind}))
                .collect()
        };
        json!({
            "types": {
                "EIP712Domain": fields(DOMAIN_TYPE),
                "VerifiedEnclave": fields(ENCLAVE_TYPE),
            },
            "primaryType": "VerifiedEnclave",
            "domain": {
                "name": NAME,
                "version": VERSION,
                "chainId": domain.chain_id,
                "verifyingContract": domain.verifying_contract,
            },
            "message": {
                "rootId": hex0x(&self.root_id),
                "imageId": hex0x(&self.image_id),
                "receiptKey": self.receipt_key,
                "operator": self.operator,
                "userData": hex0x(&self.user_data),
                "timestampMs": self.timestamp_ms,
                "expiresMs": self.expires_ms,
            },
        })
    }
}

impl ContractDomain {
    /// EIP-712 `domainSeparator`.
    pub fn separator(&self) -> Word {
        keccak(&[
            &keccak(&[DOMAIN_TYPE]),
            &keccak(&[NAME.as_bytes()]),
            &keccak(&[VERSION.as_bytes()]),
            &self.chain_id.word(),
            &self.verifying_contract.word(),
        ])
    }
}

/// `0x` and lower-case hexadecimal digits, as Ethereum writes bytes.
pub fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests;
