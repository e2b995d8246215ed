//! Until a transaction counts.

use std::time::Duration;

use alloy::network::TransactionBuilder as _;
use alloy::providers::Provider as _;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::{Account, Done, Signed, TransactionReceipt, TransactionRequest};
use crate::error::ChainError;
use crate::refusal::Refusal;

/// How often a transaction that nobody mined is handed in again: nodes forget.
const AGAIN: Duration = Duration::from_secs(15);

impl Account {
    /// Waits until it counts, handing it in again from time to time.
    ///
    /// # Errors
    ///
    /// `not-confirmed`; `transaction-replaced`; the contract's own error where it failed on chain.
    pub async fn confirm(&self, signed: &Signed) -> Result<Done, ChainError> {
        let until = Instant::now() + self.patience.within;
        let mut looks = interval(self.patience.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = Instant::now() + AGAIN;
        loop {
            looks.tick().await;
            match timeout_at(until, self.look(signed)).await {
                Ok(Ok(Some(receipt))) => return self.succeeded(receipt).await,
                // Nodes that fail for a moment do not end the wait.
                Ok(Err(error)) if !error.is_transient() => return Err(error),
                Ok(_) => {}
                Err(_) => {
                    return Err(ChainError::NotConfirmed {
                        hash: signed.hash,
                        within: self.patience.within,
                    });
                }
            }
            if Instant::now() >= again {
                again = Instant::now() + AGAIN;
                // Whether that was taken shows at the next look.
                let _ = timeout_at(until, self.hand_in(signed)).await;
            }
        }
    }

    /// Its receipt, once it counts.
    async fn look(&self, signed: &Signed) -> Result<Option<TransactionReceipt>, ChainError> {
        let Some(receipt) = self.provider.get_transaction_receipt(signed.hash).await? else {
            // Asked in this order: it may be mined between the two.
            if self.mined_nonce().await? > signed.nonce
                && self
                    .provider
                    .get_transaction_receipt(signed.hash)
                    .await?
                    .is_none()
            {
                return Err(ChainError::Replaced {
                    hash: signed.hash,
                    account: self.address(),
                    nonce: signed.nonce,
                });
            }
            return Ok(None);
        };
        let head = self.provider.get_block_number().await?;
        let deep = receipt
            .block_number
            .is_some_and(|block| head + 1 >= block + self.patience.confirmations.max(1));
        Ok(deep.then_some(receipt))
    }

    async fn succeeded(&self, receipt: TransactionReceipt) -> Result<Done, ChainError> {
        if receipt.status() {
            return Ok(Done { receipt });
        }
        // What it said is in no receipt: it is asked again as of the block before.
        let sent = self
            .provider
            .get_transaction_by_hash(receipt.transaction_hash)
            .await?;
        let before = receipt.block_number.unwrap_or(1).saturating_sub(1);
        let said = match sent {
            Some(sent) => {
                let again = TransactionRequest::from_transaction(sent.into_inner())
                    .with_from(self.address());
                self.provider
                    .call(again)
                    .block(before.into())
                    .await
                    .map_err(ChainError::from)
                    .err()
            }
            None => None,
        };
        match said {
            Some(ChainError::Refused(refusal)) => Err(ChainError::Refused(refusal)),
            _ => Err(ChainError::Refused(Refusal::of(&[]))),
        }
    }
}
