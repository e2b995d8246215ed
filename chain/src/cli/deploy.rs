//! `nacre chain deploy`, and what `status` says of a deployment.

use std::path::PathBuf;

use alloy::primitives::{Address, B256, U256};
use serde::Serialize;

use super::session::{Printer, ReadArgs, SendArgs};
use crate::contracts::{JobRelay, OperatorStaking};
use crate::deploy::{Step, deploy};
use crate::deployment::{Deployment, Name};
use crate::error::ChainError;
use crate::settings::{AWS_ROOT_ID, Settings};

/// Arguments of `deploy`.
#[derive(Debug, Clone, clap::Args)]
pub struct DeployArgs {
    #[command(flatten)]
    send: SendArgs,
    /// What is fixed at deployment: a TOML file with every setting.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "dev",
        conflicts_with = "dev"
    )]
    settings: Option<PathBuf>,
    /// For a chain that is thrown away: this account may do all, and stake is a token that anybody mints.
    #[arg(long, requires = "second")]
    dev: bool,
    /// With --dev: who revokes and vetoes, which cannot be the same account.
    #[arg(long, value_name = "ADDRESS")]
    second: Option<Address>,
    /// With --dev: SHA-256 of the root certificate that enclaves' documents lead to; AWS's where absent.
    #[arg(long, value_name = "HEX", requires = "dev")]
    root_id: Option<B256>,
    /// With --dev: print those settings as a file to begin with, and deploy nothing.
    #[arg(long, requires = "dev")]
    print_settings: bool,
}

pub(super) async fn run(args: DeployArgs, print: &Printer) -> Result<(), ChainError> {
    let account = args.send.account().await?;
    let settings = match (&args.settings, args.second) {
        (Some(path), _) => {
            let settings = Settings::read(path)?;
            if settings.stake_token.is_none() {
                return Err(ChainError::Settings(
                    "stake_token is absent: only --dev deploys a worthless one".to_owned(),
                ));
            }
            settings
        }
        (None, second) => {
            let second = second.unwrap_or_default();
            Settings::development(
                account.address(),
                second,
                args.root_id.unwrap_or(AWS_ROOT_ID),
            )
        }
    };
    if args.print_settings {
        return print.result(&settings, |settings| settings.to_toml().unwrap_or_default());
    }
    let mut progress = |step: Step| match step {
        Step::Contract { name, address, new } => {
            print.note(&format!(
                "{name} {address}{}",
                if new { "" } else { " (there already)" }
            ));
        }
        Step::Wired => print.note("it is fixed who may slash"),
    };
    let done = deploy(&account, settings, &args.send.at.deployment, &mut progress).await?;
    let file = args.send.at.deployment.display().to_string();
    print.result(&done, |_| format!("deployed: {file}"))
}

/// A deployment as it stands.
#[derive(Serialize)]
struct Standing<'a> {
    deployment: &'a Deployment,
    stake_token: Address,
    active_stake: U256,
    term: u32,
    batch: u64,
    jobs: u64,
    /// What a job without callback pays at least to be drawn, wei.
    fee_floor: U256,
}

pub(super) async fn status(at: &ReadArgs, print: &Printer) -> Result<(), ChainError> {
    let (provider, deployment) = at.open().await?;
    let staking = OperatorStaking::new(deployment.address(Name::OperatorStaking), &provider);
    let relay = JobRelay::new(deployment.address(Name::JobRelay), &provider);
    let state = relay.drawState().call().await?;
    let standing = Standing {
        stake_token: deployment.stake_token(),
        active_stake: staking.totalActiveStake().call().await?,
        term: state.term,
        batch: state.batch.to(),
        jobs: state.nonce,
        fee_floor: relay.feeFloor(Address::ZERO, 0).call().await?,
        deployment: &deployment,
    };
    print.result(&standing, |of| {
        let mut lines = vec![format!("chain {}", of.deployment.chain_id)];
        lines.extend(
            of.deployment
                .contracts
                .iter()
                .map(|(name, at)| format!("{name} {}", at.address)),
        );
        lines.push(format!(
            "stake {} of token {}",
            of.active_stake, of.stake_token
        ));
        lines.push(format!(
            "term {}, batch {}, jobs {}",
            of.term, of.batch, of.jobs
        ));
        lines.push(format!(
            "a job pays at least {} wei to be drawn",
            of.fee_floor
        ));
        lines.join("\n")
    })
}
