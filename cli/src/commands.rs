//! One module a command, or a few that belong together.

use std::process::ExitCode;

use crate::args::{Args, AttestCommand, Command, ReceiptCommand};
use crate::dev;
use crate::error::CliError;
use crate::output::Output;
use crate::profile::Home;

mod attest;
mod deploy;
mod invoke;
mod login;
mod manage;
mod proxy;
mod receipt;

/// What every command is given.
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) profile: Option<String>,
    pub(crate) output: Output,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let context = Context {
        home: Home::find()?,
        profile: args.profile,
        output: Output { json: args.json },
    };
    match args.command {
        Command::Dev(args) => dev::run(&context, args).await?,
        Command::Login(args) => login::run(&context, args).await?,
        Command::Deploy(args) => deploy::run(&context, args).await?,
        Command::Digest { dir } => deploy::digest(&context, &dir)?,
        Command::Functions { name } => manage::functions(&context, name).await?,
        Command::Nodes => manage::nodes(&context).await?,
        Command::Delete { name } => manage::delete(&context, &name).await?,
        Command::Logs(args) => manage::logs(&context, args).await?,
        Command::Invoke(args) => invoke::run(&context, args).await?,
        Command::Attest(AttestCommand::Verify(args)) => attest::verify(&context, args).await?,
        Command::Attest(AttestCommand::Inspect { document }) => {
            attest::inspect(&context, &document)?
        }
        Command::Receipt(ReceiptCommand::Verify(args)) => receipt::verify(&context, args)?,
        Command::Proxy(args) => proxy::run(&context, args).await?,
        Command::ControlPlane(args) => nacre_control_plane::cli::run(args).await?,
        Command::Node(args) => {
            nacre_host_proxy::cli::run(args, dev::nsm_emulator_command()?).await?
        }
        Command::NsmEmulator(args) => nacre_emulator::cli::run(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
