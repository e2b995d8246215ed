//! A chain with the contracts, a platform whose enclave's key is registered there, and what contracts ask.

use std::path::PathBuf;
use std::time::Duration;

use alloy::network::TransactionBuilder as _;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider as _;
use alloy::sol_types::{SolEvent as _, SolValue as _};
use anyhow::{Context as _, ensure};
use nacre_chain::contracts::JobRelay;
use nacre_chain::contracts::job_relay::{self, IJobRelay};
use nacre_chain::deployment::Name;
use nacre_protocol::digest::Digest;
use nacre_protocol::job::JobInput;
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, wait_for};
use serde_json::Value;
use tempfile::TempDir;

use crate::contracts::{Contracts, Times, root_id};
use crate::net::{Net, ONE, OTHER, OWNER, account};
use crate::process::RelayProcess;

/// How long a job may take from its request to its answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A contract that logs what it is called with: `calldatacopy(0, 0, calldatasize()) log0(0, calldatasize()) stop()`,
/// behind eleven bytes that deploy it.
const ECHO: &str = "67365f5f37365fa0005f5260086018f3";

pub(crate) struct Site {
    pub(crate) net: Net,
    pub(crate) platform: Platform,
    pub(crate) example: Example,
    pub(crate) dir: TempDir,
    pub(crate) contracts: Contracts,
    pub(crate) function: Digest,
    callback: Address,
}

/// What there is besides a chain and a platform.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    /// How long things take.
    pub(crate) times: Times,
    /// Whose account the platform's enclave works for.
    pub(crate) operator: usize,
    /// Accounts that have stake.
    pub(crate) staked: Vec<usize>,
}

impl Default for Ground {
    fn default() -> Self {
        Self {
            times: Times::default(),
            operator: OWNER,
            staked: Vec::new(),
        }
    }
}

/// What a test asks for where it differs from an honest request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) fee: u128,
    pub(crate) function: Option<Digest>,
    pub(crate) input: Option<Vec<u8>>,
    /// The input's hash alone, on the chain.
    pub(crate) only_hash: bool,
    /// Seconds until it is too late, where no deadline is named.
    pub(crate) within: u64,
    /// Unix seconds.
    pub(crate) deadline: Option<u64>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            fee: 100_000_000_000_000_000,
            function: None,
            input: None,
            only_hash: false,
            within: 600,
            deadline: None,
        }
    }
}

/// A job that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskedJob {
    pub(crate) id: U256,
    /// Whether its operator is slashed where it is late.
    pub(crate) assured: bool,
}

impl Site {
    pub(crate) fn start(net: Net) -> anyhow::Result<Self> {
        Self::on(net, &Ground::default())
    }

