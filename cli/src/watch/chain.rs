//! `nacre watch --oracle`: the watcher's account at an `UptimeOracle`.

use std::path::PathBuf;

use alloy::primitives::{Address, B256};
use alloy::providers::DynProvider;
use alloy::sol_types::SolCall;
use async_trait::async_trait;
use nacre_chain::account::{Account, Patience, call_to};
use nacre_chain::contracts::UptimeOracle;
use nacre_chain::error::ChainError;
use nacre_chain::rpc::{Rpc, connect};
use nacre_chain::wallet::Wallet;
use nacre_protocol::eip712::{EthAddress, Word};
use nacre_protocol::merkle::Hash;
use nacre_protocol::uptime::{Epoch, Schedule, WatcherId};
use nacre_protocol::verified_enclave::{ChainId, ContractDomain};
use nacre_uptime::watch::{Chain, ChainFailure, Said};
use tokio::sync::OnceCell;
use url::Url;

use crate::error::CliError;

/// Where the watcher's words go besides.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OracleArgs {
    /// An UptimeOracle that is told the same, as `chain id:address`: what is committed and revealed there can cost nodes
    /// their stake. The account must have staked at its staking contract before the epoch begins.
    #[arg(long, value_name = "CHAIN:0x…", requires_all = ["rpc", "key_file"])]
    oracle: Option<ContractDomain>,
    /// JSON-RPC of an Ethereum node; given several times, the next is asked where one fails.
    #[arg(long = "rpc", value_name = "URL", requires = "oracle")]
    rpc: Vec<Url>,
    /// File with the account's Ethereum key: 32 bytes in hexadecimal, readable by its owner alone.
    #[arg(long, value_name = "FILE", requires = "oracle")]
    key_file: Option<PathBuf>,
}

impl OracleArgs {
    /// The account, if the watcher is to speak to a contract.
    pub(crate) fn chain(&self) -> Result<Option<Box<dyn Chain>>, CliError> {
        let (Some(oracle), Some(key_file)) = (self.oracle, &self.key_file) else {
            return Ok(None);
        };
        let wallet = Wallet::open(key_file)?;
        let rpc = Rpc::new(self.rpc.iter().cloned());
        Ok(Some(Box::new(OracleAccount {
            oracle,
            provider: connect(&rpc, None)?,
            patience: Patience::new(rpc.is_local()),
            wallet,
            account: OnceCell::new(),
        })))
    }
}

#[derive(Debug)]
struct OracleAccount {
    oracle: ContractDomain,
    provider: DynProvider,
    patience: Patience,
    wallet: Wallet,
    /// Once the chain could be asked: a watcher watches also while it cannot.
    account: OnceCell<Account>,
}

impl OracleAccount {
    async fn open(&self) -> Result<Account, ChainFailure> {
        let (provider, wallet) = (self.provider.clone(), self.wallet.clone());
        let account = Account::new(provider, wallet, self.patience).await;
        let account = account.map_err(failure)?;
        let found = account.chain_id();
        if ChainId::try_from(found).is_ok_and(|found| found == self.oracle.chain_id) {
            return Ok(account);
        }
        Err(ChainFailure {
            code: "wrong-chain".to_owned(),
            message: format!(
                "the Ethereum node is on chain {found}, the oracle on {}",
                self.oracle.chain_id
            ),
            lasts: true,
        })
    }

    async fn speaker(&self) -> Result<&Account, ChainFailure> {
        self.account.get_or_try_init(|| self.open()).await
    }

    fn at(&self) -> Address {
        Address::from(*self.oracle.verifying_contract.as_bytes())
    }

    async fn contract(
        &self,
    ) -> Result<UptimeOracle::UptimeOracleInstance<&DynProvider>, ChainFailure> {
        Ok(UptimeOracle::new(
            self.at(),
            self.speaker().await?.provider(),
        ))
    }

    async fn send(&self, call: &impl SolCall) -> Result<(), ChainFailure> {
        let sent = self.speaker().await?.send(call_to(self.at(), call)).await;
        sent.map(drop).map_err(failure)
    }
}

#[async_trait]
impl Chain for OracleAccount {
    fn domain(&self) -> ContractDomain {
        self.oracle
    }

    fn account(&self) -> EthAddress {
        EthAddress::from_bytes(self.wallet.address().into_array())
    }

    async fn schedule(&self) -> Result<Schedule, ChainFailure> {
        let of = self
            .contract()
            .await?
            .lengths()
            .call()
            .await
            .map_err(failure)?;
        let schedule = Schedule::new(
            of.slotMs,
            of.epochSlots,
            of.windowSlots,
            of.commitSlots,
            of.revealSlots,
        );
        schedule.map_err(|error| ChainFailure {
            code: "schedule-invalid".to_owned(),
            message: error.to_string(),
            lasts: true,
        })
    }

    async fn enrolled(&self) -> Result<Option<WatcherId>, ChainFailure> {
        let oracle = self.contract().await?;
        let id = oracle
            .watcherIds(self.wallet.address())
            .call()
            .await
            .map_err(failure)?;
        Ok((id != B256::ZERO).then(|| WatcherId::from_public_key(id.0)))
    }

    async fn enroll(&self, watcher: WatcherId) -> Result<(), ChainFailure> {
        let watcher_id = B256::from(*watcher.as_bytes());
        self.send(&UptimeOracle::enrollCall {
            watcherId: watcher_id,
        })
        .await
    }

    async fn said(&self, epoch: Epoch) -> Result<Said, ChainFailure> {
        let oracle = self.contract().await?;
        let word = oracle
            .words(epoch.0, self.wallet.address())
            .call()
            .await
            .map_err(failure)?;
        Ok(match (word.revealed, word.hash) {
            (true, _) => Said::Revealed,
            (false, B256::ZERO) => Said::Nothing,
            (false, seal) => Said::Sealed(seal.0),
        })
    }

    async fn commit(&self, epoch: Epoch, seal: Word) -> Result<(), ChainFailure> {
        let call = UptimeOracle::commitCall {
            epoch: epoch.0,
            seal: B256::from(seal),
        };
        self.send(&call).await
    }

    async fn reveal(&self, epoch: Epoch, salt: [u8; 32], root: Hash) -> Result<(), ChainFailure> {
        let call = UptimeOracle::revealCall {
            watcher: self.wallet.address(),
            epoch: epoch.0,
            salt: B256::from(salt),
            root: B256::from(root),
        };
        self.send(&call).await
    }
}

fn failure(error: impl Into<ChainError>) -> ChainFailure {
    let error = error.into();
    ChainFailure {
        code: error.code().to_owned(),
        message: error.to_string(),
        lasts: false,
    }
}
