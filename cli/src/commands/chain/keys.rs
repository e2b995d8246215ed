//! `nacre chain keys`: receipt keys of enclaves, from what nodes offer to what the registry knows.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::primitives::Address;
use nacre_chain::account::{Account, call_to};
use nacre_chain::cli::session::{Printer, ReadArgs, SendArgs, Sent};
use nacre_chain::contracts::EnclaveRegistry;
use nacre_chain::deployment::{Deployment, Name};
use nacre_chain::registration::{Registration, check_consent, registered, vouch};
use nacre_client::{Endpoint, Trust};
use nacre_protocol::api::chain::ChainKey;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::ids::NodeId;
use nacre_protocol::verified_enclave::{ChainId, ContractDomain};
use serde::Serialize;

use super::error::on_chain;
use crate::api::Api;
use crate::args::TrustArgs;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::table;

/// How long a verifier may take for one document.
const VERIFIER: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeysCommand {
    /// List the keys that nodes offer to the deployment's registry, and what it knows of them.
    List(ListArgs),
    /// Have a verifier vouch for the keys that nodes offer, and register them. A new key is registered by its operator, for
    /// nodes that --node names: it answers for him from then on. Registered ones that end soon are prolonged, by anybody.
    Register(Box<RegisterArgs>),
    /// End a key at once and for good. The registry's revoker may end any key, an operator its own workers'.
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    at: ReadArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RegisterArgs {
    /// A node of the operator's own, whose key may be new to the registry; may be given several times. Only theirs then.
    #[arg(long, value_name = "NODE")]
    node: Vec<NodeId>,
    /// Prolong a key that ends within so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    before: u64,
    /// The verifier: `host:port`.
    #[arg(long, value_name = "HOST:PORT")]
    verifier: String,
    /// What the verifier's own evidence must lead to: `aws`, `dev`, or a certificate file.
    #[arg(long, value_name = "ROOT", default_value = "aws")]
    verifier_root: String,
    /// The verifier's measurements: a policy file.
    #[arg(long, value_name = "FILE")]
    verifier_policy: PathBuf,
    #[command(flatten)]
    send: SendArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    /// The key's address.
    key: EthAddress,
    #[command(flatten)]
    send: SendArgs,
}

/// One key of `list`.
#[derive(Debug, Serialize)]
struct Listed {
    node: NodeId,
    key: EthAddress,
    operator: EthAddress,
    /// When the document was made that it can be registered with, Unix milliseconds.
    document_ms: u64,
    registered: bool,
    /// Whether contracts take its signature now.
    valid: bool,
    /// Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

/// What became of one key.
#[derive(Debug, Serialize)]
struct Outcome {
    node: NodeId,
    key: EthAddress,
    /// `registered`, `prolonged`, `valid-already`, or `not-named`: new to the registry, and no --node says that it may be.
    outcome: &'static str,
    /// What the verifier wants looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    #[serde(flatten)]
    sent: Option<Sent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

/// A key that is worth nothing any more.
#[derive(Debug, Serialize)]
struct Revoked {
    key: EthAddress,
    #[serde(flatten)]
    sent: Sent,
}

/// `nacre chain keys …`
pub(crate) async fn run(
    context: &Context,
    command: KeysCommand,
    print: &Printer,
) -> Result<(), CliError> {
    match command {
        KeysCommand::List(args) => list(context, &args, print).await,
        KeysCommand::Register(args) => register(context, &args, print).await,
        KeysCommand::Revoke(args) => revoke(&args, print).await,
    }
}

async fn list(context: &Context, args: &ListArgs, print: &Printer) -> Result<(), CliError> {
    let (provider, deployment) = args.at.open().await?;
    let registry = deployment.address(Name::EnclaveRegistry);
    let mut keys = Vec::new();
    for key in offered(context, &deployment).await? {
        let known = registered(registry, &provider, address(&key.receipt_key)).await?;
        keys.push(Listed {
            node: key.node,
            key: key.receipt_key,
            operator: key.operator,
            document_ms: key.document_ms,
            registered: known.is_some(),
            valid: known.is_some_and(|known| known.valid),
            expires_at: known.map(|known| known.expires_at),
        });
    }
    Ok(print.result(&keys, |keys| {
        let rows: Vec<_> = keys.iter().map(row).collect();
        table(&["NODE", "KEY", "OPERATOR", "ON CHAIN"], &rows)
    })?)
}

fn row(key: &Listed) -> Vec<String> {
    let standing = match (key.registered, key.valid) {
        (false, _) => "not registered".to_owned(),
        (true, true) => format!(
            "until {} (Unix seconds)",
            key.expires_at.unwrap_or_default()
        ),
        (true, false) => "worth nothing".to_owned(),
    };
    let words = [
        key.node.to_string(),
        key.key.to_string(),
        key.operator.to_string(),
    ];
    words.into_iter().chain([standing]).collect()
}

/// Every key is tried; the first that failed decides the exit status. What stands where `list` shows.
async fn register(context: &Context, args: &RegisterArgs, print: &Printer) -> Result<(), CliError> {
    let trust = args.verifier_trust(context)?;
    let verifier: Endpoint = args.verifier.parse()?;
    let (account, deployment) = args.send.open().await?;
    let mut keys = offered(context, &deployment).await?;
    keys.retain(|key| args.node.is_empty() || args.node.contains(&key.node));
    let away = args
        .node
        .iter()
        .find(|node| keys.iter().all(|key| key.node != **node));
    if let Some(node) = away {
        let registry = deployment.address(Name::EnclaveRegistry);
        let reason = format!("{node} offers no key to the registry {registry} now");
        return Err(on_chain("nothing-offered", reason));
    }
    let mut outcomes = Vec::new();
    let mut failed = None;
    for key in &keys {
        let done = register_one(args, &account, (&verifier, &trust), key, print).await;
        match done {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => {
                print.note(&format!("{} of {}: {error}", key.receipt_key, key.node));
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(print.result(&outcomes, |outcomes| {
            let line = |of: &Outcome| {
                let until = of.expires_at.map(|at| format!("{at} (Unix seconds)"));
                let words = [
                    of.node.to_string(),
                    of.key.to_string(),
                    of.outcome.to_owned(),
                ];
                words.into_iter().chain(until).collect()
            };
            let rows: Vec<_> = outcomes.iter().map(line).collect();
            table(&["NODE", "KEY", "OUTCOME", "UNTIL"], &rows)
        })?),
    }
}

async fn register_one(
    args: &RegisterArgs,
    account: &Account,
    (verifier, trust): (&Endpoint, &Trust),
    key: &ChainKey,
    print: &Printer,
) -> Result<Outcome, CliError> {
    // What the enclave did not agree to is not shown to a verifier.
    check_consent(key)?;
    let registry = address(&key.registry);
    let ask = || registered(registry, account.provider(), address(&key.receipt_key));
    let known = ask().await?;
    let mut outcome = Outcome {
        node: key.node,
        key: key.receipt_key,
        outcome: "valid-already",
        warning: None,
        sent: None,
        expires_at: known.map(|known| known.expires_at),
    };
    if known
        .is_some_and(|known| known.valid && known.expires_at > now().saturating_add(args.before))
    {
        return Ok(outcome);
    }
    if known.is_none() && args.node.is_empty() {
        // Whose enclave it is, its host says: only the operator knows whether that is his own.
        outcome.outcome = "not-named";
        return Ok(outcome);
    }
    let verdict = vouch(verifier, trust, key, VERIFIER).await?;
    if let Some(warning) = &verdict.warning {
        print.note(&format!("{}: {warning}", key.receipt_key));
    }
    let registration = Registration::of(key, &verdict)?;
    let done = print
        .send(account, "register", registration.transaction())
        .await?;
    outcome.outcome = match known {
        None => "registered",
        Some(_) => "prolonged",
    };
    outcome.warning = verdict.warning;
    outcome.sent = Some(Sent::from(&done));
    outcome.expires_at = ask().await?.map(|known| known.expires_at);
    Ok(outcome)
}

async fn revoke(args: &RevokeArgs, print: &Printer) -> Result<(), CliError> {
    let (account, deployment) = args.send.open().await?;
    let key = address(&args.key);
    let registry = deployment.address(Name::EnclaveRegistry);
    let call = call_to(registry, &EnclaveRegistry::revokeKeyCall { key });
    let revoked = Revoked {
        key: args.key,
        sent: Sent::from(&print.send(&account, "revoke", call).await?),
    };
    Ok(print.result(&revoked, |of| {
        format!("{} is worth nothing any more\n{}", of.key, of.sent.text())
    })?)
}

/// What nodes offer to the deployment's registry.
async fn offered(context: &Context, deployment: &Deployment) -> Result<Vec<ChainKey>, CliError> {
    let (_, profile) = context.home.profile(context.profile.as_deref())?;
    let registry = domain(deployment, Name::EnclaveRegistry)?;
    let mut keys = Api::new(&profile)?.chain_keys(&registry).await?;
    // Nothing is sent to where a control plane points.
    keys.retain(|key| key.domain() == registry);
    Ok(keys)
}

/// A contract of a deployment as what is signed for it names it.
pub(super) fn domain(deployment: &Deployment, name: Name) -> Result<ContractDomain, CliError> {
    let chain_id = ChainId::try_from(deployment.chain_id);
    let chain_id = chain_id.map_err(|error| on_chain("deployment-file", error.to_string()))?;
    let verifying_contract = EthAddress::from_bytes(deployment.address(name).into_array());
    Ok(ContractDomain {
        chain_id,
        verifying_contract,
    })
}

fn address(address: &EthAddress) -> Address {
    Address::from(*address.as_bytes())
}

impl RegisterArgs {
    fn verifier_trust(&self, context: &Context) -> Result<Trust, CliError> {
        let trust = TrustArgs {
            root: Some(self.verifier_root.clone()),
            policy: Some(self.verifier_policy.clone()),
            ..TrustArgs::default()
        };
        trust.resolve(&context.home, None)
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
