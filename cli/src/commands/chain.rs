//! `nacre chain`: what goes on a chain, and what is there. Here is what needs more than contracts: the control plane, a
//! verifier, watchers' files.

use nacre_chain::cli::session::Printer;

use crate::commands::Context;
use crate::error::CliError;

mod error;
mod keys;
mod sealed;
mod uptime;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ChainCommand {
    #[command(flatten)]
    Contracts(nacre_chain::cli::ChainCommand),
    /// Receipt keys of enclaves: what nodes offer, and what the registry knows.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Seal the input of a contract's job to the enclaves that run the function now, after attesting each.
    Seal(Box<sealed::SealArgs>),
    /// Open the answer to a sealed input, and check that it is the enclave's to this very input.
    Open(sealed::OpenArgs),
    /// Accuse nodes that were down, dispute watchers' words, settle.
    #[command(subcommand)]
    Uptime(uptime::UptimeCommand),
}

/// `nacre chain …`. Only what asks the control plane needs a login: `context` is made where it is wanted.
pub(crate) async fn run(
    context: impl FnOnce() -> Result<Context, CliError>,
    command: ChainCommand,
    json: bool,
) -> Result<(), CliError> {
    let print = Printer::new(json);
    match command {
        ChainCommand::Contracts(command) => Ok(nacre_chain::cli::run(command, json).await?),
        ChainCommand::Keys(command) => keys::run(&context()?, command, &print).await,
        ChainCommand::Seal(args) => sealed::seal(&context()?, *args, &print).await,
        ChainCommand::Open(args) => sealed::open(&args, &print),
        ChainCommand::Uptime(command) => uptime::run(command, &print).await,
    }
}
