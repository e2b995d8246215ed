//! The request for an [`OperatorConsent`](crate::operator_consent::OperatorConsent).

use serde::{Deserialize, Serialize};

use crate::eip712::EthAddress;
use crate::operator_consent::ConsentSignature;
use crate::verified_enclave::{ChainId, ContractDomain};

/// Body of `POST /v1/consent`: agree to work for this operator at this registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskConsent {
    /// For whom.
    pub operator: EthAddress,
    /// The registry's chain.
    pub chain_id: ChainId,
    /// The registry.
    pub registry: EthAddress,
}

impl AskConsent {
    /// The domain that the answer is signed in.
    pub fn domain(&self) -> ContractDomain {
        ContractDomain {
            chain_id: self.chain_id,
            verifying_contract: self.registry,
        }
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// The receipt key that agrees.
    pub receipt_key: EthAddress,
    /// Its signature.
    pub consent: ConsentSignature,
}
