//! Commands as they are typed, on a chain with the whole system.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::network::TransactionBuilder as _;
use alloy::primitives::{Address, U256};
use alloy::providers::Provider as _;
use alloy::sol_types::SolCall;
use clap::Parser;
use nacre_chain::account::{Account, TransactionRequest, call_to};
use nacre_chain::anvil::{self, Anvil};
use nacre_chain::cli::session::Printer;
use nacre_chain::cli::{ChainCommand, run_with};
use nacre_chain::contracts::DevToken;
use nacre_chain::deploy::deploy;
use nacre_chain::deployment::{Deployment, Name};
use nacre_chain::error::ChainError;
use nacre_chain::settings::{Settings, TokenFee};
use nacre_chain::wallet::Wallet;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{account, chain, settings};

const LONG: Duration = Duration::from_secs(30);
/// What a job in the desk's token pays at least, base units.
pub(crate) const TOKEN_FLOOR: u128 = 1_000;

/// Who types: the chain's first three accounts.
pub(crate) const OWNER: usize = 0;
pub(crate) const REVOKER: usize = 1;
pub(crate) const OTHER: usize = 2;

pub(crate) struct Desk {
    folder: TempDir,
    chain: Anvil,
    pub(crate) deployment: Deployment,
    /// That fees are taken in.
    pub(crate) token: Address,
    accounts: [Account; 3],
}

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: ChainCommand,
}

impl Desk {
    /// `None` where anvil is missing.
    pub(crate) async fn start(tune: impl FnOnce(&mut Settings)) -> Option<Self> {
        let chain = chain().await?;
        let folder = tempfile::tempdir().unwrap();
        let rpc = chain.rpc();
        let mut accounts = Vec::new();
        for index in 0..3 {
            let account = account(&rpc, index, LONG).await.unwrap();
            let file = folder.path().join(format!("{index}.key"));
            Wallet::open_or_create(&file).unwrap();
            let key = anvil::account(index).unwrap().signer().to_bytes();
            std::fs::write(file, alloy::hex::encode(key)).unwrap();
            accounts.push(account);
        }
        let accounts: [Account; 3] = accounts.try_into().unwrap();
        let code = DevToken::BYTECODE.clone();
        let token = TransactionRequest::default().with_deploy_code(code);
        let token = accounts[OWNER].send(token).await.unwrap();
        let token = token.receipt.contract_address.unwrap();
        let mut settings = settings();
        settings.relay.fees.push(TokenFee {
            token,
            floor: TOKEN_FLOOR,
            per_gas: 0,
        });
        tune(&mut settings);
        let file = folder.path().join("deployment.json");
        let deployment = deploy(&accounts[OWNER], settings, &file, &mut |_| {}).await;
        Some(Self {
            folder,
            chain,
            deployment: deployment.unwrap(),
            token,
            accounts,
        })
    }

    /// Types a command in one's name; what it printed.
    pub(crate) async fn typed(&self, by: usize, words: &str) -> Result<Value, ChainError> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut line: Vec<_> = std::iter::once("chain").chain(words.split(' ')).collect();
        let (deployment, key) = (file("deployment.json"), file(&format!("{by}.key")));
        line.extend([
            "--rpc",
            self.chain.url().as_str(),
            "--deployment",
            &deployment,
        ]);
        if !line.contains(&"list") && !line.contains(&"status") {
            line.extend(["--key-file", &key]);
        }
        let kept = Kept::default();
        let command = Line::try_parse_from(line).unwrap().command;
        run_with(command, &Printer::to(true, kept.clone())).await?;
        Ok(serde_json::from_slice(&kept.0.lock().unwrap()).unwrap())
    }

    /// The code that it is refused with.
    pub(crate) async fn refused(&self, by: usize, words: &str) -> String {
        match self.typed(by, words).await {
            Ok(printed) => panic!("{words}: {printed}"),
            Err(error) => error.code().to_owned(),
        }
    }

    /// Writes a file; where it is.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    pub(crate) fn account(&self, of: usize) -> &Account {
        &self.accounts[of]
    }

    pub(crate) fn at(&self, name: Name) -> Address {
        self.deployment.address(name)
    }

    /// Calls a contract in one's name.
    pub(crate) async fn call(&self, by: usize, contract: Address, call: &impl SolCall) {
        self.accounts[by]
            .send(call_to(contract, call))
            .await
            .unwrap();
    }

    /// Mints the desk's token for somebody.
    pub(crate) async fn mint(&self, of: usize, amount: u64) {
        let (account, amount) = (self.accounts[of].address(), U256::from(amount));
        let mint = DevToken::mintCall { account, amount };
        self.call(OWNER, self.token, &mint).await;
    }

    /// Moves the chain's clock.
    pub(crate) async fn pass(&self, seconds: u64) {
        let provider = self.accounts[OWNER].provider();
        let moved = provider.raw_request("evm_increaseTime".into(), (seconds,));
        let _: Value = moved.await.unwrap();
        let _: Value = provider.raw_request("evm_mine".into(), ()).await.unwrap();
    }

    /// The chain's clock, Unix seconds.
    pub(crate) async fn now(&self) -> u64 {
        let provider = self.accounts[OWNER].provider();
        let block = provider.get_block(alloy::eips::BlockId::latest()).await;
        block.unwrap().unwrap().header.timestamp
    }
}

/// What is printed.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
