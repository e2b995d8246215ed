//! `nacre-relay`: brings enclaves' answers to the contracts that asked.

use std::process::ExitCode;

use clap::Parser as _;
use nacre_relay::cli::{Args, run};
use nacre_telemetry::log;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let telemetry = {
        let _inside = runtime.enter();
        log::start("nacre-relay", args.log, "info")
    };
    let done = runtime.block_on(run(args));
    telemetry.end();
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
