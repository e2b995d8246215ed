//! `nacre chain …`: the contracts from the command line.

mod deploy;
mod images;
mod job;
mod nodes;
pub mod session;
mod slash;
mod stake;
mod subscribe;
mod token;
mod verifiers;

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
    /// Have what this account is owed sent to it: by the relay, or with --slashes by the staking contract.
    Claim(job::ClaimArgs),
    /// Slash whoever did not do what its stake stands for: a drawn operator, the draw's committee, a watcher. Pays a bounty.
    Slash(slash::SlashArgs),
    /// Have a function asked at regular times, paid in advance.
    #[command(subcommand)]
    Subscribe(subscribe::SubscribeCommand),
    /// The registry's images: name them, take them back.
    #[command(subcommand)]
    Images(images::ImagesCommand),
    /// The registry's first verifiers: name them, make them count.
    #[command(subcommand)]
    Verifiers(verifiers::VerifiersCommand),
    /// An operator's nodes: what stands behind them, which keys run there, when they are away.
    #[command(subcommand)]
    Nodes(nodes::NodesCommand),
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
    run_with(command, &Printer::new(json)).await
}

/// The same, printed elsewhere.
///
/// # Errors
///
/// As [`run`].
pub async fn run_with(command: ChainCommand, print: &Printer) -> Result<(), ChainError> {
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
        ChainCommand::Slash(args) => slash::slash(args, print).await,
        ChainCommand::Subscribe(command) => subscribe::run(command, print).await,
        ChainCommand::Images(command) => images::run(command, print).await,
        ChainCommand::Verifiers(command) => verifiers::run(command, print).await,
        ChainCommand::Nodes(command) => nodes::run(command, print).await,
    }
}
