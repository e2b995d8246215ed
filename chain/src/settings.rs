//! What is fixed when the contracts are deployed: who may do what, how long things take, what they cost.
//!
//! A file of it is TOML. Every field has to be there: nothing that can never be changed is left to a default.
//! [`Settings::development`] prints as a file to begin with.

use std::path::Path;

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::error::ChainError;

mod check;
mod decimal;

/// SHA-256 of the AWS Nitro root certificate's DER.
pub const AWS_ROOT_ID: B256 = B256::new(alloy::primitives::hex!(
    "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
));

/// The whole system's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The ERC-20 that is staked; absent only on a development chain, where a worthless one is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stake_token: Option<Address>,
    /// Of `OperatorStaking`.
    pub staking: Staking,
    /// Of `EnclaveRegistry`.
    pub registry: Registry,
    /// Of `JobRelay`.
    pub relay: Relay,
    /// Of `NodeBook`.
    pub nodes: Nodes,
    /// Of `UptimeOracle`.
    pub uptime: Uptime,
    /// Of `ContractDirectory`.
    pub directory: Directory,
}

/// Who gets what of a slash, and how long stake takes to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staking {
    /// Who is credited what of a slash goes to nobody else.
    pub treasury: Address,
    /// Longer than anything that can be slashed for takes to come out.
    pub unbond_seconds: u64,
    /// Millionths of a slash for its reporter.
    pub bounty_ppm: u32,
    /// Millionths of a slash that always go to the treasury; at least 100,000.
    pub treasury_ppm: u32,
}

/// Which enclaves are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// SHA-256 of the only root certificate's DER.
    pub root_id: B256,
    /// Who names images and first verifiers.
    pub approver: Address,
    /// Who takes them back: another one.
    pub revoker: Address,
    /// From naming an image until it counts.
    pub approval_delay_seconds: u64,
    /// How old a document may be when its key is registered.
    pub max_age_seconds: u64,
    /// How long a key is valid after its document was made.
    pub key_lifetime_seconds: u64,
}

/// What jobs cost and who must answer them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// Who says which functions are served.
    pub curator: Address,
    /// How long a job is the drawn operator's alone; at least two reveal windows.
    pub exclusive_seconds: u64,
    /// What a late operator loses, base units of the stake.
    #[serde(with = "decimal")]
    pub late_penalty: u128,
    /// The least active stake that is drawn.
    #[serde(with = "decimal")]
    pub min_stake: u128,
    /// What a member of the committee loses that keeps a link back; at least the late penalty.
    #[serde(with = "decimal")]
    pub withhold_penalty: u128,
    /// How long a roll and its committee last.
    pub term_seconds: u64,
    /// How long a block's jobs wait for links.
    pub reveal_seconds: u64,
    /// What a job in ETH pays at least beside its gas, wei.
    #[serde(with = "decimal")]
    pub eth_floor: u128,
    /// Tokens that fees are taken in, besides ETH.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fees: Vec<TokenFee>,
}

/// A token that fees are taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFee {
    /// Which.
    pub token: Address,
    /// What a job pays at least, base units.
    #[serde(with = "decimal")]
    pub floor: u128,
    /// Base units a gas of submission and callback, times 2^32.
    #[serde(with = "decimal")]
    pub per_gas: u128,
}

/// Nodes, and how they may be away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// The least stake behind a node.
    #[serde(with = "decimal")]
    pub min_node_stake: u128,
    /// How many slots ahead a drain is announced.
    pub notice_slots: u32,
    /// Slots that a node may be drained in a month.
    pub budget_slots: u32,
    /// Slots of a month.
    pub month_slots: u32,
}

/// How time is cut for watchers, and what they risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uptime {
    /// Length of a slot, milliseconds.
    pub slot_ms: u32,
    /// Slots of an epoch.
    pub epoch_slots: u16,
    /// Slots of a window: whole epochs.
    pub window_slots: u32,
    /// Slots after an epoch before its reveals begin.
    pub commit_slots: u16,
    /// Slots for which reveals are taken.
    pub reveal_slots: u16,
    /// How long before reveals commitments end, milliseconds.
    pub guard_ms: u32,
    /// For how long after a window a node can be accused.
    pub accuse_seconds: u32,
    /// For how long an accusation can be disputed.
    pub dispute_seconds: u32,
    /// For how long it can be settled after that.
    pub settle_seconds: u32,
    /// The least stake of a watcher.
    #[serde(with = "decimal")]
    pub min_watcher_stake: u128,
    /// The least stake that must have revealed for an epoch to count.
    #[serde(with = "decimal")]
    pub quorum_stake: u128,
    /// Millionths that a watcher loses for not revealing.
    pub silence_ppm: u32,
    /// Millionths that a watcher loses for two words on one epoch.
    pub double_ppm: u32,
}

/// Who names new versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Who proposes.
    pub proposer: Address,
    /// Who else can drop a proposal: another one.
    pub guardian: Address,
    /// From a proposal until it counts.
    pub delay_seconds: u64,
}

impl Settings {
    /// For a chain that is thrown away: one account may do all, but for what takes two; delays of seconds where people
    /// would wait for them, and stake in a token that anybody mints.
    pub fn development(owner: Address, second: Address, root_id: B256) -> Self {
        const TOKEN: u128 = 1_000_000_000_000_000_000;
        Self {
            stake_token: None,
            staking: Staking {
                treasury: owner,
                unbond_seconds: 21 * 86_400,
                bounty_ppm: 100_000,
                treasury_ppm: 100_000,
            },
            registry: Registry {
                root_id,
                approver: owner,
                revoker: second,
                approval_delay_seconds: 0,
                max_age_seconds: 86_400,
                key_lifetime_seconds: 30 * 86_400,
            },
            relay: Relay {
                curator: owner,
                exclusive_seconds: 20,
                late_penalty: 50 * TOKEN,
                min_stake: 1_000 * TOKEN,
                withhold_penalty: 100 * TOKEN,
                term_seconds: 600,
                reveal_seconds: 10,
                eth_floor: 1_000_000_000_000,
                fees: Vec::new(),
            },
            nodes: Nodes {
                min_node_stake: 1_000 * TOKEN,
                notice_slots: 360,
                budget_slots: 1_440,
                month_slots: 30 * 8_640,
            },
            uptime: Uptime {
                slot_ms: 10_000,
                epoch_slots: 60,
                window_slots: 8_640,
                commit_slots: 6,
                reveal_slots: 24,
                guard_ms: 20_000,
                accuse_seconds: 86_400,
                dispute_seconds: 2 * 86_400,
                settle_seconds: 2 * 86_400,
                min_watcher_stake: 1_000 * TOKEN,
                quorum_stake: 1_000 * TOKEN,
                silence_ppm: 10_000,
                double_ppm: 100_000,
            },
            directory: Directory {
                proposer: owner,
                guardian: second,
                delay_seconds: 60,
            },
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// `settings-invalid`: it cannot be read, is no TOML, or lacks or does not know a field.
    pub fn read(path: &Path) -> Result<Self, ChainError> {
        let wrong = |reason: &dyn std::fmt::Display| {
            ChainError::Settings(format!("{}: {reason}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        let settings: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        settings.check()?;
        Ok(settings)
    }

    /// As a file.
    ///
    /// # Errors
    ///
    /// `settings-invalid` where a number is out of TOML's range.
    pub fn to_toml(&self) -> Result<String, ChainError> {
        toml::to_string(self).map_err(|error| ChainError::Settings(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
