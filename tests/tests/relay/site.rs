//! The contracts on a chain, a platform whose enclave's key is registered there, and relays.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::network::TransactionBuilder as _;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider as _;
use alloy::signers::SignerSync as _;
use alloy::sol_types::SolEvent as _;
use anyhow::{Context as _, ensure};
use nacre_attestation_verifier::{Policy, Roots};
use nacre_chain::contracts::enclave_registry::{self, ImageList, VerifierList};
use nacre_chain::contracts::job_relay::{self, IJobRelay};
use nacre_chain::contracts::{
    DevToken, EnclaveRegistry, JobRelay, OperatorStaking, operator_staking,
};
use nacre_chain::wallet::Wallet;
use nacre_protocol::control::{AskConsent, Consent};
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::job::JobInput;
use nacre_protocol::verified_enclave::{ContractDomain, VerifiedEnclave};
use nacre_tests::examples::Example;
use nacre_tests::http::ask_socket;
use nacre_tests::platform::{Platform, binary, wait_for};
use serde_json::Value;
use tempfile::TempDir;

use crate::net::{KEYS, Net, wallet};

/// How long a job may take from its request to its answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// A contract that logs what it is called with: `calldatacopy(0, 0, calldatasize()) log0(0, calldatasize()) stop()`,
/// behind eleven bytes that deploy it.
const ECHO: &str = "67365f5f37365fa0005f5260086018f3";

pub(crate) struct Site {
    pub(crate) net: Net,
    pub(crate) platform: Platform,
    pub(crate) example: Example,
    pub(crate) dir: TempDir,
    function: Digest,
    relay: Address,
    callback: Address,
    /// Metrics of the relay that was started last.
    metrics: Mutex<Option<std::path::PathBuf>>,
}

/// What a test asks for where it differs from an honest request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) fee: u128,
    pub(crate) function: Option<Digest>,
    pub(crate) input: Option<Vec<u8>>,
    pub(crate) only_hash: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            fee: 100_000_000_000_000_000,
            function: None,
            input: None,
            only_hash: false,
        }
    }
}

/// A job that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskedJob {
    pub(crate) id: U256,
}

