//! `nacre-enclave`: the supervisor inside the enclave.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use nacre_enclave::boot::{RunningEnclave, boot};
use nacre_enclave::config::{Config, DEFAULT_MAX_BODY, Limits};
use nacre_enclave::functions::WorkerSettings;
use nacre_enclave::nsm::{Device, NsmHandle};
use nacre_transport::{Address, VSOCK_CID_ANY};
use tokio::signal::unix::{SignalKind, signal};

/// Port of the public TLS listener in a Nitro Enclave.
const TLS_PORT: u32 = 443;
/// Port of the control channel in a Nitro Enclave.
const CONTROL_PORT: u32 = 7001;

/// The program inside the enclave.
#[derive(Debug, Parser)]
#[command(name = "nacre-enclave", version)]
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Run inside a Nitro Enclave: /dev/nsm, and vsock ports 443 (TLS) and 7001 (control)
    Nitro(Common),
    /// Run as a plain process beside the NSM emulator. No enclave protects it
    #[cfg(feature = "process-mode")]
    Process(ProcessArguments),
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

#[cfg(feature = "process-mode")]
#[derive(Debug, Args)]
struct ProcessArguments {
    /// Socket of the NSM emulator
    #[arg(long, value_name = "PATH")]
    nsm_socket: PathBuf,
    /// Where callers come in: unix:PATH or tcp://127.0.0.1:PORT
    #[arg(long, value_name = "ADDRESS")]
    tls: Address,
    /// Where the host comes in: unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    control: Address,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr();
    match run(arguments.mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            // Standard error is the one place that a parent looks at when this program ends.
            tracing::error!(code = refusal.code, "{}", refusal.message);
            ExitCode::FAILURE
        }
    }
}

/// Why the program ended, with a stable code.
struct Refusal {
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl ToString) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }
}

fn run(mode: Mode) -> Result<(), Refusal> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Refusal::new("threads-unavailable", error))?;
    runtime.block_on(async {
        match mode {
            Mode::Nitro(common) => nitro(common).await,
            #[cfg(feature = "process-mode")]
            Mode::Process(arguments) => process(arguments).await,
        }
    })
}

async fn nitro(common: Common) -> Result<(), Refusal> {
    let device = Device::open().map_err(|error| Refusal::new("nsm-unavailable", error))?;
    let nsm =
        NsmHandle::start(device).map_err(|error| Refusal::new("threads-unavailable", error))?;
    let vsock = |port| Address::Vsock {
        cid: VSOCK_CID_ANY,
        port,
    };
    let config = config(common, vsock(TLS_PORT), vsock(CONTROL_PORT), true);
    let enclave = boot(nsm, config)
        .await
        .map_err(|error| Refusal::new(error.code(), error))?;
    serve(enclave, std::future::pending()).await
}

#[cfg(feature = "process-mode")]
async fn process(arguments: ProcessArguments) -> Result<(), Refusal> {
    use nacre_enclave::nsm::{DEVICE, EmulatorSocket};

    tracing::warn!("PROCESS MODE: no enclave protects this process");
    if std::path::Path::new(DEVICE).exists() {
        let message = format!("{DEVICE} is here: inside an enclave, run `nacre-enclave nitro`");
        return Err(Refusal::new("process-mode-inside-enclave", message));
    }
    for address in [&arguments.tls, &arguments.control] {
        if !address.is_loopback() {
            let message =
                format!("process mode listens on Unix sockets and loopback only, not on {address}");
            return Err(Refusal::new("process-mode-loopback-only", message));
        }
    }
    let emulator = EmulatorSocket::new(arguments.nsm_socket);
    let nsm =
        NsmHandle::start(emulator).map_err(|error| Refusal::new("threads-unavailable", error))?;
    let config = config(arguments.common, arguments.tls, arguments.control, false);
    let enclave = boot(nsm, config)
        .await
        .map_err(|error| Refusal::new(error.code(), error))?;
    serve(enclave, stdin_closed()).await
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

/// Says `ready`, and serves until `parent_gone` or a signal to end.
async fn serve(
    enclave: RunningEnclave,
    parent_gone: impl Future<Output = ()>,
) -> Result<(), Refusal> {
    let unavailable = |error: std::io::Error| Refusal::new("signals-unavailable", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(unavailable)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unavailable)?;
    tracing::info!(tls = %enclave.tls_address(), control = %enclave.control_address(), "listening");
    // Whoever does not read its child's output has not waited for it either.
    let _ = writeln!(std::io::stdout(), "ready");
    tokio::select! {
        _ = terminate.recv() => tracing::info!("told to end"),
        _ = interrupt.recv() => tracing::info!("interrupted"),
        () = parent_gone => tracing::info!("the parent has gone"),
    }
    enclave.stop().await;
    Ok(())
}

/// Waits for the end of standard input, on a thread that nobody waits for.
#[cfg(feature = "process-mode")]
async fn stdin_closed() {
    use std::io::Read as _;

    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut ignored = [0; 256];
        while matches!(stdin.read(&mut ignored), Ok(1..)) {}
        let _ = closed.send(());
    });
    let _ = wait.await;
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .init();
}
