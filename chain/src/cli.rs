//! `nacre chain …`: the contracts from the command line.

mod deploy;
mod job;
mod session;
mod stake;

use clap::Subcommand;

use crate::error::ChainError;
use session::{Printer, ReadArgs};

/// The contracts: deploy them, stake, ask for inferences.
#[derive(Debug, Clone, Subcommand)]
pub enum ChainCommand {
    /// Deploy the whole system, or go on with a deployment that stopped. The file says where everything is.
    Deploy(Box<deploy::DeployArgs>),
    /// What there is: the deployment, or with --job or --account one of those.
    Status(StatusArgs),
    /// Stake for an account; the token is approved first where that is needed.
    Stake(stake::StakeArgs),
    /// Ask stake back, or with --withdraw take what has matured.
    Unstake(stake::UnstakeArgs),
    /// Ask for an inference, by the input itself or by its hash.
    Request(Box<job::RequestArgs>),
    /// Take the fee of a job back that nobody answered in time: credited to its requester.
    Cancel(job::JobArgs),
    /// Have what the relay owes this account sent to it.
    Claim(job::ClaimArgs),
    /// Slash the operator that was drawn for a job and did not answer while it was its alone. Pays a bounty.
    Slash(job::JobArgs),
}

/// Arguments of `status`.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    at: ReadArgs,
    /// Of this job.
    #[arg(long, value_name = "ID", conflicts_with = "account")]
    job: Option<alloy::primitives::U256>,
    /// Of this account's stake and credit.
    #[arg(long, value_name = "ADDRESS")]
    account: Option<alloy::primitives::Address>,
}

/// Runs a command; with `json`, it prints one JSON value.
///
/// # Errors
///
/// [`ChainError`], with the contract's own code where one refused.
pub async fn run(command: ChainCommand, json: bool) -> Result<(), ChainError> {
    let print = Printer { json };
    match command {
        ChainCommand::Deploy(args) => deploy::run(*args, print).await,
        ChainCommand::Status(args) => match (args.job, args.account) {
            (Some(id), _) => job::status(&args.at, id, print).await,
            (None, Some(account)) => stake::status(&args.at, account, print).await,
            (None, None) => deploy::status(&args.at, print).await,
        },
        ChainCommand::Stake(args) => stake::stake(args, print).await,
        ChainCommand::Unstake(args) => stake::unstake(args, print).await,
        ChainCommand::Request(args) => job::request(*args, print).await,
        ChainCommand::Cancel(args) => job::cancel(args, print).await,
        ChainCommand::Claim(args) => job::claim(args, print).await,
        ChainCommand::Slash(args) => job::slash(args, print).await,
    }
}
