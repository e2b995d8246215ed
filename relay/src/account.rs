//! The relay's account: signs transactions, and sends none.

use alloy::consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718 as _;
use alloy::network::TxSignerSync as _;
use alloy::primitives::{TxKind, U256};
use nacre_chain::wallet::Wallet;
use nacre_protocol::eip712::EthAddress;

use crate::node::{address, eth};
use crate::outbox::Entry;
use crate::store::{Outgoing, Signed};

/// Gas of a transfer of nothing.
pub const TRANSFER_GAS: u64 = 21_000;

/// A key and the chain that it signs for.
#[derive(Debug, Clone)]
pub struct Account {
    wallet: Wallet,
    chain_id: u64,
}

/// The key did not sign.
#[derive(Debug, thiserror::Error)]
#[error("signing-failed: {0}")]
pub struct SigningError(#[from] alloy::signers::Error);

impl Account {
    /// With this key, on this chain.
    pub fn new(wallet: Wallet, chain_id: u64) -> Self {
        Self { wallet, chain_id }
    }

    /// Its address.
    pub fn address(&self) -> EthAddress {
        eth(self.wallet.address())
    }

    /// Signs an entry's transaction: its call, or where it is a cancel, a transfer of nothing to itself.
    ///
    /// # Errors
    ///
    /// The key does not sign.
    pub fn sign(&self, outgoing: &Outgoing) -> Result<Signed, SigningError> {
        let entry: &Entry = &outgoing.entry;
        let (to, input) = match entry.is_cancel {
            true => (self.wallet.address(), Vec::new()),
            false => (address(&outgoing.target), outgoing.data.clone()),
        };
        let mut transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: entry.nonce,
            gas_limit: entry.gas,
            max_fee_per_gas: entry.fees.max,
            max_priority_fee_per_gas: entry.fees.tip,
            to: TxKind::Call(to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: input.into(),
        };
        let signature = self
            .wallet
            .signer()
            .sign_transaction_sync(&mut transaction)?;
        let signed = transaction.into_signed(signature);
        Ok(Signed {
            hash: signed.hash().0,
            raw: TxEnvelope::from(signed).encoded_2718(),
        })
    }
}
