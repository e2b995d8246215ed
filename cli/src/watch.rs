//! `nacre watch`: what nodes answer, slot by slot; and the kept evidence, checked again.

use nacre_uptime::cli::{self, Login, Verified, Verify, Watch};

use crate::args::TrustArgs;
use crate::commands::Context;
use crate::error::CliError;

mod chain;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct WatchArgs {
    #[command(subcommand)]
    command: Option<WatchCommand>,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    oracle: chain::OracleArgs,
    #[command(flatten)]
    trust: TrustArgs,
}

#[derive(Debug, clap::Subcommand)]
enum WatchCommand {
    /// Check kept evidence again, off line.
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    verify: Verify,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Watches until it is told to stop, or checks evidence.
pub(crate) async fn run(context: &Context, args: WatchArgs) -> Result<(), CliError> {
    match args.command {
        Some(WatchCommand::Verify(args)) => verify(context, &args),
        None => watch(context, &args).await,
    }
}

async fn watch(context: &Context, args: &WatchArgs) -> Result<(), CliError> {
    let login = context.login_unless(args.watch.is_complete())?;
    let profile = login.as_ref().map(|(_, profile)| profile);
    let trust = args.trust.resolve(&context.home, profile)?;
    let login = login.as_ref().map(|(_, profile)| Login {
        url: profile.url.clone(),
        key: profile.key.clone(),
    });
    let chain = args.oracle.chain()?;
    Ok(cli::run(&args.watch, trust, login, chain, context.output.json).await?)
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<(), CliError> {
    let profile = context.home.profile(context.profile.as_deref()).ok();
    let profile = profile.as_ref().map(|(_, profile)| profile);
    let trust = args.trust.resolve(&context.home, profile)?;
    let verified = cli::verify(&args.verify, &trust)?;
    context.output.result(&verified, |verified| {
        let lines: Vec<_> = verified.iter().map(line).collect();
        lines.join("\n")
    })
}

fn line(record: &Verified) -> String {
    let nonce = match (&record.function, record.own_nonce) {
        (_, true) => "the watcher's own nonce",
        (Some(_), false) => "nonce not checked: no salt given",
        (None, false) => "lived; nonce not checked: no salt given",
    };
    let function = record.function.as_deref().unwrap_or("health");
    format!(
        "slot {} · {} · {} · {function} · {nonce}",
        record.slot.0, record.node, record.boot_id
    )
}
