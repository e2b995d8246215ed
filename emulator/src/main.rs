//! `nacre-emulator`: `nacre emulate` without the rest of Nacre, for those who boot other images.

use std::process::ExitCode;

use clap::Parser as _;
use nacre_emulator::emulate::{self, EmulateArgs};
use nacre_telemetry::log::{self, LogArgs};

/// Boots enclave images without AWS.
#[derive(Debug, clap::Parser)]
#[command(name = "nacre-emulator", version)]
struct Args {
    #[command(flatten)]
    emulate: EmulateArgs,
    #[command(flatten)]
    log: LogArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error} (system)");
            return ExitCode::FAILURE;
        }
    };
    let telemetry = {
        let _inside = runtime.enter();
        log::start("nacre-emulator", args.log, "warn")
    };
    let done = runtime.block_on(emulate::run(args.emulate));
    telemetry.end();
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
