//! From an enclave's document to a receipt key that a registry knows (DESIGN §7).
//!
//! Two words make a key: the enclave's own, that it works for this operator at this registry
//! ([`nacre_protocol::operator_consent`]), and a verifier's, that a fresh document shows the key in an enclave of an approved
//! image ([`nacre_protocol::verified_enclave`]). Both are checked here as the registry will check them, so that a node, a
//! control plane or a verifier that lies costs no gas.

use alloy::network::{Ethereum, Network, TransactionBuilder as _};
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::Provider;
use alloy::sol_types::SolCall as _;
use nacre_protocol::api::chain::ChainKey;
use nacre_protocol::eip712::{EthAddress, point};
use nacre_protocol::encoding::array_from_hex;
use nacre_protocol::operator_consent::{ConsentSignature, OperatorConsent};
use nacre_protocol::verified_enclave::{ContractDomain, VerifiedEnclave, hex0x};
use nacre_protocol::verifier_api::Verdict;

use crate::contracts::enclave_registry::EnclaveRegistry as abi;
use crate::contracts::enclave_registry::EnclaveRegistry::EnclaveRegistryInstance;
use crate::error::ChainError;

mod verifier;

pub use verifier::{MAX_VERDICT, VerifierError, vouch};

/// A receipt key with both words, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    registry: ContractDomain,
    enclave: VerifiedEnclave,
    verifier: EthAddress,
    word: [u8; 65],
    consent: ConsentSignature,
}

/// Two words that make no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The enclave did not agree.
    #[error("the receipt key {key} did not agree to work for {operator} at {registry}")]
    Consent {
        /// Whose consent was claimed.
        key: EthAddress,
        /// For whom.
        operator: EthAddress,
        /// Where.
        registry: ContractDomain,
    },
    /// The verifier speaks of something else than it was asked about.
    #[error("the verifier's verdict has another {0} than the document and the question")]
    Verdict(&'static str),
    /// The verifier did not sign what it says.
    #[error("the verdict is not signed by the verifier that it names")]
    Signature,
}

impl RegistrationError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Consent { .. } => "consent-refused",
            Self::Verdict(_) => "verdict-differs",
            Self::Signature => "verdict-signature",
        }
    }
}

impl Registration {
    /// Joins what an enclave agreed to with what a verifier says of its document.
    ///
    /// # Errors
    ///
    /// Where either word would be refused by the registry, or the verdict is of another enclave.
    pub fn of(key: &ChainKey, verdict: &Verdict) -> Result<Self, RegistrationError> {
        let registry = key.domain();
        check_consent(key)?;
        let differs = RegistrationError::Verdict;
        let claims = &verdict.claims;
        let public_key = claims
            .public_key
            .as_deref()
            .and_then(|key| key.try_into().ok());
        let receipt_key = public_key
            .and_then(point)
            .map(|key| EthAddress::of_key(&key));
        if receipt_key != Some(key.receipt_key) {
            return Err(differs("receipt key"));
        }
        let user_data = claims
            .user_data
            .as_deref()
            .and_then(|data| data.try_into().ok());
        let enclave = VerifiedEnclave {
            root_id: word(&verdict.root_id).ok_or(differs("root id"))?,
            image_id: word(&verdict.image_id).ok_or(differs("image id"))?,
            receipt_key: key.receipt_key,
            operator: key.operator,
            user_data: user_data.ok_or(differs("user data"))?,
            timestamp_ms: claims.timestamp_ms,
            expires_ms: claims.chain_not_after.saturating_mul(1000),
        };
        if verdict.digest != hex0x(&enclave.digest(&registry)) {
            return Err(differs("digest"));
        }
        let signature = verdict.signature.strip_prefix("0x");
        let signature = signature.and_then(|digits| array_from_hex(digits).ok());
        let signature: [u8; 65] = signature.ok_or(RegistrationError::Signature)?;
        if enclave.signer(&registry, &signature) != Some(verdict.signer) {
            return Err(RegistrationError::Signature);
        }
        Ok(Self {
            registry,
            enclave,
            verifier: verdict.signer,
            word: signature,
            consent: key.consent,
        })
    }

    /// What the verifier says.
    pub fn enclave(&self) -> &VerifiedEnclave {
        &self.enclave
    }

    /// Who says it.
    pub fn verifier(&self) -> EthAddress {
        self.verifier
    }

    /// Where the key is to be registered.
    pub fn registry(&self) -> &ContractDomain {
        &self.registry
    }

    /// What registers the key. A worker's first registration is its operator's to send; to prolong it is anybody's.
    pub fn transaction(&self) -> <Ethereum as Network>::TransactionRequest {
        <Ethereum as Network>::TransactionRequest::default()
            .with_to(address(&self.registry.verifying_contract))
            .with_input(self.call())
    }

    fn call(&self) -> Bytes {
        let enclave = &self.enclave;
        let claim = abi::VerifiedEnclave {
            rootId: B256::from(enclave.root_id),
            imageId: B256::from(enclave.image_id),
            receiptKey: address(&enclave.receipt_key),
            operator: address(&enclave.operator),
            userData: B256::from(enclave.user_data),
            timestampMs: enclave.timestamp_ms,
            expiresMs: enclave.expires_ms,
        };
        let call = abi::registerCall {
            enclave: claim,
            verifierSignature: Bytes::copy_from_slice(&self.word),
            consent: Bytes::copy_from_slice(self.consent.as_bytes()),
        };
        call.abi_encode().into()
    }
}

/// That the receipt key itself agreed.
///
/// # Errors
///
/// `consent-refused`.
pub fn check_consent(key: &ChainKey) -> Result<(), RegistrationError> {
    let agreed = OperatorConsent {
        receipt_key: key.receipt_key,
        operator: key.operator,
    };
    let registry = key.domain();
    if agreed.is_signed(&registry, &key.consent) {
        return Ok(());
    }
    Err(RegistrationError::Consent {
        key: key.receipt_key,
        operator: key.operator,
        registry,
    })
}

/// What a registry says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// For whom it works.
    pub operator: Address,
    /// Until when, Unix seconds, if nothing ends it before.
    pub expires_at: u64,
    /// Whether it is worth something now: neither it, its image, nor a verifier above it is revoked or out of time.
    pub valid: bool,
}

/// What the registry knows of a key; `None` where it was never registered.
///
/// # Errors
///
/// Where the chain cannot be asked.
pub async fn registered<P: Provider>(
    registry: Address,
    provider: P,
    key: Address,
) -> Result<Option<Registered>, ChainError> {
    let registry = EnclaveRegistryInstance::new(registry, provider);
    let known = registry.workerOf(key).call().await?;
    if known.operator == Address::ZERO {
        return Ok(None);
    }
    let valid = match registry.workerOperator(key, B256::ZERO).call().await {
        Ok(operator) => operator == known.operator,
        Err(error) => match ChainError::from(error) {
            ChainError::Refused(_) => false,
            error => return Err(error),
        },
    };
    Ok(Some(Registered {
        operator: known.operator,
        expires_at: known.expiresAt.to(),
        valid,
    }))
}

fn word(text: &str) -> Option<[u8; 32]> {
    array_from_hex(text.strip_prefix("0x")?).ok()
}

fn address(address: &EthAddress) -> Address {
    Address::from(*address.as_bytes())
}

#[cfg(test)]
mod tests;
