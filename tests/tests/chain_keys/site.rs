//! Anvil with the contracts, and a platform whose node works for an operator there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use alloy::providers::Provider as _;
use anyhow::{Context as _, ensure};
use nacre_attestation_verifier::Roots;
use nacre_chain::account::{Account, Patience, TransactionRequest};
use nacre_chain::anvil::{self, Anvil, AnvilOptions};
use nacre_chain::contracts::EnclaveRegistry;
use nacre_chain::deploy::deploy;
use nacre_chain::deployment::{Deployment, Name};
use nacre_chain::rpc::connect;
use nacre_chain::settings::Settings;
use nacre_chain::wallet::Wallet;
use nacre_protocol::eip712::EthAddress;
use nacre_tests::beside::Beside;
use nacre_tests::platform::{Platform, Refusal, describe, wait_for};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::verifier::Verifier;

/// Where the node stands that works for contracts.
pub(crate) const REGION: &str = "on-chain";
const DEADLINE: Duration = Duration::from_secs(90);

pub(crate) struct Site {
    pub(crate) runtime: Runtime,
    pub(crate) platform: Platform,
    _node: Beside,
    pub(crate) anvil: Anvil,
    /// Approves, curates, proposes.
    pub(crate) owner: Account,
    /// Revokes and vetoes.
    pub(crate) second: Account,
    pub(crate) deployment: Deployment,
    /// Answers for the node, and registers its keys.
    pub(crate) operator: EthAddress,
    pub(crate) key_file: PathBuf,
}

impl Site {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_with(|_| {})
    }

    /// With other settings than a development chain's. Each transaction gets a block at once.
    pub(crate) fn start_with(tune: impl FnOnce(&mut Settings)) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let platform = Platform::start()?;
        let root_id = B256::from_slice(&Sha256::digest(roots(&platform)?.der()));
        let deployed = platform.home().join("deployment.json");
        let (anvil, owner, second, deployment) = runtime.block_on(async {
            let anvil = Anvil::start(&AnvilOptions::default()).await?;
            let owner = account(&anvil, anvil::account(0)).await?;
            let second = account(&anvil, anvil::account(1)).await?;
            let mut settings = Settings::development(owner.address(), second.address(), root_id);
            tune(&mut settings);
            let deployment = deploy(&owner, settings, &deployed, &mut |_| {}).await?;
            anyhow::Ok((anvil, owner, second, deployment))
        })?;
        let key_file = platform.home().join("operator.key");
        let operator = Wallet::open_or_create(&key_file)?.address();
        let operator = EthAddress::from_bytes(operator.into_array());
        let registry = deployment.address(Name::EnclaveRegistry);
        let node = node(&platform, operator, &format!("31337:{registry}"))?;
        let site = Self {
            runtime,
            platform,
            _node: node,
            anvil,
            owner,
            second,
            deployment,
            operator,
            key_file,
        };
        site.fund(&site.key_file)?;
        wait_for("the node offers its key", DEADLINE, || site.keys().ok())?;
        Ok(site)
    }

    /// From now on a block a second: contracts are asked as of the last one, which must not be old.
    pub(crate) fn block_a_second(&self) -> anyhow::Result<()> {
        self.ask_anvil("evm_setIntervalMining", (1,))
    }

    /// Moves the chain's clock.
    pub(crate) fn pass(&self, seconds: u64) -> anyhow::Result<()> {
        self.ask_anvil("evm_increaseTime", (seconds,))?;
        self.ask_anvil("evm_mine", ())
    }

    /// Gives the account of this key 100 ETH.
    pub(crate) fn fund(&self, key_file: &Path) -> anyhow::Result<()> {
        let account = Wallet::open(key_file)?.address();
        self.ask_anvil("anvil_setBalance", (account, "0x56bc75e2d63100000"))
    }

    fn ask_anvil(
        &self,
        method: &'static str,
        words: impl serde::Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin + 'static,
    ) -> anyhow::Result<()> {
        let provider = self.owner.provider();
        let asked = async { provider.raw_request::<_, Value>(method.into(), words).await };
        self.runtime.block_on(asked)?;
        Ok(())
    }

    pub(crate) fn registry(&self) -> Address {
        self.deployment.address(Name::EnclaveRegistry)
    }

    /// Sends it, and waits until it counts.
    pub(crate) fn send(&self, by: &Account, call: TransactionRequest) -> anyhow::Result<()> {
        self.runtime.block_on(by.send(call))?;
        Ok(())
    }

    /// `nacre --json chain …` on this chain, by the account of this key where it sends something.
    pub(crate) fn chain(&self, words: &[&str], key_file: Option<&Path>) -> Command {
        let mut command = self.platform.nacre(["--json", "chain"]);
        command
            .args(words)
            .args(["--rpc", self.anvil.url().as_str()]);
        let deployment = self.platform.home().join("deployment.json");
        command.arg("--deployment").arg(deployment);
        if let Some(key_file) = key_file {
            command.arg("--key-file").arg(key_file);
        }
        command
    }

    /// What the one key that is offered is, and where it stands.
    pub(crate) fn keys(&self) -> anyhow::Result<Value> {
        let listed = printed(self.chain(&["keys", "list"], None))?;
        ensure!(
            listed.as_array().is_some_and(|keys| keys.len() == 1),
            "{listed}"
        );
        Ok(listed[0].clone())
    }

    /// Whether it is registered, and whether it is worth something.
    pub(crate) fn standing(&self) -> anyhow::Result<(bool, bool)> {
        let key = self.keys()?;
        Ok((key["registered"] == true, key["valid"] == true))
    }

    /// The words that name its node.
    pub(crate) fn named(&self) -> anyhow::Result<Vec<String>> {
        let node = self.keys()?["node"].as_str().context("no node")?.to_owned();
        Ok(vec!["--node".to_owned(), node])
    }

    /// `nacre chain keys register`.
    pub(crate) fn register(&self, with: &Verifier, more: &[String]) -> anyhow::Result<Value> {
        let mut command = self.registering(with, &with.policy, &self.key_file);
        command.args(more);
        printed(command)
    }

    /// The code with which it is refused, also where the key is registered already.
    pub(crate) fn refused(&self, with: &Verifier) -> anyhow::Result<String> {
        self.refused_by(with, &with.policy)
    }

    /// The same where the verifier at this address is to be another one: that of this policy.
    pub(crate) fn refused_by(&self, at: &Verifier, policy: &Path) -> anyhow::Result<String> {
        self.refusal(self.registering(at, policy, &self.key_file))
    }

    /// The same where somebody else sends it.
    pub(crate) fn refused_for_a_stranger(&self, with: &Verifier) -> anyhow::Result<String> {
        let stranger = self.platform.home().join("stranger.key");
        Wallet::open_or_create(&stranger)?;
        self.fund(&stranger)?;
        self.refusal(self.registering(with, &with.policy, &stranger))
    }

    fn refusal(&self, mut command: Command) -> anyhow::Result<String> {
        command.args(self.named()?).args(["--before", "999999999"]);
        Ok(Refusal::of(command)?.code)
    }

    fn registering(&self, at: &Verifier, policy: &Path, key_file: &Path) -> Command {
        let mut command = self.chain(&["keys", "register"], Some(key_file));
        command.args(["--verifier", &at.endpoint()]);
        command
            .arg("--verifier-root")
            .arg(policy.with_file_name("root.der"));
        command.arg("--verifier-policy").arg(policy);
        command
    }

    /// `nacre chain keys revoke`, by the operator.
    pub(crate) fn revoke(&self, key: EthAddress) -> anyhow::Result<Value> {
        printed(self.chain(&["keys", "revoke", &key.to_string()], Some(&self.key_file)))
    }

    /// What the registry tells other contracts.
    pub(crate) fn worker_operator(&self, key: EthAddress) -> anyhow::Result<EthAddress> {
        let registry = EnclaveRegistry::new(self.registry(), self.owner.provider());
        let asked = registry.workerOperator(Address::from(*key.as_bytes()), B256::ZERO);
        let operator = self.runtime.block_on(async { asked.call().await })?;
        Ok(EthAddress::from_bytes(operator.into_array()))
    }

    /// How many transactions the operator's account sent.
    pub(crate) fn sent(&self) -> anyhow::Result<u64> {
        let account = Address::from(*self.operator.as_bytes());
        let provider = self.owner.provider();
        let count = async { provider.get_transaction_count(account).await };
        Ok(self.runtime.block_on(count)?)
    }
}

