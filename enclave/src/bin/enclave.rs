//! `nacre-enclave`: the supervisor inside the enclave.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser};
use nacre_enclave::boot::boot;
use nacre_enclave::config::{Config, DEFAULT_MAX_BODY, Limits};
use nacre_enclave::egress::EgressSettings;
use nacre_enclave::functions::WorkerSettings;
use nacre_enclave::program::{self, Ending, Mode, Place, Refusal};
use nacre_enclave::share::{self, Share};
use nacre_protocol::vsock::CONTROL_PORT;
use nacre_transport::Address;

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
    /// Bytes that models and workers may hold together [default: inside an enclave, its share of the memory that is there]
    #[arg(long, value_name = "BYTES")]
    memory: Option<u64>,
    /// Largest request body in bytes; no more than a quarter of the share where that is the default
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_MAX_BODY)]
    max_body: usize,
}

/// In a Nitro Enclave the control channel is vsock port 7001.
#[derive(Debug, Args)]
struct ProcessOnly {
    /// Where the host comes in: unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    control: Address,
    /// The host's egress proxy: unix:PATH [default: there is no way out]
    #[arg(long, value_name = "ADDRESS")]
    egress: Option<Address>,
    /// The destinations that the enclave may connect to: one name:port a line, `#` comments. An image has its own, which
    /// is measured; this file is not [default: none]
    #[arg(long, value_name = "FILE")]
    egress_allow: Option<PathBuf>,
    /// Another root for TLS to the outside: one certificate in DER
    #[arg(long, value_name = "FILE")]
    egress_root: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    program::run(|| async {
        let listening = |_: &Common, only: &ProcessOnly| vec![only.control.clone()];
        let (place, common, only) = arguments.mode.place("nacre-enclave", listening)?;
        let (control, egress) = host_side(only)?;
        serve(place, common, control, egress).await
    })
}

/// Where the host comes in, and the way out.
#[cfg_attr(
    not(feature = "process-mode"),
    expect(unused_variables, reason = "only process mode has other addresses")
)]
fn host_side(only: Option<ProcessOnly>) -> Result<(Address, EgressSettings), Refusal> {
    let refused = |error: nacre_enclave::egress::SettingsError| Refusal::new(error.code(), error);
    #[cfg(feature = "process-mode")]
    if let Some(only) = only {
        let (allow, root) = (only.egress_allow.as_deref(), only.egress_root.as_deref());
        let egress = EgressSettings::of_process(only.egress, allow, root).map_err(refused)?;
        return Ok((only.control, egress));
    }
    let egress = EgressSettings::of_image().map_err(refused)?;
    Ok((program::vsock(CONTROL_PORT), egress))
}

async fn serve(
    place: Place,
    common: Common,
    control: Address,
    egress: EgressSettings,
) -> Result<(), Refusal> {
    let ending = Ending::prepare(&place)?;
    let share = share(&common, place.production)?;
    let config = config(common, place.tls, control, egress, place.production, share);
    let enclave = boot(place.nsm, config).await?;
    tracing::info!(tls = %enclave.tls_address(), control = %enclave.control_address(), "listening");
    ending.ready_until().await;
    enclave.stop().await;
    Ok(())
}

/// Who may have how much memory: as the arguments say, or as the machine has it.
fn share(common: &Common, production: bool) -> Result<Share, Refusal> {
    if let Some(functions) = common.memory {
        return Ok(Share {
            functions,
            max_body: common.max_body,
            body_memory: common.max_body.saturating_mul(4),
            max_connections: Limits::default().max_connections,
        });
    }
    if !production {
        let message = "beside other programs, say how much memory to take: --memory BYTES";
        return Err(Refusal::new("memory-not-given", message));
    }
    let available = share::available().map_err(|error| Refusal::new("memory-unknown", error))?;
    let share = Share::of(available, common.max_body);
    tracing::info!(available, ?share, "memory divided");
    Ok(share)
}

fn config(
    common: Common,
    tls: Address,
    control: Address,
    egress: EgressSettings,
    production: bool,
    share: Share,
) -> Config {
    // Inside an enclave nobody else is there; a developer's machine may run several of these processes.
    let first_slot = if production {
        0
    } else {
        std::process::id() % 10_000 * 1_000
    };
    Config {
        tls,
        control,
        memory: share.functions,
        workers: WorkerSettings {
            worker_bin: common.worker,
            onnxruntime: common.onnxruntime,
            max_output_bytes: share.max_body as u64,
            first_slot,
            require_full_isolation: production,
        },
        egress,
        limits: Limits {
            max_body: share.max_body,
            body_memory: share.body_memory,
            max_connections: share.max_connections,
            ..Limits::default()
        },
    }
}
