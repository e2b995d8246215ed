//! The chain of `nacre dev --chain`, as somebody meets it who asks on it.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{Address, U256};
use alloy::providers::{DynProvider, Provider as _};
use anyhow::{Context as _, ensure};
use nacre_chain::contracts::DigitGate;
use nacre_chain::deployment::Deployment;
use nacre_chain::rpc::{Rpc, connect};
use nacre_chain::wallet::Wallet;
use serde_json::Value;

use crate::platform::{Platform, repository, wait_for};

/// For `nacre dev`: a chain, on a free port.
pub const ARGUMENTS: [&str; 3] = ["--chain", "--rpc-port", "0"];
/// From a request to its callback, on a machine with other things to do.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What is paid for a drawing, wei: far above the floor.
pub const FEE: u64 = 10_000_000_000_000_000;

/// What `nacre dev --chain` says of its chain, and somebody who asks on it.
pub struct DevChain {
    /// What its questions run on.
    pub runtime: tokio::runtime::Runtime,
    /// Signs for the user.
    pub provider: DynProvider,
    /// What `nacre dev --json` printed under `chain`.
    pub ready: Value,
    /// Who asks.
    pub user: Address,
}

impl DevChain {
    /// The chain of a platform that was started with [`ARGUMENTS`].
    pub fn of(platform: &Platform) -> anyhow::Result<Self> {
        let ready = platform.ready_value("chain").clone();
        let wallet = Wallet::open(&path(&ready, "user_key")?)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let url = ready["rpc"].as_str().context("no rpc")?.parse()?;
        let provider = {
            let _inside = runtime.enter();
            connect(&Rpc::new([url]), Some(&wallet))?
        };
        Ok(Self {
            runtime,
            provider,
            user: wallet.address(),
            ready,
        })
    }

    /// A contract or account that was printed.
    pub fn address(&self, field: &str) -> anyhow::Result<Address> {
        Ok(self.ready[field].as_str().context("no address")?.parse()?)
    }

    /// The contract that opens for a digit.
    pub fn gate(&self) -> anyhow::Result<DigitGate::DigitGateInstance<DynProvider>> {
        let at = self.address("digit_gate")?;
        Ok(DigitGate::new(at, self.provider.clone()))
    }

    /// The deployment, held against the chain.
    pub fn deployment(&self) -> anyhow::Result<Deployment> {
        let path = path(&self.ready, "deployment")?;
        let opened = Deployment::open(&path, &self.provider);
        Ok(self.runtime.block_on(opened)?)
    }

    /// Who drew the wanted digit first; zero: nobody yet.
    pub fn winner(&self) -> anyhow::Result<Address> {
        let gate = self.gate()?;
        Ok(self.runtime.block_on(gate.winner().call().into_future())?)
    }

    /// Waits for the first block of this time, Unix seconds, or later; gives its number.
    pub fn until(&self, time: u64) -> anyhow::Result<u64> {
        let latest = || {
            let latest = self.provider.get_block_by_number(BlockNumberOrTag::Latest);
            let header = self.runtime.block_on(latest.into_future()).ok()??.header;
            (header.timestamp >= time).then_some(header.number)
        };
        wait_for("a later block", PATIENCE, latest)
    }

    /// Hands in a drawing, and waits for what the contract makes of the answer.
    pub fn play(&self, pixels: &[u8]) -> anyhow::Result<DigitGate::Seen> {
        let gate = self.gate()?;
        let seen = || -> anyhow::Result<Vec<DigitGate::Seen>> {
            let filter = gate.Seen_filter().from_block(0);
            let found = self.runtime.block_on(filter.query().into_future())?;
            Ok(found.into_iter().map(|(event, _)| event).collect())
        };
        let before = seen()?.len();
        let call = gate.play(pixels.to_vec().into()).value(U256::from(FEE));
        let receipt = self
            .runtime
            .block_on(async { anyhow::Ok(call.send().await?.get_receipt().await?) })?;
        ensure!(receipt.status(), "the contract refused the drawing");
        wait_for("the contract is answered", PATIENCE, || {
            // Not asked for while anvil is started again.
            seen().ok()?.into_iter().nth(before)
        })
    }
}

fn path(of: &Value, field: &str) -> anyhow::Result<PathBuf> {
    Ok(of[field].as_str().context("no path")?.into())
}

/// The first held-out drawing of a digit: 28 × 28 grey values.
pub fn drawing(digit: u8) -> anyhow::Result<Vec<u8>> {
    let folder = repository().join("examples/lenet-mnist");
    let read = |name: &str| -> anyhow::Result<Vec<u8>> {
        let file = std::fs::File::open(folder.join(name))?;
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    // IDX: magic and counts before the rows, 16 bytes for images and 8 for labels.
    let labels = read("held-out-labels.idx1-ubyte.gz")?.split_off(8);
    let images = read("held-out-images.idx3-ubyte.gz")?.split_off(16);
    let at = labels.iter().position(|label| *label == digit);
    let at = at.context("no such digit")? * 784;
    Ok(images[at..at + 784].to_vec())
}