/// Runs a command that must succeed, and gives what it printed.
pub(crate) fn printed(mut command: Command) -> anyhow::Result<Value> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        describe(&output)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What the platform's enclaves' documents lead to.
pub(crate) fn roots(platform: &Platform) -> anyhow::Result<Roots> {
    Ok(Roots::from_pem_or_der(&std::fs::read(
        platform.ready("root"),
    )?)?)
}

async fn account(anvil: &Anvil, wallet: Option<Wallet>) -> anyhow::Result<Account> {
    let wallet = wallet.context("anvil has such an account")?;
    let provider = connect(&anvil.rpc(), None)?;
    Ok(Account::new(provider, wallet, Patience::new(true)).await?)
}

/// A further node of the platform, with these words.
pub(crate) fn start_node(
    platform: &Platform,
    region: &str,
    more: Vec<OsString>,
) -> anyhow::Result<Beside> {
    let pki = PathBuf::from(platform.ready("data")).join("pki");
    let mut words: Vec<OsString> = vec!["node".into(), "--control-plane".into()];
    words.push(platform.ready("control_plane").into());
    words.extend(["--data".into(), platform.home().join(region).into()]);
    words.extend(["--pki-dir".into(), pki.into()]);
    words.extend(["--region".into(), region.into()]);
    words.extend(more);
    Beside::start(platform, words)
}

/// The node that works for this operator at this registry.
fn node(platform: &Platform, operator: EthAddress, registry: &str) -> anyhow::Result<Beside> {
    let operator = operator.to_string();
    let words = [
        "--operator-address",
        &operator,
        "--chain-registry",
        registry,
    ];
    start_node(platform, REGION, words.map(OsString::from).into())
}
