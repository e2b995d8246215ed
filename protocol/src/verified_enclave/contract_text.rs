//! A contract as people name it: `{chain id}:{address}`.

use core::fmt;
use core::str::FromStr;

use super::ContractDomain;

/// A text that names no contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `chain id:contract`, the contract as `0x` and 40 hexadecimal digits")]
pub struct ContractSyntaxError;

impl fmt::Display for ContractDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.chain_id, self.verifying_contract)
    }
}

impl FromStr for ContractDomain {
    type Err = ContractSyntaxError;

    fn from_str(text: &str) -> Result<Self, ContractSyntaxError> {
        let (chain, contract) = text.split_once(':').ok_or(ContractSyntaxError)?;
        Ok(Self {
            chain_id: chain.parse().map_err(|_| ContractSyntaxError)?,
            verifying_contract: contract.parse().map_err(|_| ContractSyntaxError)?,
        })
    }
}
