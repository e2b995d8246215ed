//! What is remembered of a chain beside the chain itself.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use nacre_chain::contracts::{
    ContractDirectory, DevToken, DigitGate, EnclaveRegistry, JobRelay, JobSubscriptions, NodeBook,
    OperatorStaking, UptimeOracle,
};
use nacre_protocol::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::profile::{read_json, write_private};

/// Of whose making it is, and what of the examples is on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// SHA-256 over the code of all contracts: those of another version of this program are not gone on with.
    contracts: Digest,
    /// Where the contract is that pays for a digit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digit_gate: Option<Address>,
}

impl Kept {
    /// Reads it, or begins one.
    ///
    /// # Errors
    ///
    /// Why the chain cannot be gone on with.
    pub(super) fn open(folder: &Path) -> Result<Self, String> {
        let contracts = Digest::of(&code_of_contracts());
        let kept: Option<Self> =
            read_json(&Self::file(folder)).map_err(|error| error.to_string())?;
        match kept {
            Some(kept) if kept.contracts != contracts => {
                Err("its contracts are of another version of nacre".to_owned())
            }
            Some(kept) => Ok(kept),
            None => Ok(Self {
                contracts,
                digit_gate: None,
            }),
        }
    }

    /// Replaces it.
    pub(super) fn write(&self, folder: &Path) -> Result<(), CliError> {
        let bytes = serde_json::to_vec(self).map_err(anyhow::Error::from)?;
        write_private(&Self::file(folder), &bytes)
    }

    /// Whether a chain was kept here.
    pub(super) fn is_there(folder: &Path) -> bool {
        Self::state(folder).is_file()
    }

    /// What happened on the chain, as anvil gives it.
    pub(super) fn state(folder: &Path) -> PathBuf {
        folder.join("state")
    }

    fn file(folder: &Path) -> PathBuf {
        folder.join("kept.json")
    }
}

fn code_of_contracts() -> Vec<u8> {
    let all = [
        &DevToken::BYTECODE,
        &OperatorStaking::BYTECODE,
        &EnclaveRegistry::BYTECODE,
        &JobRelay::BYTECODE,
        &NodeBook::BYTECODE,
        &UptimeOracle::BYTECODE,
        &JobSubscriptions::BYTECODE,
        &ContractDirectory::BYTECODE,
        &DigitGate::BYTECODE,
    ];
    all.into_iter().flatten().copied().collect()
}
