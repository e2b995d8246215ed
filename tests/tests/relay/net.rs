//! A chain of this machine.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use alloy::primitives::U256;
use alloy::providers::{DynProvider, Provider as _};
use anyhow::Context as _;
use nacre_chain::rpc::{Rpc, connect};
use nacre_chain::wallet::Wallet;
use nacre_tests::platform::repository;
use reqwest::Url;

/// The first two of the accounts that every anvil funds; their keys are in its manual.
pub(crate) const KEYS: [&str; 3] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];

/// anvil, which makes a block a second.
pub(crate) struct Net {
    child: Child,
    pub(crate) url: Url,
    pub(crate) provider: DynProvider,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Net {
    /// Starts it; none where it is not installed.
    pub(crate) fn start() -> anyhow::Result<Option<Self>> {
        let Some(program) = program() else {
            return Ok(None);
        };
        let mut child = Command::new(program)
            .args([
                "--port",
                "0",
                "--block-time",
                "1",
                "--hardfork",
                "osaka",
                "--enable-tx-gas-limit",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no pipe")?).lines();
        let address =
            lines.find_map(|line| line.ok()?.strip_prefix("Listening on ").map(str::to_owned));
        let address = address.context("anvil did not come up")?;
        // What it says later is read, or it would stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let url: Url = format!("http://{}", address.trim()).parse()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let wallet = wallet(KEYS[0])?;
        let provider = {
            let _inside = runtime.enter();
            connect(&Rpc::new([url.clone()]), Some(&wallet))?
        };
        Ok(Some(Self {
            child,
            url,
            provider,
            runtime,
        }))
    }

    /// Replaces the latest blocks by empty ones.
    pub(crate) fn reorganise(&self, depth: u64) -> anyhow::Result<()> {
        let nothing: [U256; 0] = [];
        let asked = self
            .provider
            .raw_request("anvil_reorg".into(), (depth, nothing));
        let _: serde_json::Value = self.runtime.block_on(asked)?;
        Ok(())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The account with this key.
pub(crate) fn wallet(key: &str) -> anyhow::Result<Wallet> {
    let key: [u8; 32] = alloy::hex::decode_to_array(key)?;
    Wallet::development(key).context("no key")
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("NACRE_ANVIL").map(PathBuf::from);
    let installed =
        repository().join("relay-contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    named.or(Some(installed)).filter(|path| path.is_file())
}
