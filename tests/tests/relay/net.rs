//! A chain of this machine.

use std::num::NonZeroU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::primitives::U256;
use alloy::providers::{DynProvider, Provider as _};
use anyhow::Context as _;
use nacre_chain::anvil::{self, Anvil, AnvilOptions};
use nacre_chain::rpc::{Rpc, connect};
use nacre_chain::wallet::Wallet;
use reqwest::Url;

/// Who deploys, asks, and says which functions are served.
pub(crate) const OWNER: usize = 0;
/// The account of the relay that is called `one`.
pub(crate) const ONE: usize = 1;
/// The account of the relay that is called `other`.
pub(crate) const OTHER: usize = 2;

/// How long before now the chain begins, so that there is time to prepare in.
const BEFORE: Duration = Duration::from_secs(3_600);

/// anvil. It makes a block for each transaction until [`Net::begin`], and a block a second from then on.
pub(crate) struct Net {
    // Goes before the runtime that looks after it.
    anvil: Anvil,
    pub(crate) provider: DynProvider,
    pub(crate) runtime: tokio::runtime::Runtime,
}

/// Blocks of the chain that has the right time, before anything is asked.
const BLOCKS: u64 = 8;

impl Net {
    /// Starts it; none where it is not installed.
    pub(crate) fn start() -> anyhow::Result<Option<Self>> {
        if anvil::find().is_none() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let options = AnvilOptions {
            begins: Some(now_s()?.saturating_sub(BEFORE.as_secs())),
            ..AnvilOptions::default()
        };
        let anvil = runtime.block_on(Anvil::start(&options))?;
        let provider = {
            let _inside = runtime.enter();
            connect(&anvil.rpc(), Some(&account(OWNER)?))?
        };
        Ok(Some(Self {
            anvil,
            provider,
            runtime,
        }))
    }

    pub(crate) fn url(&self) -> &Url {
        self.anvil.url()
    }

    pub(crate) fn rpc(&self) -> Rpc {
        self.anvil.rpc()
    }

    /// From now on the chain's clock is right, and it makes a block a second.
    pub(crate) async fn begin(&self) -> anyhow::Result<()> {
        let head = self.provider.get_block_by_number(Default::default());
        let head = head.await?.context("no block")?.header.timestamp;
        let behind = now_s()?.saturating_sub(head + BLOCKS);
        let _: serde_json::Value = self.ask("evm_increaseTime", (behind,)).await?;
        // A reorganisation that reached back to before that would turn the clock back.
        let _: serde_json::Value = self.ask("anvil_mine", (BLOCKS, 1)).await?;
        let second = NonZeroU64::MIN;
        let _: serde_json::Value = self.ask("evm_setIntervalMining", (second,)).await?;
        Ok(())
    }

    /// Replaces the latest blocks by empty ones.
    pub(crate) fn reorganise(&self, depth: u64) -> anyhow::Result<()> {
        let nothing: [U256; 0] = [];
        let asked = self.ask("anvil_reorg", (depth, nothing));
        let _: serde_json::Value = self.runtime.block_on(asked)?;
        Ok(())
    }

    /// What only a development chain does.
    pub(crate) async fn ask<
        T: serde::de::DeserializeOwned + Send + Sync + std::fmt::Debug + Unpin + 'static,
    >(
        &self,
        method: &'static str,
        params: impl serde::Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin,
    ) -> anyhow::Result<T> {
        let params = serde_json::to_value(params)?;
        Ok(self.provider.raw_request(method.into(), params).await?)
    }
}

/// One of the accounts that every anvil funds.
pub(crate) fn account(index: usize) -> anyhow::Result<Wallet> {
    anvil::account(index).context("no such account")
}

pub(crate) fn now_s() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}
