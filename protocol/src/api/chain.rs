//! Shapes of what nodes offer to smart contracts: receipt keys whose enclaves agreed to work for an operator at a registry.
//!
//! | request | answer |
//! |---|---|
//! | `PUT /v1/nodes/{id}/chain-keys` with [`PublishChainKeys`] | 204 |
//! | `GET /v1/chain/keys?registry={chain id:address}&after={cursor}` | a page of [`ChainKey`], by node, chain and registry |

use serde::{Deserialize, Serialize};

use crate::eip712::EthAddress;
use crate::encoding::{base64url_array, base64url_bytes};
use crate::evidence::Evidence;
use crate::ids::NodeId;
use crate::operator_consent::ConsentSignature;
use crate::verified_enclave::{ChainId, ContractDomain};

/// Most registries that one node's key is offered to.
pub const MAX_REGISTRIES: usize = 16;

/// How often a node brings a new document, seconds: verifiers take none that is older than five minutes.
pub const PUBLISH_EVERY_S: u64 = 120;

/// `PUT /v1/nodes/{id}/chain-keys`: what the node's enclave agreed to, instead of all that it agreed to before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublishChainKeys {
    /// The operator's Ethereum address.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operator: EthAddress,
    /// The enclave's consents, one for each registry; 1 to 16.
    pub consents: Vec<RegistryConsent>,
    /// The nonce of `POST /v1/nodes/challenges`; each is taken once.
    #[serde(with = "base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: [u8; 32],
    /// Evidence that the enclave made for this nonce, operator and node, as for a registration.
    pub evidence: Evidence,
}

/// An enclave's consent to work for its operator at one registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegistryConsent {
    /// Which chain: a number, or a string of decimal digits.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub chain_id: ChainId,
    /// The registry's address.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub registry: EthAddress,
    /// The receipt key's signature over `OperatorConsent(receiptKey, operator)`, `0x` and 130 hexadecimal digits.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub consent: ConsentSignature,
}

impl RegistryConsent {
    /// The domain that it is signed in.
    pub fn domain(&self) -> ContractDomain {
        ContractDomain {
            chain_id: self.chain_id,
            verifying_contract: self.registry,
        }
    }
}

/// A receipt key that can be registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainKey {
    /// The node whose enclave holds it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// The key's address.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub receipt_key: EthAddress,
    /// For whom it works: an Ethereum address.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operator: EthAddress,
    /// Which chain: a number, or a string of decimal digits.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub chain_id: ChainId,
    /// The registry's address.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub registry: EthAddress,
    /// The key's signature over `OperatorConsent(receiptKey, operator)` for that registry, `0x` and 130 hexadecimal digits.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub consent: ConsentSignature,
    /// The enclave's newest attestation document (COSE_Sign1), base64url.
    #[serde(with = "base64url_bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub document: Vec<u8>,
    /// When the document was made, Unix milliseconds.
    pub document_ms: u64,
}

impl ChainKey {
    /// The domain of its registry.
    pub fn domain(&self) -> ContractDomain {
        ContractDomain {
            chain_id: self.chain_id,
            verifying_contract: self.registry,
        }
    }
}
