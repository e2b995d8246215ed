//! An account that sends transactions and waits until they count.
//!
//! A transaction is estimated first: what a contract would refuse is refused before it costs anything. Then the account's
//! balance is held against the most that it can cost. It counts once its block has the wanted number of blocks on it,
//! itself included.

use std::time::Duration;

use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::eips::Encodable2718 as _;
use alloy::network::{
    Ethereum, EthereumWallet, Network, NetworkTransactionBuilder as _, TransactionBuilder as _,
};
use alloy::primitives::{Address, B256, U256};
use alloy::providers::{DynProvider, Provider as _};
use alloy::sol_types::SolCall;

use crate::error::ChainError;
use crate::wallet::Wallet;

mod confirm;
mod estimate;

pub use estimate::{Estimate, MAX_TRANSACTION_GAS};

/// A transaction to be.
pub type TransactionRequest = <Ethereum as Network>::TransactionRequest;

/// What a mined transaction did.
pub type TransactionReceipt = <Ethereum as Network>::ReceiptResponse;

/// When a transaction counts, and how long that may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Blocks from the transaction's own on, that one included; at least 1.
    pub confirmations: u64,
    /// After this it is given up on.
    pub within: Duration,
    /// How often the chain is looked at.
    pub every: Duration,
}

impl Patience {
    /// One block, two minutes; a chain on this machine is asked often.
    pub fn new(is_local: bool) -> Self {
        Self {
            confirmations: 1,
            within: Duration::from_secs(120),
            every: Duration::from_millis(if is_local { 100 } else { 2_000 }),
        }
    }
}

/// An account on one chain.
#[derive(Debug, Clone)]
pub struct Account {
    provider: DynProvider,
    wallet: Wallet,
    chain_id: u64,
    patience: Patience,
}

/// A transaction that calls a contract.
pub fn call_to(contract: Address, call: &impl SolCall) -> TransactionRequest {
    TransactionRequest::default()
        .with_to(contract)
        .with_input(call.abi_encode())
}

/// A transaction that is signed and can be handed in any number of times.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Its hash.
    pub hash: B256,
    /// Its account's nonce.
    pub nonce: u64,
    raw: Vec<u8>,
}

/// A transaction that counts.
#[derive(Debug, Clone)]
pub struct Done {
    /// Its receipt.
    pub receipt: TransactionReceipt,
}

impl Done {
    /// What it cost, wei.
    pub fn cost(&self) -> U256 {
        U256::from(self.receipt.gas_used) * U256::from(self.receipt.effective_gas_price)
    }
}

impl Account {
    /// The wallet's account on the chain that the provider is at.
    ///
    /// # Errors
    ///
    /// The nodes' own.
    pub async fn new(
        provider: DynProvider,
        wallet: Wallet,
        patience: Patience,
    ) -> Result<Self, ChainError> {
        let chain_id = provider.get_chain_id().await?;
        Ok(Self {
            provider,
            wallet,
            chain_id,
            patience,
        })
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.wallet.address()
    }

    /// Where it is.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// When its transactions count.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// What it asks.
    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// Sends it, and waits until it counts.
    ///
    /// # Errors
    ///
    /// As [`Self::estimate`]; `not-confirmed` where it takes too long; the contract's own error where it fails after all.
    pub async fn send(&self, transaction: TransactionRequest) -> Result<Done, ChainError> {
        let estimate = self.estimate(&transaction).await?;
        self.send_estimated(transaction, &estimate).await
    }

    /// Sends what was estimated, and waits until it counts.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub async fn send_estimated(
        &self,
        transaction: TransactionRequest,
        estimate: &Estimate,
    ) -> Result<Done, ChainError> {
        let nonce = self.pending_nonce().await?;
        let signed = self.sign(transaction, estimate, nonce).await?;
        self.hand_in(&signed).await?;
        self.confirm(&signed).await
    }

    /// The next nonce, after what waits in the node's pool.
    pub async fn pending_nonce(&self) -> Result<u64, ChainError> {
        Ok(self
            .provider
            .get_transaction_count(self.address())
            .pending()
            .await?)
    }

    /// The next nonce, after what is mined.
    pub async fn mined_nonce(&self) -> Result<u64, ChainError> {
        Ok(self
            .provider
            .get_transaction_count(self.address())
            .latest()
            .await?)
    }

    /// Signs it for this chain.
    ///
    /// # Errors
    ///
    /// `rpc-bad-answer` where what is to be signed is not complete.
    pub async fn sign(
        &self,
        transaction: TransactionRequest,
        estimate: &Estimate,
        nonce: u64,
    ) -> Result<Signed, ChainError> {
        let complete = transaction
            .with_from(self.address())
            .with_chain_id(self.chain_id)
            .with_nonce(nonce)
            .with_gas_limit(estimate.gas)
            .with_max_fee_per_gas(estimate.max_fee_per_gas)
            .with_max_priority_fee_per_gas(estimate.max_priority_fee_per_gas);
        let wallet = EthereumWallet::from(self.wallet.signer().clone());
        let signed = complete.build(&wallet).await;
        let signed: TxEnvelope =
            signed.map_err(|error| ChainError::BadAnswer(error.to_string()))?;
        Ok(Signed {
            hash: *signed.tx_hash(),
            nonce: signed.nonce(),
            raw: signed.encoded_2718(),
        })
    }

    /// Hands it in; a node that has it already is no failure.
    ///
    /// # Errors
    ///
    /// The nodes' own.
    pub async fn hand_in(&self, signed: &Signed) -> Result<(), ChainError> {
        match self
            .provider
            .send_raw_transaction(&signed.raw)
            .await
            .map(drop)
            .map_err(ChainError::from)
        {
            Err(ChainError::Node { message, .. }) if is_known(&message) => Ok(()),
            other => other,
        }
    }
}

/// Words of nodes for a transaction that they have in their pool or on their chain, or another one of its nonce: which of
/// them is mined shows on chain.
fn is_known(message: &str) -> bool {
    let message = message.to_lowercase();
    let known = [
        "already known",
        "already imported",
        "nonce too low",
        "underpriced",
    ];
    known.iter().any(|words| message.contains(words))
}
