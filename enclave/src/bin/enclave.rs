//! `nacre-enclave`: the supervisor inside the enclave.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser};
use nacre_enclave::boot::boot;
use nacre_enclave::config::{Config, DEFAULT_MAX_BODY, Limits};
use nacre_enclave::functions::WorkerSettings;
use nacre_enclave::program::{self, Ending, Mode, Place, Refusal};
use nacre_transport::Address;

/// Port of the control channel in a Nitro Enclave.
const CONTROL_PORT: u32 = 7001;

/// The program inside the enclave.
#[derive(Debug, Parser)]
#[command(name = "nacre-enclave", version)]
struct Arguments {
    #[command(subcommand)]
    mode: Mode<Common, ProcessOnly>,
}

#[derive(Debug, Args)]
struct Common {
    /// The nacre-worker program
    #[arg(long, value_name = "FILE")]
    worker: PathBuf,
    /// libonnxruntime.so
    #[arg(long, value_name = "FILE")]
    onnxruntime: PathBuf,
    /// Bytes that models and workers may hold together
    #[arg(long, value_name = "BYTES")]
    memory: u64,
    /// Largest request body in bytes
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_MAX_BODY)]
    max_body: usize,
}

/// In a Nitro Enclave the control channel is vsock port 7001.
#[derive(Debug, Args)]
struct ProcessOnly {
    /// Where the host comes in: unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    control: Address,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    program::run(|| async {
        let listening = |_: &Common, only: &ProcessOnly| vec![only.control.clone()];
        let (place, common, only) = arguments.mode.place("nacre-enclave", listening)?;
        let control = only.map_or_else(|| program::vsock(CONTROL_PORT), |only| only.control);
        serve(place, common, control).await
    })
}

async fn serve(place: Place, common: Common, control: Address) -> Result<(), Refusal> {
    let ending = Ending::prepare(&place)?;
    let config = config(common, place.tls, control, place.production);
    let enclave = boot(place.nsm, config).await?;
    tracing::info!(tls = %enclave.tls_address(), control = %enclave.control_address(), "listening");
    ending.ready_until().await;
    enclave.stop().await;
    Ok(())
}

fn config(common: Common, tls: Address, control: Address, production: bool) -> Config {
    let max_body = common.max_body;
    // Inside an enclave nobody else is there; a developer's machine may run several of these processes.
    let first_slot = if production {
        0
    } else {
        std::process::id() % 10_000 * 1_000
    };
    Config {
        tls,
        control,
        memory: common.memory,
        workers: WorkerSettings {
            worker_bin: common.worker,
            onnxruntime: common.onnxruntime,
            max_output_bytes: max_body as u64,
            first_slot,
            require_full_isolation: production,
        },
        limits: Limits {
            max_body,
            body_memory: max_body.saturating_mul(4),
            ..Limits::default()
        },
    }
}
