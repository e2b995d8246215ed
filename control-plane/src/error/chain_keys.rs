//! What can go wrong when a node offers its enclave's receipt key to smart contracts.

use nacre_protocol::api::chain::MAX_REGISTRIES;
use nacre_protocol::verified_enclave::ContractDomain;

/// Why an offer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainKeyError {
    /// None, or too many.
    #[error("1 to {MAX_REGISTRIES} consents, not {0}")]
    Count(usize),
    /// Two for the same registry.
    #[error("registry {0} is named twice")]
    Twice(ContractDomain),
    /// For nobody.
    #[error("the operator is the zero address")]
    Nobody,
    /// Another key's, or over another operator, chain or registry.
    #[error(
        "the consent for registry {0} is not signed by this enclave's receipt key for this operator"
    )]
    Consent(ContractDomain),
    /// The enclave was started anew, or it is another one.
    #[error("the evidence is of another boot than the registered one: register the new boot")]
    Boot,
}

impl ChainKeyError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Count(_) | Self::Twice(_) => (
                422,
                "consents-invalid",
                "The consents are not one for each of a few registries.",
            ),
            Self::Nobody => (422, "operator-zero", "The operator is nobody."),
            Self::Consent(_) => (
                403,
                "consent-refused",
                "A consent is not the enclave's own for this operator.",
            ),
            Self::Boot => (409, "boot-changed", "The evidence is of another boot."),
        }
    }
}
