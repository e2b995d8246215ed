//! Who does what on a development chain: anvil's accounts, whose keys everybody knows, in files as `nacre chain` takes them.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use nacre_chain::account::{Account, Patience};
use nacre_chain::anvil;
use nacre_chain::error::ChainError;
use nacre_chain::rpc::{Rpc, connect};

use crate::profile::write_private;

/// The roles, in the order of anvil's accounts. The relay has one of its own: its nonces are nobody else's.
const ROLES: [&str; 5] = ["owner", "operator", "second", "relay", "user"];

/// The accounts.
pub(super) struct Accounts {
    /// Deployed everything; names images, verifiers and functions.
    pub(super) owner: Account,
    /// Has stake; the node's enclave works for it.
    pub(super) operator: Account,
    /// Nobody in particular: asks, and has the example's contract.
    pub(super) user: Account,
    /// Revokes and vetoes; sends nothing by itself.
    pub(super) second: Address,
    /// Pays for answers.
    pub(super) relay: Address,
    /// Where the keys' files are.
    pub(super) folder: PathBuf,
}

impl Accounts {
    /// Writes the keys' files and knows the accounts.
    pub(super) async fn open(chain: &Path, rpc: Rpc) -> Result<Self, ChainError> {
        let folder = chain.join("keys");
        let missing = || ChainError::Anvil("it has too few accounts".to_owned());
        let mut wallets = Vec::new();
        for (index, role) in ROLES.iter().enumerate() {
            let wallet = anvil::account(index).ok_or_else(missing)?;
            let path = folder.join(format!("{role}.key"));
            let key = format!("{}\n", wallet.signer().to_bytes());
            write_private(&path, key.as_bytes()).map_err(|error| ChainError::KeyFile {
                path,
                reason: error.to_string(),
            })?;
            wallets.push(wallet);
        }
        let [owner, operator, second, relay, user]: [_; 5] =
            wallets.try_into().map_err(|_| missing())?;
        let account = async |wallet| {
            let patience = Patience::new(rpc.is_local());
            Account::new(connect(&rpc, None)?, wallet, patience).await
        };
        Ok(Self {
            owner: account(owner).await?,
            operator: account(operator).await?,
            user: account(user).await?,
            second: second.address(),
            relay: relay.address(),
            folder,
        })
    }

    /// The file with a role's key.
    pub(super) fn key_file(&self, role: &str) -> PathBuf {
        self.folder.join(format!("{role}.key"))
    }
}
