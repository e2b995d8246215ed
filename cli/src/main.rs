//! `nacre`: one binary for the developer, the operator and a whole platform on one machine.

use std::process::ExitCode;

use clap::Parser as _;
use nacre_telemetry::log::{self, LogFormat};
use tracing::Instrument as _;

mod api;
mod args;
mod bundle_dir;
mod commands;
mod dev;
mod error;
mod names;
mod output;
mod profile;
mod trust;
mod watch;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return not_run(&error),
    };
    // Who asked for JSON lines in the log gets the last one in JSON too.
    let json = args.json || args.log.log_format == LogFormat::Json;
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&error.into(), json),
    };
    let telemetry = {
        let _inside = runtime.enter();
        log::start(args.command.process(), args.log, args.filter())
    };
    let span = args.command.span();
    let done = runtime.block_on(commands::run(args).instrument(span));
    telemetry.end();
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
