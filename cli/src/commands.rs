//! One module a command, or a few that belong together.

use std::process::ExitCode;

use nacre_host_proxy::Programs;
use nacre_telemetry::log::LogFormat;

use crate::args::{Args, AttestCommand, Command, PlatformCommand, ReceiptCommand, UserCommand};
use crate::dev;
use crate::error::CliError;
use crate::output::Output;
use crate::profile::Home;

mod attest;
pub(crate) mod chain;
pub(crate) mod conformance;
pub(crate) mod deploy;
pub(crate) mod doctor;
mod gateway;
mod incidents;
mod invoke;
pub(crate) mod job;
pub(crate) mod key;
pub(crate) mod ledger;
mod login;
mod manage;
pub(crate) mod payout;
mod proxy;
mod receipt;
mod rollout;

/// What every command is given.
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) profile: Option<String>,
    pub(crate) output: Output,
    pub(crate) log: LogFormat,
}

/// Runs the command. Those that run a part of the platform need no home: they may have a cleared environment.
pub(crate) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let context = || {
        Ok(Context {
            home: Home::find()?,
            profile: args.profile,
            output: Output { json: args.json },
            log: args.log.log_format,
        })
    };
    match args.command {
        Command::Platform(command) => {
            run_platform(command).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Admin(command) => Ok(nacre_control_plane::admin::run(command, args.json).await?),
        Command::Chain(command) => {
            chain::run(context, command, args.json).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Image(command) => Ok(nacre_image::cli::run(command, args.json)?),
        Command::User(command) => run_for_user(&context()?, command).await,
    }
}

async fn run_platform(command: PlatformCommand) -> Result<(), CliError> {
    match command {
        PlatformCommand::ControlPlane(args) => nacre_control_plane::cli::run(args).await?,
        PlatformCommand::Node(args) => {
            // Its enclave's parts are commands of this binary.
            let programs = Programs::of(&std::env::current_exe()?);
            nacre_host_proxy::run(args, programs).await?;
        }
        PlatformCommand::Gateway(args) => gateway::run(*args).await?,
        PlatformCommand::NsmEmulator(args) => nacre_emulator::cli::run(args).await?,
        PlatformCommand::Emulate(args) => nacre_emulator::emulate::run(*args).await?,
    }
    Ok(())
}

async fn run_for_user(context: &Context, command: UserCommand) -> Result<ExitCode, CliError> {
    match command {
        UserCommand::Dev(args) => dev::run(context, args).await,
        UserCommand::Login(args) => login::run(context, args).await,
        UserCommand::Deploy(args) => deploy::run(context, args).await,
        UserCommand::Promote(args) => rollout::promote(context, args).await,
        UserCommand::Rollback(args) => rollout::roll_back(context, args).await,
        UserCommand::Digest { dir } => deploy::digest(context, &dir),
        UserCommand::Functions { name } => manage::functions(context, name).await,
        UserCommand::Nodes => manage::nodes(context).await,
        UserCommand::Incidents {
            node,
            scores: false,
        } => incidents::incidents(context, node).await,
        UserCommand::Incidents { node, scores: true } => incidents::scores(context, node).await,
        UserCommand::Delete { name } => manage::delete(context, &name).await,
        UserCommand::Logs(args) => manage::logs(context, args).await,
        UserCommand::Job(command) => job::run(context, command).await,
        UserCommand::Balance => ledger::balance(context).await,
        UserCommand::Usage => ledger::usage(context).await,
        UserCommand::Invoice { month } => ledger::invoice(context, month).await,
        UserCommand::Entries { after } => ledger::entries(context, after).await,
        UserCommand::Cap(command) => ledger::cap(context, command).await,
        UserCommand::Payout(command) => payout::run(context, command).await,
        UserCommand::Key(command) => key::run(context, command).await,
        UserCommand::Audit { limit, at } => key::audit(context, limit, &at).await,
        UserCommand::Invoke(args) => invoke::run(context, args).await,
        UserCommand::Attest(AttestCommand::Verify(args)) => attest::verify(context, args).await,
        UserCommand::Attest(AttestCommand::Inspect { document }) => {
            attest::inspect(context, &document)
        }
        // Its result may be a failure that is no error.
        UserCommand::Attest(AttestCommand::Conformance(args)) => {
            return conformance::conformance(context, args).await;
        }
        UserCommand::Attest(AttestCommand::Respond(args)) => conformance::respond(args).await,
        UserCommand::Receipt(ReceiptCommand::Verify(args)) => receipt::verify(context, args),
        UserCommand::Proxy(args) => proxy::run(context, args).await,
        UserCommand::Watch(args) => crate::watch::run(context, *args).await,
        // Its result may be a failure that is no error.
        UserCommand::Doctor(args) => return doctor::run(context, &args),
    }?;
    Ok(ExitCode::SUCCESS)
}
