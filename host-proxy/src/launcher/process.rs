//! Process mode: the enclave program as a child process, with an NSM emulator beside it. For development: nothing
//! protects its memory from this machine, and its evidence chains to a development root.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use nacre_transport::Address;
use tempfile::TempDir;
use tokio::time::Instant;

use super::child::{Environment, ManagedChild};
use super::{HowEnded, LaunchError, Launcher, RunningEnclave, runtime_dir};
use crate::egress::EgressArgs;

/// What process mode needs. Paths are absolute.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// Program and leading arguments of the NSM emulator.
    pub nsm_emulator: Vec<OsString>,
    /// Where the emulator keeps its development PKI.
    pub pki_dir: PathBuf,
    /// How long the emulator takes for an attestation, in milliseconds.
    pub nsm_latency_ms: u64,
    /// The enclave program.
    pub enclave: PathBuf,
    /// The worker program.
    pub worker: PathBuf,
    /// The ONNX Runtime library.
    pub onnxruntime: PathBuf,
    /// Bytes of blobs and workers that the enclave may hold.
    pub memory_bytes: u64,
    /// Begins the names of the runtime directories; no other living node has the same.
    pub dir_prefix: String,
    /// What the enclave is told about its way out. Paths are absolute.
    pub egress: EgressArgs,
    /// How long a boot may take until the enclave is ready.
    pub ready_within: Duration,
}

/// Boots enclaves as child processes.
#[derive(Debug)]
pub struct ProcessLauncher {
    config: ProcessConfig,
}

impl ProcessLauncher {
    /// Sweeps what a killed predecessor left behind.
    pub fn new(config: ProcessConfig) -> Self {
        runtime_dir::remove_stale(&config.dir_prefix);
        Self { config }
    }

    fn emulator_command(&self, socket: &Path) -> (PathBuf, Vec<OsString>) {
        let config = &self.config;
        let mut words = config.nsm_emulator.iter().cloned();
        let program = words.next().unwrap_or_default().into();
        let mut arguments: Vec<OsString> = words.collect();
        arguments.extend(options([
            ("--socket", socket.into()),
            ("--pki-dir", config.pki_dir.clone().into()),
            ("--measure-enclave", config.enclave.clone().into()),
            ("--measure-worker", config.worker.clone().into()),
            ("--measure-onnxruntime", config.onnxruntime.clone().into()),
            ("--latency-ms", config.nsm_latency_ms.to_string().into()),
        ]));
        arguments.push("--exit-on-stdin-eof".into());
        (program, arguments)
    }

    fn enclave_arguments(
        &self,
        nsm: &Path,
        tls: &Address,
        control: &Address,
        egress: &Address,
    ) -> Vec<OsString> {
        let config = &self.config;
        let mut arguments = vec![OsString::from("process")];
        arguments.extend(options([
            ("--nsm-socket", nsm.into()),
            ("--tls", tls.to_string().into()),
            ("--control", control.to_string().into()),
            ("--worker", config.worker.clone().into()),
            ("--onnxruntime", config.onnxruntime.clone().into()),
            ("--memory", config.memory_bytes.to_string().into()),
        ]));
        arguments.extend(config.egress.for_process(egress));
        arguments
    }

    async fn boot(&self) -> Result<ProcessEnclave, LaunchError> {
        let limit = self.config.ready_within;
        let deadline = Instant::now() + limit;
        let directory =
            runtime_dir::create(&self.config.dir_prefix).map_err(LaunchError::RuntimeDir)?;
        let path = |name: &str| directory.path().join(name);
        let nsm_socket = path("nsm.sock");
        let (program, arguments) = self.emulator_command(&nsm_socket);
        let mut emulator = ManagedChild::spawn(
            "NSM emulator",
            &program,
            &arguments,
            directory.path(),
            Environment::Empty,
        )?;
        emulator.ready(deadline, limit).await?;

        let tls = Address::Unix(path("tls.sock"));
        let control = Address::Unix(path("control.sock"));
        let egress = Address::Unix(path("egress.sock"));
        let arguments = self.enclave_arguments(&nsm_socket, &tls, &control, &egress);
        let mut enclave = ManagedChild::spawn(
            "enclave",
            &self.config.enclave,
            &arguments,
            directory.path(),
            Environment::Empty,
        )?;
        enclave.ready(deadline, limit).await?;
        Ok(ProcessEnclave {
            tls,
            control,
            egress,
            enclave,
            emulator,
            directory,
        })
    }
}

pub(super) fn options<const N: usize>(
    pairs: [(&str, OsString); N],
) -> impl Iterator<Item = OsString> {
    pairs
        .map(|(name, value)| [name.into(), value])
        .into_iter()
        .flatten()
}

impl Launcher for ProcessLauncher {
    fn kind(&self) -> &'static str {
        "process"
    }

    async fn launch(&self) -> Result<Box<dyn RunningEnclave>, LaunchError> {
        Ok(Box::new(self.boot().await?))
    }
}

/// Both children of one boot. They live and die together: a boot has fresh NSM state.
#[derive(Debug)]
struct ProcessEnclave {
    tls: Address,
    control: Address,
    egress: Address,
    // Dropped in this order.
    enclave: ManagedChild,
    emulator: ManagedChild,
    directory: TempDir,
}

impl RunningEnclave for ProcessEnclave {
    fn tls(&self) -> &Address {
        &self.tls
    }

    fn control(&self) -> &Address {
        &self.control
    }

    fn egress(&self) -> Option<&Address> {
        Some(&self.egress)
    }

    fn ended(&mut self) -> BoxFuture<'_, HowEnded> {
        let (enclave, emulator) = (self.enclave.name(), self.emulator.name());
        Box::pin(async move {
            let (name, status) = tokio::select! {
                status = self.enclave.exited() => (enclave, status),
                status = self.emulator.exited() => (emulator, status),
            };
            HowEnded::process(name, status)
        })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            tokio::join!(self.enclave.stop(), self.emulator.stop());
            if let Err(error) = self.directory.close() {
                tracing::warn!(%error, "the enclave's runtime directory stays behind");
            }
        })
    }
}
