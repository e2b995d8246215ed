//! What every command needs: which nodes, which deployment, which account; and how it prints.

use std::fmt;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy::eips::BlockId;
use alloy::primitives::{B256, U256};
use alloy::providers::{DynProvider, Provider as _};
use serde::Serialize;
use url::Url;

use crate::account::{Account, Done, Patience, TransactionRequest};
use crate::deployment::Deployment;
use crate::error::ChainError;
use crate::rpc::{Rpc, connect};
use crate::wallet::Wallet;

/// Nodes, and the deployment on their chain.
#[derive(Debug, Clone, clap::Args)]
pub struct ReadArgs {
    /// JSON-RPC of an Ethereum node; given several times, the next is asked where one fails.
    #[arg(long = "rpc", value_name = "URL", required = true)]
    rpc: Vec<Url>,
    /// Believe only what so many of them agree on.
    #[arg(long, value_name = "N")]
    quorum: Option<NonZeroUsize>,
    /// The deployment's file.
    #[arg(long, value_name = "FILE", default_value = "deployment.json")]
    pub(super) deployment: PathBuf,
}

/// The same, and who signs.
#[derive(Debug, Clone, clap::Args)]
pub struct SendArgs {
    #[command(flatten)]
    pub(super) at: ReadArgs,
    /// File with the account's key: 32 bytes in hexadecimal, readable by its owner alone.
    #[arg(long, value_name = "FILE", alias = "key")]
    key_file: PathBuf,
    /// How many blocks must be on a transaction, its own included, before it counts.
    #[arg(long, value_name = "BLOCKS", default_value_t = 1)]
    confirmations: u64,
    /// How long to wait for that, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    within: u64,
}

impl ReadArgs {
    fn nodes(&self) -> Rpc {
        let rpc = Rpc::new(self.rpc.iter().cloned());
        match self.quorum {
            Some(quorum) => rpc.with_quorum(quorum),
            None => rpc,
        }
    }

    /// The deployment, held against the chain.
    ///
    /// # Errors
    ///
    /// `rpc-invalid`; as [`Deployment::open`].
    pub async fn open(&self) -> Result<(DynProvider, Deployment), ChainError> {
        let provider = connect(&self.nodes(), None)?;
        let deployment = Deployment::open(&self.deployment, &provider).await?;
        Ok((provider, deployment))
    }
}

impl SendArgs {
    /// The account, wherever the nodes are.
    ///
    /// # Errors
    ///
    /// `rpc-invalid`; `key-file`; the nodes' own.
    pub async fn account(&self) -> Result<Account, ChainError> {
        let rpc = self.at.nodes();
        let wallet = Wallet::open(&self.key_file)?;
        let patience = Patience {
            confirmations: self.confirmations,
            within: Duration::from_secs(self.within),
            ..Patience::new(rpc.is_local())
        };
        Account::new(connect(&rpc, None)?, wallet, patience).await
    }

    /// The account and the deployment, held against the chain.
    ///
    /// # Errors
    ///
    /// As [`Self::account`] and [`Deployment::open`].
    pub async fn open(&self) -> Result<(Account, Deployment), ChainError> {
        let account = self.account().await?;
        let deployment = Deployment::open(&self.at.deployment, account.provider()).await?;
        Ok((account, deployment))
    }
}

/// A transaction that counts, as it is printed.
#[derive(Debug, Serialize)]
pub struct Sent {
    /// Its hash.
    pub transaction: B256,
    /// The block that it is in.
    pub block: Option<u64>,
    /// Gas that it took.
    pub gas: u64,
    /// Wei, in hexadecimal.
    pub cost: U256,
}

impl Sent {
    /// For people.
    pub fn text(&self) -> String {
        let block = self
            .block
            .map_or_else(|| "?".to_owned(), |block| block.to_string());
        let Self {
            transaction,
            gas,
            cost,
            ..
        } = self;
        format!("transaction {transaction} in block {block}: {gas} gas, {cost} wei")
    }
}

impl From<&Done> for Sent {
    fn from(done: &Done) -> Self {
        Self {
            transaction: done.receipt.transaction_hash,
            block: done.receipt.block_number,
            gas: done.receipt.gas_used,
            cost: done.cost(),
        }
    }
}

/// Lines for people, or one JSON value.
#[derive(Clone)]
pub struct Printer {
    json: bool,
    out: Arc<Mutex<dyn io::Write + Send>>,
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer")
            .field("json", &self.json)
            .finish_non_exhaustive()
    }
}

impl Printer {
    /// Results go to standard output.
    pub fn new(json: bool) -> Self {
        Self::to(json, io::stdout())
    }

    /// Results go there.
    pub fn to(json: bool, out: impl io::Write + Send + 'static) -> Self {
        let out = Arc::new(Mutex::new(out));
        Self { json, out }
    }

    /// The result; a reader that has gone (`| head`) is no error.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), ChainError> {
        let line = if self.json {
            serde_json::to_string(value)
                .map_err(|error| ChainError::BadAnswer(error.to_string()))?
        } else {
            text(value)
        };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(ChainError::Output(error))
            }
            _ => Ok(()),
        }
    }

    /// What goes on meanwhile, for people.
    pub fn note(&self, line: &str) {
        if !self.json {
            // Nobody there to read it changes nothing.
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }

    /// Says what it costs at most, sends it, and waits until it counts.
    ///
    /// # Errors
    ///
    /// As [`Account::send`].
    pub async fn send(
        &self,
        account: &Account,
        what: &str,
        transaction: TransactionRequest,
    ) -> Result<Done, ChainError> {
        let estimate = account.estimate(&transaction).await?;
        self.note(&format!(
            "{what}: up to {} gas, {} wei",
            estimate.gas,
            estimate.max_cost()
        ));
        account.send_estimated(transaction, &estimate).await
    }
}

/// The chain's own clock, Unix seconds.
///
/// # Errors
///
/// The nodes' own.
pub async fn chain_time(provider: &DynProvider) -> Result<u64, ChainError> {
    let block = provider.get_block(BlockId::latest()).await?;
    let block =
        block.ok_or_else(|| ChainError::BadAnswer("there is no latest block".to_owned()))?;
    Ok(block.header.timestamp)
}
