//! `nacre nsm-emulator`: the arguments and the main loop.

use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use nacre_telemetry::endpoint::MetricsArgs;
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::emulate::watch;
use crate::faults::{Faults, Served, Watched};
use crate::measure::measure_process;
use crate::nsm::{BootPcrs, Nsm, NsmConfig, Pcr};
use crate::pki::{InstanceIdentity, store};
use crate::socket::{Options, Socket, system_clock};

/// Emulates a Nitro Secure Module on a Unix socket, with a development PKI.
///
/// Prints the line "ready" when it listens. Its documents chain to a development root, which no
/// verifier trusts unless it is told to.
#[derive(Clone, Debug, clap::Args)]
pub struct NsmEmulatorArgs {
    /// The Unix socket to listen on (made with mode 0600, removed at exit)
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,

    /// The folder of the development root (root.key, root.der, root.pem); made at first start
    #[arg(long, value_name = "DIR")]
    pub pki_dir: PathBuf,

    /// What PCR0, PCR1 and PCR2 are
    #[command(flatten)]
    pub measurements: MeasurementArgs,

    /// The parent instance's id, i- and 17 hex digits, which PCR4 is made from; random if absent
    #[arg(long, value_name = "ID")]
    pub instance_id: Option<String>,

    /// The parent instance's IAM role, which PCR3 is made from; zero if absent
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<String>,

    /// How long each request keeps the module busy, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub latency_ms: u64,

    /// A file of faults (TOML); read again on SIGHUP and when it changes
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,

    /// Where its numbers are read
    #[command(flatten)]
    pub metrics: MetricsArgs,

    /// Leave when standard input is closed, so that nothing outlives a parent that dies
    #[arg(long)]
    pub exit_on_stdin_eof: bool,
}

/// Either three files to measure or three registers.
#[derive(Clone, Debug, clap::Args)]
pub struct MeasurementArgs {
    /// The enclave's program, to measure
    #[arg(long, value_name = "FILE", requires_all = ["measure_worker", "measure_onnxruntime"],
          required_unless_present = "pcr0", conflicts_with_all = ["pcr0", "pcr1", "pcr2"])]
    pub measure_enclave: Option<PathBuf>,

    /// The worker's program, to measure
    #[arg(long, value_name = "FILE", requires = "measure_enclave")]
    pub measure_worker: Option<PathBuf>,

    /// The ONNX Runtime library, to measure
    #[arg(long, value_name = "FILE", requires = "measure_enclave")]
    pub measure_onnxruntime: Option<PathBuf>,

    /// PCR0, 96 hex digits; three zeros mean debug mode
    #[arg(long, value_name = "HEX", value_parser = parse_pcr, requires_all = ["pcr1", "pcr2"])]
    pub pcr0: Option<Pcr>,

    /// PCR1, 96 hex digits
    #[arg(long, value_name = "HEX", value_parser = parse_pcr, requires = "pcr0")]
    pub pcr1: Option<Pcr>,

    /// PCR2, 96 hex digits
    #[arg(long, value_name = "HEX", value_parser = parse_pcr, requires = "pcr0")]
    pub pcr2: Option<Pcr>,
}

/// Runs the emulator until SIGTERM, SIGINT or, if asked for, the end of standard input.
///
/// # Errors
///
/// When the files cannot be measured, the root cannot be loaded or the socket cannot be opened.
pub async fn run(args: NsmEmulatorArgs) -> anyhow::Result<()> {
    let stop = stop_signal(args.exit_on_stdin_eof)?;
    run_until(args, stop, io::stdout()).await
}

/// Runs the emulator until `stop` is done; `out` gets the line `ready` and nothing else.
async fn run_until(
    args: NsmEmulatorArgs,
    stop: impl Future<Output = ()>,
    mut out: impl Write,
) -> anyhow::Result<()> {
    let module = start(&args)?;
    let faults = Faults::none();
    let watched = match &args.faults {
        Some(file) => Some(Watched::open(file, faults.clone())?),
        None => None,
    };
    let served = Served::default();
    let _metrics = args.metrics.serve(served.metrics()).await?;
    let socket = Socket::bind(&args.socket)?;
    tracing::info!(module = module.module_id(), socket = %args.socket.display(), "NSM emulator, DEVELOPMENT ROOT");
    writeln!(out, "ready")
        .and_then(|()| out.flush())
        .context("cannot write to standard output")?;
    let options = Options {
        latency: Duration::from_millis(args.latency_ms),
        faults,
        served,
        ..Options::default()
    };
    tokio::select! {
        served = socket.serve(module, options, stop) => served.context("cannot accept connections"),
        () = watch(watched) => Ok(()),
    }
}

fn start(args: &NsmEmulatorArgs) -> anyhow::Result<Nsm> {
    let mut rng = StdRng::try_from_rng(&mut SysRng).context("the system gives no randomness")?;
    let now_ms = system_clock();
    let root = store::load_or_create(&args.pki_dir, &mut rng, now_ms)?;
    let identity = match &args.instance_id {
        Some(id) => InstanceIdentity::on_instance(id, &mut rng, now_ms)?,
        None => InstanceIdentity::random(&mut rng, now_ms),
    };
    let mut pcrs =
        BootPcrs::of_image(args.measurements.registers()?).with_instance(identity.instance_id());
    if let Some(arn) = &args.role_arn {
        pcrs = pcrs.with_role(arn);
    }
    Ok(Nsm::new(NsmConfig { identity, pcrs }, root, rng, now_ms)?)
}

impl MeasurementArgs {
    /// PCR0, PCR1 and PCR2, measured if need be.
    ///
    /// # Errors
    ///
    /// When a file cannot be measured, or neither three files nor three registers are given.
    pub fn registers(&self) -> anyhow::Result<[Pcr; 3]> {
        if let (Some(enclave), Some(worker), Some(library)) = (
            &self.measure_enclave,
            &self.measure_worker,
            &self.measure_onnxruntime,
        ) {
            return Ok(measure_process(enclave, worker, library)?);
        }
        match (self.pcr0, self.pcr1, self.pcr2) {
            (Some(pcr0), Some(pcr1), Some(pcr2)) => Ok([pcr0, pcr1, pcr2]),
            _ => anyhow::bail!("give three files to measure or --pcr0, --pcr1 and --pcr2"),
        }
    }
}

fn parse_pcr(text: &str) -> Result<Pcr, String> {
    let mut pcr = [0; 48];
    hex::decode_to_slice(text, &mut pcr).map_err(|_| "expected 96 hex digits".to_owned())?;
    Ok(pcr)
}

/// Becomes ready when the process shall end. Installed before anything is made, so that no signal is missed.
pub(crate) fn stop_signal(with_stdin: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let (at_eof, eof) = oneshot::channel();
    let mut keep_open = None;
    if with_stdin {
        // A thread of its own: the runtime would wait at its end for a read that may never return.
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                drain_stdin();
                let _ = at_eof.send(());
            })
            .context("cannot start a thread")?;
    } else {
        keep_open = Some(at_eof);
    }
    Ok(async move {
        let _keep_open = keep_open;
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: leaving"),
            _ = interrupt.recv() => tracing::info!("SIGINT: leaving"),
            _ = eof => tracing::info!("standard input closed: leaving"),
        }
    })
}

/// Reads standard input to its end, or to its first error.
fn drain_stdin() {
    let mut buffer = [0; 1024];
    let mut stdin = io::stdin().lock();
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests;
