//! `nacre dev --chain`: a chain of this machine beside the platform, with everything that a contract's author meets on a
//! real one. The contracts, an operator with stake whose node's enclave is registered by a verifier's word, a relay, and a
//! contract that uses the function `digit`.
//!
//! First of all come anvil and the contracts, since the node is told the registry's address ([`ChainBase`]); the rest needs the
//! platform ([`DevChain`]). All of it is under `chain` in the data folder. The chain is written there from time to time and at the
//! end, so that a second start goes on; where it cannot, it begins a new one and says so.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use nacre_attestation_verifier::{Policy, Roots};
use nacre_chain::deploy::{Step, deploy};
use nacre_chain::deployment::{Deployment, Name};
use nacre_chain::error::ChainError;
use nacre_chain::rpc::Rpc;
use nacre_chain::settings::Settings;
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::verified_enclave::ContractDomain;
use serde::Serialize;
use url::Url;

use super::child::Supervised;
use super::{Layout, PROFILE, words};
use crate::api::Api;
use crate::commands::{Context, deploy as function};
use crate::error::CliError;
use crate::profile::{Profile, make_private_dir};

mod accounts;
mod contracts;
mod keep;
mod net;
mod registrar;
mod relay;
mod verifier;

use accounts::Accounts;
use contracts::WANTED;
use keep::Kept;
use net::Net;
use registrar::Registrar;
use verifier::DevVerifier;

/// The contracts' file, as `nacre chain` takes it.
const DEPLOYMENT: &str = "deployment.json";

/// The function that the example contract asks.
const EXAMPLE: &str = "examples/digit";

/// The chain with the contracts on it, before there is a platform.
pub(super) struct ChainBase {
    net: Net,
    folder: PathBuf,
    parts: Parts,
    /// Why it is not the chain of the last start, where there was one.
    begun_anew: Option<String>,
}

/// Who is there, and what is deployed.
struct Parts {
    accounts: Accounts,
    deployment: Deployment,
    kept: Kept,
}

/// The platform that it stands beside.
pub(super) struct Beside<'a> {
    pub(super) context: &'a Context,
    pub(super) layout: &'a Layout,
    pub(super) profile: &'a Profile,
    /// Of workers.
    pub(super) policy: &'a Policy,
    /// Of workers: what a verifier believes.
    pub(super) roots: Roots,
    /// The same for a program: a file, or `aws`.
    pub(super) root: PathBuf,
}

/// All of it, at work.
pub(super) struct DevChain {
    net: net::Running,
    verifier: DevVerifier,
    registrar: Registrar,
    relay: Supervised,
    ready: ChainReady,
}

/// What `nacre dev --chain --json` prints of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ChainReady {
    rpc: Url,
    chain_id: u64,
    /// Why it is not the chain of the last start.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_anew: Option<String>,
    deployment: PathBuf,
    contracts: BTreeMap<Name, Address>,
    /// A folder with one file a role: `owner`, `operator`, `second`, `relay`, `user`.
    keys: PathBuf,
    /// An account with ETH and without a role.
    user: Address,
    /// Its key: for `--key-file`.
    user_key: PathBuf,
    operator: Address,
    relay: Address,
    verifier: VerifierReady,
    /// What the example contract asks.
    function: Digest,
    digit_gate: Address,
    /// The digit that opens it.
    wanted: u8,
}

#[derive(Debug, Clone, Serialize)]
struct VerifierReady {
    endpoint: String,
    root: PathBuf,
    policy: PathBuf,
    signer: EthAddress,
}

impl ChainBase {
    /// Goes on with the chain of the last start, or begins one.
    pub(super) async fn start(
        layout: &Layout,
        port: u16,
        root_id: [u8; 32],
    ) -> Result<Self, CliError> {
        let folder = layout.chain();
        if !Kept::is_there(&folder) {
            // Whatever else is there is of a chain that was never kept.
            remove(&folder)?;
        }
        let mut begun_anew = None;
        loop {
            make_private_dir(&folder)?;
            let error = match Self::open(&folder, port, root_id).await {
                Ok((net, parts)) => {
                    return Ok(Self {
                        net,
                        folder,
                        parts,
                        begun_anew,
                    });
                }
                Err(error) if begun_anew.is_some() || !Kept::is_there(&folder) => {
                    return Err(error.into());
                }
                Err(error) => error,
            };
            // Where none would start at all, it is not the kept one that is wrong.
            Net::would_start(port).await?;
            tracing::warn!(code = error.code(), %error, "the kept chain is of no use: a new one begins");
            begun_anew = Some(error.to_string());
            remove(&folder)?;
        }
    }

    async fn open(folder: &Path, port: u16, root_id: [u8; 32]) -> Result<(Net, Parts), ChainError> {
        let net = Net::start(folder, port).await?;
        match Parts::open(&net, folder, root_id).await {
            Ok(parts) => Ok((net, parts)),
            Err(error) => {
                // Its port is free again after this.
                net.abandon().await;
                Err(error)
            }
        }
    }

    /// The words for `nacre node`: for whom its enclave works, and where.
    pub(super) fn node_arguments(&self) -> Result<Vec<OsString>, CliError> {
        let operator = eth(self.parts.accounts.operator.address()).to_string();
        let registry = self.parts.registry()?.to_string();
        Ok(words([
            ("--operator-address", Some(operator.into())),
            ("--chain-registry", Some(registry.into())),
        ]))
    }

