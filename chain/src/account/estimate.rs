//! What a transaction costs, before it is sent: what a contract would refuse costs nothing.

use alloy::network::TransactionBuilder as _;
use alloy::primitives::U256;
use alloy::providers::Provider as _;
use serde::Serialize;

use super::{Account, TransactionRequest};
use crate::error::ChainError;

/// The most gas that one transaction can have (EIP-7825).
pub const MAX_TRANSACTION_GAS: u64 = 16_777_216;

/// What a transaction would cost at most.
#[derive(Debug, Clone, Serialize)]
pub struct Estimate {
    /// Gas, with some room.
    pub gas: u64,
    /// Wei a gas at most.
    pub max_fee_per_gas: u128,
    /// Wei a gas for whoever makes the block, at most.
    pub max_priority_fee_per_gas: u128,
}

impl Estimate {
    /// Wei, at most.
    pub fn max_cost(&self) -> U256 {
        U256::from(self.gas) * U256::from(self.max_fee_per_gas)
    }
}

impl Account {
    /// What the transaction would cost at most.
    ///
    /// # Errors
    ///
    /// What the contract would refuse it with; `insufficient-funds`; the nodes' own.
    pub async fn estimate(&self, transaction: &TransactionRequest) -> Result<Estimate, ChainError> {
        let transaction = transaction.clone().with_from(self.address());
        let value = transaction.value.unwrap_or_default();
        // Without fees: a node would hold them against the balance and say so in words of its own.
        let gas = match self
            .provider
            .estimate_gas(transaction)
            .await
            .map_err(ChainError::from)
        {
            Ok(gas) => gas,
            Err(ChainError::Node { .. }) if self.balance().await? < value => {
                return Err(self.cannot_pay(self.balance().await?, value));
            }
            Err(error) => return Err(error),
        };
        let fees = self.provider.estimate_eip1559_fees().await?;
        let estimate = Estimate {
            gas: (gas + gas / 5).clamp(gas, MAX_TRANSACTION_GAS.max(gas)),
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
        };
        let (has, needs) = (self.balance().await?, value + estimate.max_cost());
        if has < needs {
            return Err(self.cannot_pay(has, needs));
        }
        Ok(estimate)
    }

    async fn balance(&self) -> Result<U256, ChainError> {
        Ok(self.provider.get_balance(self.address()).await?)
    }

    fn cannot_pay(&self, has: U256, needs: U256) -> ChainError {
        ChainError::InsufficientFunds {
            account: self.address(),
            has,
            needs,
        }
    }
}
