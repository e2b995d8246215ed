//! `nacre`: one binary for the developer, the operator and a whole platform on one machine.

use std::process::ExitCode;

use clap::Parser as _;

mod api;
mod args;
mod bundle_dir;
mod commands;
mod dev;
mod error;
mod output;
mod profile;
mod trust;
mod watch;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return not_run(&error),
    };
    init_tracing(args.verbose);
    let json = args.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&error.into(), json),
    };
    let done = runtime.block_on(commands::run(args));
    // Blocking readers of standard input would otherwise hold the process open.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(error) => output::failure(&error, json),
    }
}

/// Help and version are what was asked for; wrong words are an error, in JSON for those who asked for JSON.
fn not_run(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|word| word == "--json");
    if !json || !error.use_stderr() {
        error.exit();
    }
    let words = error.render().to_string();
    let words = words.strip_prefix("error: ").unwrap_or(&words).trim();
    output::failure(&error::CliError::Usage(words.to_owned()), json)
}

/// Diagnostics go to standard error; results go to standard output.
fn init_tracing(verbose: bool) {
    let fallback = if verbose { "info,nacre=debug" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("NACRE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(fallback));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}
