//! The relay: the program `nacre-relay`, as anybody would run it.

use nacre_chain::deployment::{Deployment, Name};
use tokio::time::{Duration, Instant};
use url::Url;

use super::super::child::{Program, Supervised};
use super::super::words;
use super::accounts::Accounts;
use super::{Beside, eth};
use crate::error::CliError;

/// How long it may take to begin.
const START: Duration = Duration::from_secs(60);
/// In which depth nothing is undone any more. Deeper than anything that anvil forgets when it dies.
const FINAL: u64 = 300;

pub(super) async fn start(
    beside: &Beside<'_>,
    accounts: &Accounts,
    deployment: &Deployment,
    rpc: &Url,
) -> Result<Supervised, CliError> {
    let path = std::env::current_exe()?.with_file_name("nacre-relay");
    if !path.is_file() {
        let message = format!("{} is missing: run `make build`", path.display());
        return Err(CliError::Usage(message));
    }
    let layout = beside.layout;
    let mut arguments = words([
        ("--rpc", Some(rpc.as_str().into())),
        (
            "--contract",
            Some(eth(deployment.address(Name::JobRelay)).to_string().into()),
        ),
        ("--key", Some(accounts.key_file("relay").into())),
        (
            "--operator",
            Some(eth(accounts.operator.address()).to_string().into()),
        ),
        ("--control-plane", Some(beside.profile.url.as_str().into())),
        ("--api-key-file", Some(layout.api_key().into())),
        ("--root", Some(beside.root.clone().into())),
        ("--policy", Some(layout.policy().into())),
        ("--data", Some(layout.chain().join("relay").into())),
        ("--confirmations", Some("1".into())),
        ("--final-depth", Some(FINAL.to_string().into())),
        ("--poll-ms", Some("100".into())),
        (
            "--from-block",
            Some(deployment.from_block.to_string().into()),
        ),
        ("--exit-on-stdin-eof", None),
    ]);
    arguments.extend(beside.context.log.words());
    Supervised::start("nacre-relay", Instant::now() + START, move |_| Program {
        path: path.clone(),
        arguments: arguments.clone(),
    })
    .await
}
