//! `nacre chain keys`: receipt keys of enclaves, from what nodes offer to what the registry knows.

use alloy::primitives::Address;
use nacre_chain::account::call_to;
use nacre_chain::cli::session::{Printer, ReadArgs, SendArgs, Sent};
use nacre_chain::contracts::EnclaveRegistry;
use nacre_chain::deployment::{Deployment, Name};
use nacre_chain::registration::registered;
use nacre_protocol::api::chain::ChainKey;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::ids::NodeId;
use nacre_protocol::verified_enclave::{ChainId, ContractDomain};
use serde::Serialize;

use super::error::on_chain;
use crate::api::Api;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::table;

mod register;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeysCommand {
    /// List the keys that nodes offer to the deployment's registry, and what it knows of them.
    List(ListArgs),
    /// Have a verifier vouch for the keys that nodes offer, and register them. A new key is registered by its operator, for
    /// nodes that --node names: it answers for him from then on. Registered ones that end soon are prolonged, by anybody.
    Register(Box<register::RegisterArgs>),
    /// End a key at once and for good. The registry's revoker may end any key, an operator its own workers'.
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    at: ReadArgs,
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
        KeysCommand::Register(args) => register::register(context, &args, print).await,
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
    let registry = registry(deployment)?;
    let mut keys = Api::new(&profile)?.chain_keys(&registry).await?;
    // Nothing is sent to where a control plane points.
    keys.retain(|key| key.domain() == registry);
    Ok(keys)
}

/// The registry as consents and verdicts name it.
fn registry(deployment: &Deployment) -> Result<ContractDomain, CliError> {
    let chain_id = ChainId::try_from(deployment.chain_id);
    let chain_id = chain_id.map_err(|error| on_chain("deployment-file", error.to_string()))?;
    let registry = deployment.address(Name::EnclaveRegistry);
    Ok(ContractDomain {
        chain_id,
        verifying_contract: EthAddress::from_bytes(registry.into_array()),
    })
}

fn address(address: &EthAddress) -> Address {
    Address::from(*address.as_bytes())
}
