//! Bringing keys to the registry, by a verifier's word.

use std::path::PathBuf;
use std::time::Duration;

use nacre_chain::account::Account;
use nacre_chain::cli::session::{Printer, SendArgs, Sent, chain_time};
use nacre_chain::deployment::Name;
use nacre_chain::registration::{Registration, check_consent, registered, vouch};
use nacre_client::{Endpoint, Trust};
use nacre_protocol::api::chain::ChainKey;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::ids::NodeId;
use serde::Serialize;

use super::{address, offered};
use crate::args::TrustArgs;
use crate::commands::Context;
use crate::commands::chain::error::on_chain;
use crate::error::CliError;
use crate::output::table;

/// How long a verifier may take for one document.
const VERIFIER: Duration = Duration::from_secs(30);

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

/// Every key is tried; the first that failed decides the exit status. What stands where `list` shows.
pub(super) async fn register(
    context: &Context,
    args: &RegisterArgs,
    print: &Printer,
) -> Result<(), CliError> {
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
    let soon = chain_time(account.provider())
        .await?
        .saturating_add(args.before);
    if known.is_some_and(|known| known.valid && known.expires_at > soon) {
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