impl Site {
    pub(crate) fn start(net: Net) -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let example = Example::load("iris-network")?;
        let function = platform.deploy_example(&example.name)?.parse()?;
        let dir = tempfile::tempdir()?;
        let (relay, registry) = net.runtime.block_on(deploy(&net, &platform))?;
        net.runtime.block_on(register(&net, &platform, registry))?;
        let echo = net.runtime.block_on(async {
            let call = net
                .provider
                .transaction_request()
                .with_deploy_code(alloy::hex::decode(ECHO)?);
            let receipt = net
                .provider
                .send_transaction(call)
                .await?
                .get_receipt()
                .await?;
            receipt.contract_address.context("nothing deployed")
        })?;
        Ok(Self {
            net,
            platform,
            example,
            dir,
            function,
            relay,
            callback: echo,
            metrics: Mutex::default(),
        })
    }

    /// Asks as a contract would.
    pub(crate) fn ask(&self, asked: Asked) -> anyhow::Result<AskedJob> {
        let honest = JobInput {
            content_type: "application/json",
            inference_header_length: "",
            salt: [7; 32],
            body: &self.example.request,
        };
        let input = asked.input.unwrap_or_else(|| honest.encode());
        let hash = if asked.only_hash {
            *Digest::of(&input).as_bytes()
        } else {
            [0; 32]
        };
        let input = if asked.only_hash { Vec::new() } else { input };
        self.net.runtime.block_on(async {
            let head = self
                .net
                .provider
                .get_block_by_number(Default::default())
                .await?;
            let now = head.context("no block")?.header.timestamp;
            let request = IJobRelay::Request {
                functionDigest: B256::from(*asked.function.unwrap_or(self.function).as_bytes()),
                imageId: B256::ZERO,
                inputHash: B256::from(hash),
                callback: self.callback,
                callbackGas: 200_000,
                deadline: (now + 600).try_into()?,
                token: Address::ZERO,
                fee: asked.fee.try_into()?,
            };
            let contract = JobRelay::new(self.relay, &self.net.provider);
            // A reorganisation takes nonces back, so it is asked for.
            let account = wallet(KEYS[0])?.address();
            let nonce = self.net.provider.get_transaction_count(account).pending();
            let call = contract
                .request(request, input.into())
                .value(U256::from(asked.fee));
            let call = call.nonce(nonce.await?);
            let receipt = call.send().await?.get_receipt().await?;
            let mut events = receipt.inner.logs().iter();
            let event =
                events.find_map(|log| job_relay::JobRelay::Requested::decode_log(&log.inner).ok());
            Ok(AskedJob {
                id: event.context("no event")?.jobId,
            })
        })
    }

    /// Waits for the answer, and gives its bytes.
    pub(crate) fn answer(&self, asked: &AskedJob) -> anyhow::Result<Vec<u8>> {
        wait_for("an answer", PATIENCE, || self.answer_now(asked).transpose())?
    }

    fn answer_now(&self, asked: &AskedJob) -> anyhow::Result<Option<Vec<u8>>> {
        let contract = JobRelay::new(self.relay, &self.net.provider);
        self.net.runtime.block_on(async {
            let filter = contract.Answered_filter().topic1(asked.id).from_block(0);
            let events = filter.query().await?;
            ensure!(events.len() <= 1, "answered twice");
            Ok(events
                .into_iter()
                .next()
                .map(|(event, _)| event.output.to_vec()))
        })
    }

    pub(crate) fn result_of(&self, asked: &AskedJob) -> anyhow::Result<JobRelay::resultOfReturn> {
        let contract = JobRelay::new(self.relay, &self.net.provider);
        Ok(self
            .net
            .runtime
            .block_on(contract.resultOf(asked.id).call().into_future())?)
    }

    /// What the callback was told of a job, each time.
    pub(crate) fn told(&self, asked: &AskedJob) -> anyhow::Result<Vec<Vec<u8>>> {
        use alloy::sol_types::SolValue as _;
        let logs: Vec<Value> = self.net.runtime.block_on(self.net.provider.raw_request(
            "eth_getLogs".into(),
            [serde_json::json!({"address": self.callback, "fromBlock": "0x0", "toBlock": "latest"})],
        ))?;
        let mut told = Vec::new();
        for log in logs {
            let data: Bytes = serde_json::from_value(log["data"].clone())?;
            let (id, status, output) = <(U256, U256, Bytes)>::abi_decode_params(&data[4..])?;
            if id == asked.id {
                ensure!(status.is_zero(), "refused");
                told.push(output.to_vec());
            }
        }
        Ok(told)
    }

    /// Transactions that the relay paid for.
    pub(crate) fn transactions(&self) -> anyhow::Result<u64> {
        self.transactions_by(KEYS[1])
    }

    pub(crate) fn transactions_of_other(&self) -> anyhow::Result<u64> {
        self.transactions_by(KEYS[2])
    }

    fn transactions_by(&self, key: &str) -> anyhow::Result<u64> {
        let account = wallet(key)?.address();
        let count = self.net.provider.get_transaction_count(account);
        Ok(self.net.runtime.block_on(count.into_future())?)
    }

    /// A relay with a database of this name; the second has another account.
    pub(crate) fn relay(&self, name: &str, more: &[&str]) -> anyhow::Result<RelayProcess> {
        self.relay_changed(name, more, |_| {})
    }

    pub(crate) fn relay_changed(
        &self,
        name: &str,
        more: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> anyhow::Result<RelayProcess> {
        let key = if name == "other" { KEYS[2] } else { KEYS[1] };
        let profile = self.platform.home().join("profiles/dev/profile.json");
        let profile: Value = serde_json::from_slice(&std::fs::read(profile)?)?;
        let api_key = profile["key"].as_str().context("no key")?;
        let metrics = self.dir.path().join(format!("{name}.metrics"));
        let _ = std::fs::remove_file(&metrics);
        let mut command = Command::new(binary("nacre-relay"));
        command
            .args([
                "--rpc",
                self.net.url.as_str(),
                "--contract",
                &self.relay.to_string(),
            ])
            .arg("--key")
            .arg(self.secret(&format!("{name}.key"), key)?)
            .arg("--api-key-file")
            .arg(self.secret("api-key", api_key)?)
            .args(["--control-plane", self.platform.ready("control_plane")])
            .args([
                "--root",
                self.platform.ready("root"),
                "--policy",
                self.platform.ready("policy"),
            ])
            .arg("--data")
            .arg(self.dir.path().join(name))
            .arg("--metrics")
            .arg(format!("unix:{}", metrics.display()))
            .args([
                "--confirmations",
                "1",
                "--poll-ms",
                "100",
                "--from-block",
                "0",
                "--exit-on-stdin-eof",
            ])
            .args(more);
        change(&mut command);
        *self.metrics.lock().unwrap() = Some(metrics);
        RelayProcess::start(command)
    }

    /// Waits until the relay has left as many jobs for this reason as make this one of them.
    pub(crate) fn until_left(&self, _: &AskedJob, reason: &str) -> anyhow::Result<()> {
        let line = format!("nacre_relay_jobs{{what=\"{reason}\"}} 1");
        let socket = self.metrics.lock().unwrap().clone().context("no relay")?;
        wait_for(reason, PATIENCE, || {
            let answer = ask_socket(&socket, "GET", "/metrics", b"").ok()?;
            String::from_utf8_lossy(&answer.body)
                .contains(&line)
                .then_some(())
        })
    }

    fn secret(&self, name: &str, text: &str) -> anyhow::Result<std::path::PathBuf> {
        let path = self.dir.path().join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

/// A running relay.
pub(crate) struct RelayProcess {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl RelayProcess {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut line)?;
        let mut relay = Self { child, stdin };
        // One that was killed while it started says nothing.
        ensure!(
            line.starts_with("relaying for 0x") || relay.has_left()?,
            "not ready: {line:?}"
        );
        Ok(relay)
    }

    pub(crate) fn has_left(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Stops it as its parent would.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        let left = wait_for("the relay leaves", Duration::from_secs(20), || {
            self.child.try_wait().transpose()
        })??;
        ensure!(left.success(), "it left with {left}");
        Ok(())
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The verifier whose word the registry takes here.
fn verifier() -> Wallet {
    Wallet::development([9; 32]).unwrap()
}

fn now_s() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn image(platform: &Platform) -> anyhow::Result<[Vec<u8>; 3]> {
    let policy = Policy::from_json(&std::fs::read(platform.ready("policy"))?)?;
    let measured = policy.measurements().first().context("no measurements")?;
    Ok([measured.pcr0, measured.pcr1, measured.pcr2].map(|pcr| pcr.0.to_vec()))
}

fn root_id(platform: &Platform) -> anyhow::Result<[u8; 32]> {
    let roots = Roots::from_pem_or_der(&std::fs::read(platform.ready("root"))?)?;
    Ok(*Digest::of(roots.der()).as_bytes())
}

fn image_id(pcrs: &[Vec<u8>; 3]) -> [u8; 32] {
    *Digest::of(&pcrs.concat()).as_bytes()
}

/// The contracts as a deployment has them; nobody is drawn, since no term was started.
async fn deploy(net: &Net, platform: &Platform) -> anyhow::Result<(Address, Address)> {
    let provider = &net.provider;
    let owner = Address::repeat_byte(1);
    let token = DevToken::deploy(provider).await?;
    let terms = operator_staking::OperatorStaking::Terms {
        token: *token.address(),
        treasury: owner,
        unbondDelay: 1_000_000,
        bountyPpm: 50_000,
        treasuryPpm: 500_000,
    };
    let staking = OperatorStaking::deploy(provider, terms).await?;
    let worker = image(platform)?;
    let other = [vec![1; 48], vec![2; 48], vec![3; 48]];
    let initial = |pcrs: &[Vec<u8>; 3], kind| ImageList::InitialImage {
        measurements: ImageList::Measurements {
            pcr0: pcrs[0].clone().into(),
            pcr1: pcrs[1].clone().into(),
            pcr2: pcrs[2].clone().into(),
        },
        kind,
    };
    let config = enclave_registry::EnclaveRegistry::Config {
        rootId: B256::from(root_id(platform)?),
        approver: owner,
        revoker: Address::repeat_byte(2),
        approvalDelay: 86_400_u64.try_into()?,
        maxAge: 3_600_u64.try_into()?,
        keyLifetime: 86_400_u64.try_into()?,
        proof: Address::ZERO,
        images: vec![initial(&worker, 1), initial(&other, 2)],
        verifiers: vec![VerifierList::InitialVerifier {
            key: verifier().address(),
            imageId: B256::from(image_id(&other)),
            expiresAt: (now_s()? + 86_400).try_into()?,
        }],
    };
    let registry = EnclaveRegistry::deploy(provider, config).await?;
    let config = job_relay::JobRelay::Config {
        registry: *registry.address(),
        curator: owner,
        exclusive: 10_u64.try_into()?,
        latePenalty: 1,
        draw: job_relay::OperatorDraw::DrawConfig {
            staking: *staking.address(),
            minStake: 1,
            withholdPenalty: 1,
            term: 3_600_u64.try_into()?,
            revealWindow: 5_u64.try_into()?,
        },
        ethFloor: 0_u64.try_into()?,
        fees: vec![],
    };
    let relay = JobRelay::deploy(provider, config).await?;
    Ok((*relay.address(), *registry.address()))
}

/// The enclave's key, by its own word and the verifier's.
async fn register(net: &Net, platform: &Platform, registry: Address) -> anyhow::Result<()> {
    // Whoever sends: an operator brings his own enclaves.
    let operator = wallet(KEYS[0])?.address();
    let operator = EthAddress::from_bytes(operator.into_array());
    let domain = ContractDomain {
        chain_id: net.provider.get_chain_id().await?.try_into()?,
        verifying_contract: EthAddress::from_bytes(registry.into_array()),
    };
    let ask = AskConsent {
        operator,
        chain_id: domain.chain_id,
        registry: domain.verifying_contract,
    };
    let answer = ask_socket(
        &platform.control_socket()?,
        "POST",
        "/v1/consent",
        &serde_json::to_vec(&ask)?,
    )?;
    let consent: Consent = serde_json::from_slice(&answer.body)?;
    let enclave = VerifiedEnclave {
        root_id: root_id(platform)?,
        image_id: image_id(&image(platform)?),
        receipt_key: consent.receipt_key,
        operator,
        user_data: [5; 32],
        timestamp_ms: now_s()? * 1000,
        expires_ms: (now_s()? + 86_400) * 1000,
    };
    let digest = B256::from(enclave.digest(&domain));
    let signature = verifier().signer().sign_hash_sync(&digest)?;
    let told = enclave_registry::EnclaveRegistry::VerifiedEnclave {
        rootId: B256::from(enclave.root_id),
        imageId: B256::from(enclave.image_id),
        receiptKey: Address::from(*enclave.receipt_key.as_bytes()),
        operator: Address::from(*operator.as_bytes()),
        userData: B256::from(enclave.user_data),
        timestampMs: enclave.timestamp_ms,
        expiresMs: enclave.expires_ms,
    };
    let contract = EnclaveRegistry::new(registry, &net.provider);
    let call = contract.register(
        told,
        signature.as_bytes().to_vec().into(),
        consent.consent.as_bytes().to_vec().into(),
    );
    let receipt = call.send().await?.get_receipt().await?;
    ensure!(receipt.status(), "the registry refused");
    Ok(())
}
