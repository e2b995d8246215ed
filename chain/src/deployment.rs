//! A deployment as its file has it: where each contract is, on which chain, by which settings. No secrets.
//!
//! The file is written before each transaction and after it, whole or not at all. So whoever goes on after a crash knows
//! which address the transaction under way makes a contract at: it follows from account and nonce.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use alloy::primitives::{Address, B256, keccak256};
use alloy::providers::{DynProvider, Provider as _};
use serde::{Deserialize, Serialize};

use crate::error::ChainError;
use crate::settings::Settings;

mod name;

pub use name::Name;

/// One contract of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployed {
    /// Where it is, or will be.
    pub address: Address,
    /// The deployer's nonce that makes it.
    pub nonce: u64,
    /// keccak256 of its code on chain; absent until it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_hash: Option<B256>,
}

/// A deployment, whole or under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Of this file's form: 1.
    pub version: u32,
    /// On which chain.
    pub chain_id: u64,
    /// Who deployed it.
    pub deployer: Address,
    /// The block after which all of it was made: where to begin to read events.
    pub from_block: u64,
    /// What the contracts were made with.
    pub settings: Settings,
    /// Where they are.
    pub contracts: BTreeMap<Name, Deployed>,
    /// Whether it is fixed who may slash: the last step.
    pub wired: bool,
}

/// The form that this program reads and writes.
const VERSION: u32 = 1;
/// More than any has.
const LONGEST: u64 = 1 << 20;

impl Deployment {
    /// One that has nothing yet.
    pub fn new(chain_id: u64, deployer: Address, from_block: u64, settings: Settings) -> Self {
        Self {
            version: VERSION,
            chain_id,
            deployer,
            from_block,
            settings,
            contracts: BTreeMap::new(),
            wired: false,
        }
    }

    /// Reads a file, whole or under way; `None` where there is none.
    ///
    /// # Errors
    ///
    /// `deployment-file`: it cannot be read or is none.
    pub fn read(path: &Path) -> Result<Option<Self>, ChainError> {
        let text = match File::open(path)
            .and_then(|file| io::read_to_string(io::Read::take(file, LONGEST)))
        {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(path, &error)),
        };
        let deployment: Self = serde_json::from_str(&text).map_err(|error| wrong(path, &error))?;
        if deployment.version != VERSION {
            let found = deployment.version;
            return Err(wrong(
                path,
                &format_args!("is of version {found}; this program reads {VERSION}"),
            ));
        }
        Ok(Some(deployment))
    }

    /// Reads a file and holds it against the chain: the same chain, everything deployed, the same code everywhere.
    ///
    /// # Errors
    ///
    /// `deployment-file` where there is none or it is not whole; `wrong-chain`; `wrong-code`; the nodes' own.
    pub async fn open(path: &Path, provider: &DynProvider) -> Result<Self, ChainError> {
        let deployment = Self::read(path)?.ok_or_else(|| wrong(path, &"there is no such file"))?;
        if !deployment.is_whole() {
            return Err(wrong(
                path,
                &"the deployment is not finished: run `nacre chain deploy` again",
            ));
        }
        deployment.check(provider).await?;
        Ok(deployment)
    }

    /// Holds it against the chain.
    ///
    /// # Errors
    ///
    /// `wrong-chain`; `wrong-code`; the nodes' own.
    pub async fn check(&self, provider: &DynProvider) -> Result<(), ChainError> {
        let found = provider.get_chain_id().await?;
        if found != self.chain_id {
            return Err(ChainError::WrongChain {
                wanted: self.chain_id,
                found,
            });
        }
        for (name, deployed) in &self.contracts {
            let Some(hash) = deployed.code_hash else {
                continue;
            };
            let code = provider.get_code_at(deployed.address).await?;
            let wrong_code = |reason| ChainError::WrongCode {
                name: name.to_string(),
                address: deployed.address,
                reason,
            };
            if code.is_empty() {
                return Err(wrong_code("there is no contract"));
            }
            if keccak256(&code) != hash {
                return Err(wrong_code("there is another contract"));
            }
        }
        Ok(())
    }

    /// Writes the file: whole or not at all, whatever happens meanwhile.
    ///
    /// # Errors
    ///
    /// `deployment-file`.
    pub fn write(&self, path: &Path) -> Result<(), ChainError> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let written = || -> io::Result<()> {
            let mut file = tempfile::Builder::new()
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
                .tempfile_in(folder)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            File::open(folder)?.sync_all()
        };
        written().map_err(|error| wrong(path, &error))
    }

    /// Keeps other deployments to the same file out for as long as the result lives.
    ///
    /// # Errors
    ///
    /// `deployment-file` where another one is under way.
    pub fn lock(path: &Path) -> Result<File, ChainError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let locked = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name);
        let locked = locked.map_err(|error| wrong(path, &error))?;
        match locked.try_lock() {
            Ok(()) => Ok(locked),
            Err(fs::TryLockError::WouldBlock) => {
                Err(wrong(path, &"another deployment to this file is under way"))
            }
            Err(fs::TryLockError::Error(error)) => Err(wrong(path, &error)),
        }
    }

    /// Whether every contract is there and wired.
    pub fn is_whole(&self) -> bool {
        self.wired
            && Name::ALL.iter().all(|name| {
                let there = self
                    .contracts
                    .get(name)
                    .is_some_and(|deployed| deployed.code_hash.is_some());
                there || (*name == Name::DevToken && self.settings.stake_token.is_some())
            })
    }

    /// Where a contract is; zero where it is not, which no whole deployment has but for an absent `DevToken`.
    pub fn address(&self, name: Name) -> Address {
        self.contracts
            .get(&name)
            .map_or(Address::ZERO, |deployed| deployed.address)
    }

    /// The token that is staked.
    pub fn stake_token(&self) -> Address {
        self.settings
            .stake_token
            .unwrap_or_else(|| self.address(Name::DevToken))
    }
}

pub(crate) fn wrong(path: &Path, reason: &dyn fmt::Display) -> ChainError {
    ChainError::DeploymentFile {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests;
