//! What the `UptimeOracle` knows.

use alloy::consensus::Transaction as _;
use alloy::eips::BlockId;
use alloy::primitives::{Address, B256, U256};
use alloy::providers::{DynProvider, Provider as _};
use alloy::sol_types::SolCall as _;
use nacre_chain::account::Account;
use nacre_chain::cli::session::SendArgs;
use nacre_chain::contracts::UptimeOracle;
use nacre_chain::deployment::Name;
use nacre_chain::error::ChainError;
use nacre_chain::events;
use nacre_protocol::uptime::{Epoch, Schedule};

use crate::commands::chain::error::on_chain;
use crate::error::CliError;

/// The contract, and the account that speaks to it.
pub(super) struct Oracle {
    pub(super) account: Account,
    pub(super) at: Address,
    from_block: u64,
}

/// What a watcher revealed of an epoch.
pub(super) struct Revealed {
    pub(super) watcher: Address,
    pub(super) salt: B256,
    pub(super) root: B256,
}

impl Oracle {
    pub(super) async fn open(args: &SendArgs) -> Result<Self, CliError> {
        let (account, deployment) = args.open().await?;
        Ok(Self {
            at: deployment.address(Name::UptimeOracle),
            from_block: deployment.from_block,
            account,
        })
    }

    pub(super) async fn schedule(&self) -> Result<Schedule, CliError> {
        let of = self
            .contract()
            .lengths()
            .call()
            .await
            .map_err(ChainError::from)?;
        let schedule = Schedule::new(
            of.slotMs,
            of.epochSlots,
            of.windowSlots,
            of.commitSlots,
            of.revealSlots,
        );
        Ok(schedule.map_err(nacre_uptime::WatchError::from)?)
    }

    /// The chain's own time.
    pub(super) async fn now_ms(&self) -> Result<u64, CliError> {
        let block = self.account.provider().get_block(BlockId::latest()).await;
        let block = block.map_err(ChainError::from)?;
        Ok(block.map_or(0, |block| block.header.timestamp.saturating_mul(1000)))
    }

    /// All that was revealed of an epoch.
    pub(super) async fn revealed(&self, epoch: Epoch) -> Result<Vec<Revealed>, CliError> {
        let contract = self.contract();
        let filter = contract.Revealed_filter().topic1(U256::from(epoch.0));
        let found = events::all(filter, self.from_block).await?.into_iter();
        Ok(found
            .map(|found| Revealed {
                watcher: found.event.watcher,
                salt: found.event.salt,
                root: found.event.root,
            })
            .collect())
    }

    /// The words of an accusation: those of the transaction that made it.
    pub(super) async fn accusation(&self, id: B256) -> Result<UptimeOracle::accuseCall, CliError> {
        let unknown = |why: &str| on_chain("accusation-unknown", format!("accusation {id}: {why}"));
        let contract = self.contract();
        let accused = events::all(contract.Accused_filter(), self.from_block).await?;
        let made = accused.iter().rev().find(|found| found.event.id == id);
        let hash = made.and_then(|found| found.transaction);
        let hash = hash.ok_or_else(|| unknown("nobody made it here"))?;
        let made = self.account.provider().get_transaction_by_hash(hash).await;
        let made = made.map_err(ChainError::from)?;
        let made =
            made.ok_or_else(|| unknown("the Ethereum node does not have its transaction"))?;
        UptimeOracle::accuseCall::abi_decode(made.input())
            .map_err(|_| unknown("it was made through another contract"))
    }

    fn contract(&self) -> UptimeOracle::UptimeOracleInstance<&DynProvider> {
        UptimeOracle::new(self.at, self.account.provider())
    }
}
