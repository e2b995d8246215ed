//! `nacre-emulator`: `nacre emulate` without the rest of Nacre, for those who boot other images.

use std::process::ExitCode;

use clap::Parser as _;
use nacre_emulator::emulate::{self, EmulateArgs};

/// Boots enclave images without AWS.
#[derive(Debug, clap::Parser)]
#[command(name = "nacre-emulator", version)]
struct Args {
    #[command(flatten)]
    emulate: EmulateArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("NACRE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error} (system)");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(emulate::run(args.emulate));
    // A blocking reader of standard input would otherwise hold the process open.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error} ({})", error.code());
            ExitCode::FAILURE
        }
    }
}
