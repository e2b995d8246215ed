//! The real image in an emulated machine (`nacre emulate`), which plays hypervisor and `nitro-cli`. For development: its
//! NSM signs under a development root, and nothing protects its memory from this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use nacre_protocol::vsock::{CONTROL_PORT, EGRESS_PORT, EXIT_STATUS_PORT, TLS_PORT};
use nacre_transport::Address;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use super::child::{Environment, ManagedChild};
use super::image::CheckedImage;
use super::init_status::StatusListener;
use super::process::options;
use super::{HowEnded, LaunchError, LaunchedImage, Launcher, RunningEnclave, runtime_dir};

/// The emulator's name in messages.
const EMULATOR: &str = "emulator";

/// What an emulated enclave needs. Paths are absolute.
#[derive(Debug, Clone)]
pub struct EmulatorConfig {
    /// Program and leading arguments of the emulator.
    pub emulator: Vec<OsString>,
    /// The image.
    pub eif: PathBuf,
    /// Where the emulated NSM keeps its development PKI.
    pub pki_dir: PathBuf,
    /// How long the emulated NSM takes for an attestation, in milliseconds.
    pub nsm_latency_ms: u64,
    /// The machine's memory in bytes.
    pub memory_bytes: u64,
    /// Its processors.
    pub cpus: u32,
    /// Its context id; the emulator's own choice if there is none.
    pub cid: Option<u32>,
    /// Whether its measurements are zero, as in a Nitro Enclave's debug mode.
    pub debug_mode: bool,
    /// An unpacked QEMU; the emulator finds or fetches one if there is none.
    pub qemu: Option<PathBuf>,
    /// Faults to inject.
    pub faults: Option<PathBuf>,
    /// Begins the names of the runtime directories; no other living node has the same.
    pub dir_prefix: String,
    /// How long the machine may take until its init says that it runs, after two boots in a row that failed. The first
    /// has a quarter of it and the second a half: a boot that stalls is tried again soon, and a host that is only slow
    /// gets the whole time in the end.
    pub boot_within: Duration,
    /// How long all of it may take, the fetching of a QEMU included.
    pub ready_within: Duration,
}

/// Boots enclaves in an emulated machine.
#[derive(Debug)]
pub struct EmulatorLauncher {
    config: EmulatorConfig,
    /// Boots that failed since the last one that did not.
    failed: AtomicU32,
}

impl EmulatorLauncher {
    /// Sweeps what a killed predecessor left behind.
    pub fn new(config: EmulatorConfig) -> Self {
        runtime_dir::remove_stale(&config.dir_prefix);
        Self {
            config,
            failed: AtomicU32::new(0),
        }
    }

    /// How long the next boot may take.
    fn patience(&self) -> Duration {
        let whole = self.config.boot_within;
        match self.failed.load(Ordering::Relaxed) {
            0 => whole / 4,
            1 => whole / 2,
            _ => whole,
        }
    }

    fn command(&self, socket: &Path) -> (PathBuf, Vec<OsString>) {
        let config = &self.config;
        let mut words = config.emulator.iter().cloned();
        let program = words.next().unwrap_or_default().into();
        let mut arguments: Vec<OsString> = words.collect();
        arguments.extend(options([
            ("--eif", config.eif.clone().into()),
            ("--vsock", socket.into()),
            ("--pki-dir", config.pki_dir.clone().into()),
            ("--nsm-latency-ms", config.nsm_latency_ms.to_string().into()),
            ("--memory", format!("{}B", config.memory_bytes).into()),
            ("--cpus", config.cpus.to_string().into()),
            (
                "--boot-within",
                format!("{}ms", self.patience().as_millis()).into(),
            ),
        ]));
        let cid = config.cid.map(|cid| cid.to_string().into());
        for (name, value) in [
            ("--cid", cid),
            ("--qemu", config.qemu.clone().map(OsString::from)),
            ("--faults", config.faults.clone().map(OsString::from)),
        ] {
            arguments.extend(value.into_iter().flat_map(|value| options([(name, value)])));
        }
        if config.debug_mode {
            arguments.push("--debug-mode".into());
        }
        arguments.push("--exit-on-stdin-eof".into());
        (program, arguments)
    }

    async fn boot(&self) -> Result<EmulatedEnclave, LaunchError> {
        let limit = self.config.ready_within;
        let deadline = Instant::now() + limit;
        let image = CheckedImage::open(&self.config.eif, self.config.debug_mode).await?;
        let directory =
            runtime_dir::create(&self.config.dir_prefix).map_err(LaunchError::RuntimeDir)?;
        let socket = directory.path().join("v.sock");
        let port = |port| Address::Hybrid {
            socket: socket.clone(),
            port,
        };
        // One machine's own socket: whoever speaks there is this guest.
        let (_, any_guest) = watch::channel(None);
        let status = StatusListener::bind(&port(EXIT_STATUS_PORT), any_guest).await?;
        let (program, arguments) = self.command(&socket);
        let mut emulator = ManagedChild::spawn(
            EMULATOR,
            &program,
            &arguments,
            directory.path(),
            Environment::Inherited,
        )?;
        emulator.ready(deadline, limit).await?;
        Ok(EmulatedEnclave {
            tls: port(TLS_PORT),
            control: port(CONTROL_PORT),
            egress: port(EGRESS_PORT),
            image: image.launched,
            emulator,
            status,
            directory,
        })
    }
}

impl Launcher for EmulatorLauncher {
    fn kind(&self) -> &'static str {
        "emulator"
    }

    async fn launch(&self) -> Result<Box<dyn RunningEnclave>, LaunchError> {
        let booted = self.boot().await;
        match &booted {
            Ok(_) => self.failed.store(0, Ordering::Relaxed),
            Err(_) => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
        }
        Ok(Box::new(booted?))
    }
}

#[derive(Debug)]
struct EmulatedEnclave {
    tls: Address,
    control: Address,
    egress: Address,
    image: Arc<LaunchedImage>,
    // Dropped in this order.
    emulator: ManagedChild,
    status: StatusListener,
    directory: TempDir,
}

impl RunningEnclave for EmulatedEnclave {
    fn tls(&self) -> &Address {
        &self.tls
    }

    fn control(&self) -> &Address {
        &self.control
    }

    fn egress(&self) -> Option<&Address> {
        Some(&self.egress)
    }

    fn image(&self) -> Option<&Arc<LaunchedImage>> {
        Some(&self.image)
    }

    fn ended(&mut self) -> BoxFuture<'_, HowEnded> {
        Box::pin(async move {
            let status = self.emulator.exited().await;
            HowEnded {
                init: self.status.last_words().await,
                ..HowEnded::process(EMULATOR, status)
            }
        })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.emulator.stop().await;
            drop(self.status);
            if let Err(error) = self.directory.close() {
                tracing::warn!(%error, "the enclave's runtime directory stays behind");
            }
        })
    }
}