    pub(crate) fn on(net: Net, ground: &Ground) -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let example = Example::load("iris-network")?;
        let function: Digest = platform.deploy_example(&example.name)?.parse()?;
        let dir = tempfile::tempdir()?;
        let deployment = dir.path().join("deployment.json");
        let (contracts, callback) = net.runtime.block_on(async {
            let root = root_id(&platform)?;
            let contracts = Contracts::deploy(&net, root, ground.times, &deployment).await?;
            contracts.register(&net, &platform, ground.operator).await?;
            for operator in &ground.staked {
                contracts.stake(*operator).await?;
            }
            contracts.vouch(&function).await?;
            let echo = net
                .provider
                .transaction_request()
                .with_deploy_code(alloy::hex::decode(ECHO)?);
            let echo = net.provider.send_transaction(echo).await?;
            let echo = echo.get_receipt().await?.contract_address;
            net.begin().await?;
            anyhow::Ok((contracts, echo.context("nothing deployed")?))
        })?;
        Ok(Self {
            net,
            platform,
            example,
            dir,
            contracts,
            function,
            callback,
        })
    }

    /// Where the contract is.
    pub(crate) fn contract(&self) -> Address {
        self.contracts.at(Name::JobRelay)
    }

    /// The file of the deployment.
    pub(crate) fn deployment(&self) -> PathBuf {
        self.dir.path().join("deployment.json")
    }

    /// A relay with a database of this name; `other` has another account.
    pub(crate) fn relay(&self, name: &str, more: &[&str]) -> anyhow::Result<RelayProcess> {
        let of = if name == "other" { OTHER } else { ONE };
        self.plan(name, of)?.with(more).start()
    }

    /// What an honest requester sends.
    pub(crate) fn input(&self) -> Vec<u8> {
        let input = JobInput {
            content_type: "application/json",
            inference_header_length: "",
            salt: [7; 32],
            body: &self.example.request,
        };
        input.encode()
    }

    /// Asks as a contract would.
    pub(crate) fn ask(&self, asked: Asked) -> anyhow::Result<AskedJob> {
        let jobs = self.ask_often(&asked, 1)?;
        jobs.into_iter().next().context("no job")
    }

    /// Asks the same so many times at once.
    pub(crate) fn ask_often(&self, asked: &Asked, times: u64) -> anyhow::Result<Vec<AskedJob>> {
        let input = asked.input.clone().unwrap_or_else(|| self.input());
        let (hash, input) = match asked.only_hash {
            true => (*Digest::of(&input).as_bytes(), Vec::new()),
            false => ([0; 32], input),
        };
        let contract = JobRelay::new(self.contract(), &self.net.provider);
        self.net.runtime.block_on(async {
            let deadline = match asked.deadline {
                Some(deadline) => deadline,
                None => self.now().await? + asked.within,
            };
            let request = IJobRelay::Request {
                functionDigest: B256::from(*asked.function.unwrap_or(self.function).as_bytes()),
                imageId: B256::ZERO,
                inputHash: B256::from(hash),
                callback: self.callback,
                callbackGas: 200_000,
                deadline: deadline.try_into()?,
                token: Address::ZERO,
                fee: asked.fee.try_into()?,
            };
            // A reorganisation takes nonces back, so it is asked for.
            let owner = account(OWNER)?.address();
            let first = self.net.provider.get_transaction_count(owner).pending();
            let first = first.await?;
            let call = contract.request(request.clone(), input.clone().into());
            let call = call.value(U256::from(asked.fee)).from(owner);
            let gas = call.estimate_gas().await?;
            let mut sent = Vec::new();
            for nonce in first..first + times {
                let call = contract.request(request.clone(), input.clone().into());
                let call = call.value(U256::from(asked.fee)).nonce(nonce);
                // The first of a block costs more than the others.
                sent.push(call.gas(gas + 60_000).send().await?);
            }
            let mut jobs = Vec::new();
            for sent in sent {
                let receipt = sent.get_receipt().await?;
                let mut events = receipt.inner.logs().iter();
                let event = events
                    .find_map(|log| job_relay::JobRelay::Requested::decode_log(&log.inner).ok());
                let event = event.context("no event")?;
                jobs.push(AskedJob {
                    id: event.jobId,
                    assured: event.assured,
                });
            }
            Ok(jobs)
        })
    }

    /// The chain's own clock, Unix seconds.
    pub(crate) async fn now(&self) -> anyhow::Result<u64> {
        let head = self.net.provider.get_block_by_number(Default::default());
        Ok(head.await?.context("no block")?.header.timestamp)
    }

    /// Waits for the answer, and gives its bytes.
    pub(crate) fn answer(&self, asked: &AskedJob) -> anyhow::Result<Vec<u8>> {
        wait_for("an answer", PATIENCE, || self.answer_now(asked).transpose())?
    }

    /// The answer's bytes, where there is one.
    pub(crate) fn answer_now(&self, asked: &AskedJob) -> anyhow::Result<Option<Vec<u8>>> {
        let contract = JobRelay::new(self.contract(), &self.net.provider);
        self.net.runtime.block_on(async {
            let filter = contract.Answered_filter().topic1(asked.id).from_block(0);
            let events = filter.query().await?;
            ensure!(events.len() <= 1, "answered twice");
            let event = events.into_iter().next();
            Ok(event.map(|(event, _)| event.output.to_vec()))
        })
    }

    pub(crate) fn result_of(&self, asked: &AskedJob) -> anyhow::Result<JobRelay::resultOfReturn> {
        let contract = JobRelay::new(self.contract(), &self.net.provider);
        let result = contract.resultOf(asked.id);
        let result = self.net.runtime.block_on(result.call().into_future());
        Ok(result?)
    }

    /// What the contract keeps of a job.
    pub(crate) fn record_of(
        &self,
        asked: &AskedJob,
    ) -> anyhow::Result<job_relay::JobRelay::Record> {
        let contract = JobRelay::new(self.contract(), &self.net.provider);
        let record = contract.recordOf(asked.id);
        let record = self.net.runtime.block_on(record.call().into_future());
        Ok(record?)
    }

    /// What the callback was told of a job, each time.
    pub(crate) fn told(&self, asked: &AskedJob) -> anyhow::Result<Vec<Vec<u8>>> {
        let all = self.told_of_all()?;
        let own = all.into_iter().filter(|(id, _)| *id == asked.id);
        Ok(own.map(|(_, output)| output).collect())
    }

    /// What the callback was told, in its order.
    pub(crate) fn told_of_all(&self) -> anyhow::Result<Vec<(U256, Vec<u8>)>> {
        let filter =
            serde_json::json!({"address": self.callback, "fromBlock": "0x0", "toBlock": "latest"});
        let asked = self.net.ask("eth_getLogs", [filter]);
        let logs: Vec<Value> = self.net.runtime.block_on(asked)?;
        let mut told = Vec::new();
        for log in logs {
            let data: Bytes = serde_json::from_value(log["data"].clone())?;
            let (id, status, output) = <(U256, U256, Bytes)>::abi_decode_params(&data[4..])?;
            ensure!(status.is_zero(), "refused");
            told.push((id, output.to_vec()));
        }
        Ok(told)
    }

    /// Transactions that an account paid for since the relays were started.
    pub(crate) fn transactions(&self, of: usize) -> anyhow::Result<u64> {
        let account = account(of)?.address();
        let count = self.net.provider.get_transaction_count(account);
        Ok(self.net.runtime.block_on(count.into_future())?)
    }
}
