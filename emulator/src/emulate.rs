//! `nacre emulate`: boots an enclave image as the hypervisor and `nitro-cli` would, and makes it go wrong when told to.

mod args;
mod error;
mod faults;

use std::io::{self, Write};

use nacre_image::cache::Cache;
use nacre_image::debian::{self, QemuDir};
use nacre_telemetry::endpoint::MetricsArgs;
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use tokio::time::timeout;

pub use args::{EmulateArgs, EmulateCommand, FaultArgs, RunArgs};
pub use error::EmulateError;
pub(crate) use faults::watch;

use crate::cli::stop_signal;
use crate::faults::{Control, Faults, FaultyNsm, Order, Served, Watched};
use crate::machine::{Clockwork, Heartbeat, LoadedImage, Machine, MachineConfig};
use crate::nsm::{Nsm, NsmConfig};
use crate::pki::{InstanceIdentity, store};
use crate::socket::system_clock;

/// Does what the command line says.
///
/// # Errors
///
/// [`EmulateError`], a variant for each thing that can go wrong.
pub async fn run(args: EmulateArgs) -> Result<(), EmulateError> {
    match (args.command, args.run) {
        (Some(EmulateCommand::Fault(args)), _) => fault(&args).await,
        (None, Some(run)) => {
            let stop = stop_signal(run.exit_on_stdin_eof).map_err(EmulateError::System)?;
            boot(run, &args.metrics, stop, io::stdout()).await
        }
        (None, None) => Err(EmulateError::NothingToDo),
    }
}

async fn fault(args: &FaultArgs) -> Result<(), EmulateError> {
    let order = match args.order()? {
        Some(fault) => Order::Add(fault),
        None => Order::Clear,
    };
    Ok(crate::faults::send(&args.control, &order).await?)
}

/// Boots the image and sees it through to its end, or until `stop` is done; `out` gets the line `ready`.
async fn boot(
    args: RunArgs,
    metrics: &MetricsArgs,
    stop: impl Future<Output = ()>,
    mut out: impl Write,
) -> Result<(), EmulateError> {
    let clockwork = Clockwork::begin();
    let faults = Faults::none();
    let watched = match &args.faults {
        Some(file) => Some(Watched::open(file, faults.clone())?),
        None => None,
    };
    let control = match &args.control {
        Some(socket) => Some(Control::bind(socket, faults.clone())?),
        None => None,
    };
    let heartbeat = match args.no_heartbeat {
        true => None,
        false => Some(Heartbeat::bind(&args.vsock)?),
    };
    let (qemu, image) = prepare(&args).await?;
    let served = Served::default();
    let metrics = metrics.serve(served.metrics()).await;
    let _metrics = metrics.map_err(|error| EmulateError::System(error.into()))?;
    let module = module(&args, &image, faults.clone())?.counting(served);
    announce(&args, &image, &module);
    let config = config(&args, qemu);
    let mut machine = Machine::start(config, image, module, clockwork).await?;
    let misbehaving = faults::follow(
        faults.clone(),
        machine.grip(),
        machine.wire(),
        watched,
        control,
    );
    let running = async {
        let booted = timeout(*args.boot_within, async {
            tokio::select! {
                biased;
                ended = machine.ended() => Err(ended.err()),
                () = beat(heartbeat) => Ok(()),
            }
        });
        match booted.await {
            Ok(Ok(())) => {}
            Ok(Err(None)) => return Err(EmulateError::EndedBeforeReady),
            Ok(Err(Some(error))) => return Err(error.into()),
            Err(_) => return Err(EmulateError::BootTimedOut(*args.boot_within)),
        }
        writeln!(out, "ready")
            .and_then(|()| out.flush())
            .map_err(|error| EmulateError::System(error.into()))?;
        Ok(machine.ended().await?)
    };
    let ended = tokio::select! {
        ended = running => ended,
        () = stop => Ok(()),
        () = misbehaving => Ok(()),
    };
    match ended {
        Err(_) if faults.enclave().killed => Err(EmulateError::KilledByFault),
        ended => ended,
    }
}

/// Without one to wait for, the machine is ready because it runs.
async fn beat(heartbeat: Option<Heartbeat>) {
    if let Some(heartbeat) = heartbeat {
        heartbeat.received().await;
    }
}

/// Finds QEMU and checks the image, at the same time.
async fn prepare(args: &RunArgs) -> Result<(QemuDir, LoadedImage), EmulateError> {
    let folder = args.qemu.clone();
    let qemu = tokio::task::spawn_blocking(move || match folder {
        Some(folder) => QemuDir::at(&folder).map_err(EmulateError::Qemu),
        None => debian::qemu(&Cache::open()?).map_err(EmulateError::Qemu),
    });
    let file = args.eif.clone();
    let image = tokio::task::spawn_blocking(move || LoadedImage::open(&file));
    let gone = |error: tokio::task::JoinError| EmulateError::System(error.into());
    let (qemu, image) = tokio::try_join!(qemu, image).map_err(gone)?;
    Ok((qemu?, image?))
}

fn module(args: &RunArgs, image: &LoadedImage, faults: Faults) -> Result<FaultyNsm, EmulateError> {
    let mut rng = StdRng::try_from_rng(&mut SysRng)
        .map_err(|error| EmulateError::System(anyhow::Error::msg(error.to_string())))?;
    let now_ms = system_clock();
    let root = store::load_or_create(&args.pki_dir, &mut rng, now_ms)?;
    let identity = match &args.instance_id {
        Some(id) => InstanceIdentity::on_instance(id, &mut rng, now_ms)?,
        None => InstanceIdentity::random(&mut rng, now_ms),
    };
    let mut pcrs = image
        .boot_pcrs(args.debug_mode)
        .with_instance(identity.instance_id());
    if let Some(arn) = &args.role_arn {
        pcrs = pcrs.with_role(arn);
    }
    let nsm = Nsm::new(NsmConfig { identity, pcrs }, root, rng, now_ms)?;
    let latency = std::time::Duration::from_millis(args.nsm_latency_ms);
    Ok(FaultyNsm::new(nsm, faults, system_clock, latency))
}

fn config(args: &RunArgs, qemu: QemuDir) -> MachineConfig {
    MachineConfig {
        qemu,
        accelerator: args.accelerator,
        memory_mib: args.memory.bytes().div_ceil(1 << 20),
        cpus: args.cpus,
        console: args.console,
        cid: args.cid.into(),
        vsock: args.vsock.clone(),
    }
}

/// Tells people what boots. Standard output is for programs.
fn announce(args: &RunArgs, image: &LoadedImage, module: &FaultyNsm) {
    let mut text = format!(
        "booting {} as {} under a DEVELOPMENT ROOT",
        args.eif.display(),
        module.nsm().module_id(),
    );
    let (accelerator, why) = args.accelerator.chosen();
    text.push_str(&format!("\naccelerator: {accelerator} ({why})"));
    if args.debug_mode {
        text.push_str("\ndebug mode: PCR0, PCR1 and PCR2 are zero");
    }
    for (index, pcr) in image.measurements().iter().enumerate() {
        text.push_str(&format!("\nPCR{index}: {}", hex::encode(pcr)));
    }
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "{text}");
}