    /// Everything else, now that there is a platform.
    pub(super) async fn open_up(self, beside: Beside<'_>) -> Result<DevChain, CliError> {
        let Self {
            net,
            folder,
            mut parts,
            begun_anew,
        } = self;
        let Beside {
            context, profile, ..
        } = beside;
        let verifier = DevVerifier::start(beside.layout, beside.roots.clone()).await?;
        let Parts {
            accounts,
            deployment,
            ..
        } = &parts;
        contracts::approve(&accounts.owner, deployment, beside.policy, &verifier).await?;
        contracts::stake(&accounts.operator, deployment).await?;
        let (api, operator) = (Api::new(profile)?, accounts.operator.clone());
        let registrar = Registrar::start(api, verifier.contact(), operator, parts.registry()?);
        let registrar = registrar.await?;

        let digest = function::deploy_plainly(&context.home, PROFILE, &example()?).await?;
        contracts::serve(&accounts.owner, deployment, digest).await?;
        let gate = contracts::gate(&accounts.user, deployment, digest, parts.kept.digit_gate);
        let gate = gate.await?;
        parts.kept.digit_gate = Some(gate);
        // The chain comes last: where it is kept, all that goes with it is.
        parts.kept.write(&folder)?;
        let net = net.run().await?;

        let relay = relay::start(&beside, &parts.accounts, &parts.deployment, net.url()).await?;
        let ready = ChainReady {
            rpc: net.url().clone(),
            chain_id: parts.deployment.chain_id,
            begun_anew,
            deployment: folder.join(DEPLOYMENT),
            contracts: parts.addresses(),
            keys: parts.accounts.folder.clone(),
            user: parts.accounts.user.address(),
            user_key: parts.accounts.key_file("user"),
            operator: parts.accounts.operator.address(),
            relay: parts.accounts.relay,
            verifier: VerifierReady {
                endpoint: verifier.endpoint(),
                root: beside.layout.root(),
                policy: verifier.policy_file(),
                signer: verifier.signer(),
            },
            function: digest,
            digit_gate: gate,
            wanted: WANTED,
        };
        Ok(DevChain {
            net,
            verifier,
            registrar,
            relay,
            ready,
        })
    }
}

impl Parts {
    async fn open(net: &Net, folder: &Path, root_id: [u8; 32]) -> Result<Self, ChainError> {
        let accounts = Accounts::open(folder, net.rpc()).await?;
        let path = folder.join(DEPLOYMENT);
        let kept = Kept::open(folder).map_err(|reason| ChainError::DeploymentFile {
            path: path.clone(),
            reason,
        })?;
        let settings =
            Settings::development(accounts.owner.address(), accounts.second, root_id.into());
        let mut told = |step: Step| tracing::debug!(?step, "contracts");
        let deployment = deploy(&accounts.owner, settings, &path, &mut told).await?;
        Ok(Self {
            accounts,
            deployment,
            kept,
        })
    }

    /// The registry, as enclaves and verifiers name it.
    fn registry(&self) -> Result<ContractDomain, CliError> {
        let chain_id = self.deployment.chain_id.try_into();
        Ok(ContractDomain {
            chain_id: chain_id.map_err(anyhow::Error::from)?,
            verifying_contract: eth(self.deployment.address(Name::EnclaveRegistry)),
        })
    }

    fn addresses(&self) -> BTreeMap<Name, Address> {
        let contracts = self.deployment.contracts.iter();
        contracts.map(|(name, at)| (*name, at.address)).collect()
    }
}

impl DevChain {
    /// What there is.
    pub(super) fn ready(&self) -> &ChainReady {
        &self.ready
    }

    /// Ends it; what happened on chain is kept.
    pub(super) async fn stop(self) {
        self.relay.stop().await;
        self.registrar.stop().await;
        self.verifier.stop().await;
        self.net.stop().await;
    }
}

impl ChainReady {
    /// The lines for people.
    pub(super) fn text(&self) -> String {
        let anew = self.begun_anew.as_ref();
        let anew =
            anew.map(|reason| format!("\nnew chain      the last one was of no use: {reason}"));
        let at = |name: Name| {
            self.contracts
                .get(&name)
                .map(Address::to_string)
                .unwrap_or_default()
        };
        format!(
            "rpc            {}   (chain {}){}\nJobRelay       {}\nregistry       {}\nDigitGate      {}   (opens for a {})\n\
             function       {}\ndeployment     {}\nkeys           {}\nverifier       {}\n",
            self.rpc,
            self.chain_id,
            anew.unwrap_or_default(),
            at(Name::JobRelay),
            at(Name::EnclaveRegistry),
            self.digit_gate,
            self.wanted,
            self.function,
            self.deployment.display(),
            self.keys.display(),
            self.verifier.endpoint,
        )
    }
}

/// How nodes are asked: this chain alone.
fn rpc_of(url: &Url) -> Rpc {
    Rpc::new([url.clone()])
}

fn eth(address: Address) -> EthAddress {
    EthAddress::from_bytes(address.into_array())
}

/// Where the example is: above this folder, or above this program.
fn example() -> Result<PathBuf, CliError> {
    let places = [std::env::current_dir(), std::env::current_exe()];
    let places: Vec<_> = places.into_iter().flatten().collect();
    let above = places.iter().flat_map(|place| place.ancestors());
    let mut folders = above.map(|folder| folder.join(EXAMPLE));
    let found = folders.find(|folder| folder.join("nacre.toml").is_file());
    found.ok_or_else(|| {
        CliError::Usage(format!(
            "--chain: {EXAMPLE} is missing; it is found from inside the repository"
        ))
    })
}

fn remove(folder: &Path) -> Result<(), CliError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CliError::file(folder)(error)),
        _ => Ok(()),
    }
}
