//! Accounts with stake, and what they say of nodes.

use std::path::{Path, PathBuf};

use alloy::primitives::U256;
use alloy::providers::DynProvider;
use nacre_chain::contracts::OperatorStaking;
use nacre_chain::deployment::Name;
use nacre_chain::wallet::Wallet;
use nacre_protocol::ids::NodeId;
use serde_json::Value;

use crate::site::{Site, printed};

impl Site {
    /// A new account with some ETH; the file of its key.
    pub(crate) fn account(&self, name: &str) -> anyhow::Result<PathBuf> {
        let file = self.platform.home().join(format!("{name}.key"));
        Wallet::open_or_create(&file)?;
        self.fund(&file)?;
        Ok(file)
    }

    /// Stakes so much for the account of this key.
    pub(crate) fn stake(&self, key_file: &Path, amount: u64) -> anyhow::Result<()> {
        let words = ["stake", &amount.to_string(), "--mint"];
        printed(self.chain(&words, Some(key_file))).map(drop)
    }

    /// What it has staked.
    pub(crate) fn staked(&self, key_file: &Path) -> anyhow::Result<U256> {
        let (staking, account) = (self.staking(), Wallet::open(key_file)?.address());
        let asked = async { staking.activeStake(account).call().await };
        Ok(self.runtime.block_on(asked)?)
    }

    /// What it is credited of slashes.
    pub(crate) fn credited(&self, key_file: &Path) -> anyhow::Result<U256> {
        let (staking, account) = (self.staking(), Wallet::open(key_file)?.address());
        let asked = async { staking.owed(account).call().await };
        Ok(self.runtime.block_on(asked)?)
    }

    /// `nacre chain nodes …` by the operator.
    pub(crate) fn say(&self, what: &str, node: &NodeId, more: &[&str]) -> anyhow::Result<Value> {
        let node = node.to_string();
        let words = [&["nodes", what, "--node", &node], more].concat();
        printed(self.chain(&words, Some(&self.key_file)))
    }

    fn staking(&self) -> OperatorStaking::OperatorStakingInstance<&DynProvider> {
        let at = self.deployment.address(Name::OperatorStaking);
        OperatorStaking::new(at, self.owner.provider())
    }
}
