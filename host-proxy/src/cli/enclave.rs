//! Which launcher a node has, by the options it was given.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nacre_protocol::manifest::Timeout;

use super::Programs;
use super::args::{EnclaveKind, RunArgs};
use crate::data::NodeIdentity;
use crate::launcher::{
    EmulatorConfig, EmulatorLauncher, LaunchError, Launcher, NitroConfig, NitroLauncher,
    ProcessConfig, ProcessLauncher, RunningEnclave,
};
use crate::proxy::Exposure;

/// Memory for models and workers of a process enclave.
const PROCESS_MEMORY: u64 = 2 << 30;

/// Memory of an emulated machine.
const EMULATOR_MEMORY: u64 = 512 << 20;
/// Processors of one, or of a Nitro Enclave: there one core.
const CPUS: u32 = 2;
/// How much longer the emulator may take in all: the first time it fetches a QEMU.
const EMULATOR_FETCH: Duration = Duration::from_secs(300);

impl EnclaveKind {
    /// Who may be able to connect to such a node.
    pub(super) fn exposure(self) -> Exposure {
        match self {
            Self::Process | Self::Emulator => Exposure::LoopbackOnly,
            Self::Nitro => Exposure::Public,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Emulator => "emulator",
            Self::Nitro => "nitro",
        }
    }
}

/// How long the enclave may take until it runs, and once it runs until it answers on its control channel: the program
/// inside has its libraries to load, and an emulated processor is slow.
pub(super) fn boot_within(args: &RunArgs) -> Duration {
    let usual = match args.enclave {
        EnclaveKind::Process => 30,
        EnclaveKind::Emulator => 120,
        EnclaveKind::Nitro => 60,
    };
    args.boot_within
        .map_or(Duration::from_secs(usual), Timeout::duration)
}

/// An emulated enclave's documents chain to a development root, which somebody who trusts this machine's policy would
/// accept from it: it is shown to this machine only. (Process mode says so itself, when it listens.)
pub(super) fn check_exposure(args: &RunArgs) -> anyhow::Result<()> {
    if args.enclave == EnclaveKind::Emulator && !args.listen.ip().to_canonical().is_loopback() {
        bail!(
            "emulator-loopback-only: an emulated enclave attests to a development root, so it listens on loopback only, not on {}",
            args.listen
        );
    }
    Ok(())
}

/// The launcher that the options ask for.
pub(super) fn launcher(
    args: &RunArgs,
    identity: &NodeIdentity,
    programs: Programs,
) -> anyhow::Result<AnyLauncher> {
    refuse_what_does_not_fit(args.enclave, args)?;
    let context = Context { args, identity };
    match args.enclave {
        EnclaveKind::Process => Ok(AnyLauncher::Process(ProcessLauncher::new(
            context.process(programs)?,
        ))),
        EnclaveKind::Emulator => Ok(AnyLauncher::Emulator(EmulatorLauncher::new(
            context.emulator(programs)?,
        ))),
        EnclaveKind::Nitro => Ok(AnyLauncher::Nitro(NitroLauncher::new(context.nitro()?))),
    }
}

fn refuse_what_does_not_fit(kind: EnclaveKind, args: &RunArgs) -> anyhow::Result<()> {
    use EnclaveKind::{Emulator, Nitro, Process};
    let (options, egress) = (&args.options, &args.egress);
    let image: &[EnclaveKind] = &[Emulator, Nitro];
    let dev: &[EnclaveKind] = &[Process, Emulator];
    let given = [
        ("--eif", options.eif.is_some(), image),
        ("--cpus", options.cpus.is_some(), image),
        ("--cid", options.cid.is_some(), image),
        ("--debug-mode", options.debug_mode, image),
        ("--enclave-bin", options.enclave_bin.is_some(), &[Process]),
        ("--worker-bin", options.worker_bin.is_some(), &[Process]),
        ("--onnxruntime", options.onnxruntime.is_some(), &[Process]),
        ("--pki-dir", options.pki_dir.is_some(), dev),
        ("--nsm-latency-ms", options.nsm_latency_ms.is_some(), dev),
        ("--qemu", options.qemu.is_some(), &[Emulator]),
        ("--egress-allow", egress.egress_allow.is_some(), &[Process]),
        ("--egress-root", egress.egress_root.is_some(), &[Process]),
        ("--faults", options.faults.is_some(), &[Emulator]),
    ];
    for (option, given, kinds) in given {
        if given && !kinds.contains(&kind) {
            bail!(
                "option-does-not-fit: {option} means nothing with --enclave {}",
                kind.name()
            );
        }
    }
    Ok(())
}

struct Context<'a> {
    args: &'a RunArgs,
    identity: &'a NodeIdentity,
}

impl Context<'_> {
    fn process(&self, programs: Programs) -> anyhow::Result<ProcessConfig> {
        let options = &self.args.options;
        let beside = |given: &Option<PathBuf>, name: &str| match given {
            Some(path) => existing(path),
            None => {
                let own = std::env::current_exe().context("where this program is")?;
                existing(&own.with_file_name(name))
            }
        };
        // Not read by the command line's parser: a variable that is set for other commands must not be an option that
        // does not fit.
        let onnxruntime = (options.onnxruntime.clone())
            .or_else(|| std::env::var_os("NACRE_ONNXRUNTIME").map(PathBuf::from))
            .context("--enclave process needs --onnxruntime or NACRE_ONNXRUNTIME")?;
        Ok(ProcessConfig {
            nsm_emulator: programs.nsm_emulator,
            pki_dir: self.pki_dir()?,
            nsm_latency_ms: options.nsm_latency_ms.unwrap_or(0),
            enclave: beside(&options.enclave_bin, "nacre-enclave")?,
            worker: beside(&options.worker_bin, "nacre-worker")?,
            onnxruntime: existing(&onnxruntime)?,
            memory_bytes: options.memory.map_or(PROCESS_MEMORY, |size| size.bytes()),
            dir_prefix: self.dir_prefix(),
            egress: self.args.egress.absolute()?,
            ready_within: boot_within(self.args),
        })
    }

    fn emulator(&self, programs: Programs) -> anyhow::Result<EmulatorConfig> {
        let options = &self.args.options;
        let absolute =
            |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
        Ok(EmulatorConfig {
            emulator: programs.emulator,
            eif: self.eif()?,
            pki_dir: self.pki_dir()?,
            nsm_latency_ms: options.nsm_latency_ms.unwrap_or(0),
            memory_bytes: options.memory.map_or(EMULATOR_MEMORY, |size| size.bytes()),
            cpus: options.cpus.unwrap_or(CPUS),
            cid: options.cid,
            debug_mode: options.debug_mode,
            qemu: absolute(&options.qemu)?,
            faults: options.faults.as_deref().map(existing).transpose()?,
            dir_prefix: self.dir_prefix(),
            boot_within: boot_within(self.args),
            ready_within: boot_within(self.args) + EMULATOR_FETCH,
        })
    }

    fn nitro(&self) -> anyhow::Result<NitroConfig> {
        let options = &self.args.options;
        Ok(NitroConfig {
            eif: self.eif()?,
            memory_bytes: options.memory.map(|size| size.bytes()),
            cpus: options.cpus.unwrap_or(CPUS),
            cid: options.cid,
            debug_mode: options.debug_mode,
        })
    }

    fn eif(&self) -> anyhow::Result<PathBuf> {
        let eif = self.args.options.eif.as_deref();
        existing(
            eif.with_context(|| {
                format!("--enclave {} needs --eif FILE", self.args.enclave.name())
            })?,
        )
    }

    fn pki_dir(&self) -> anyhow::Result<PathBuf> {
        let given = self.args.options.pki_dir.clone();
        let pki_dir = given.unwrap_or_else(|| self.args.data.join("nsm-pki"));
        Ok(std::path::absolute(pki_dir)?)
    }

    fn dir_prefix(&self) -> String {
        format!(
            "nacre-{}-",
            hex::encode(&self.identity.node.as_bytes()[..6])
        )
    }
}

fn existing(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.is_file() {
        bail!("{} does not exist or is no file", path.display());
    }
    Ok(std::path::absolute(path)?)
}

/// Any of the launchers.
pub(super) enum AnyLauncher {
    Process(ProcessLauncher),
    Emulator(EmulatorLauncher),
    Nitro(NitroLauncher),
}

impl Launcher for AnyLauncher {
    fn kind(&self) -> &'static str {
        match self {
            Self::Process(launcher) => launcher.kind(),
            Self::Emulator(launcher) => launcher.kind(),
            Self::Nitro(launcher) => launcher.kind(),
        }
    }

    async fn launch(&self) -> Result<Box<dyn RunningEnclave>, LaunchError> {
        match self {
            Self::Process(launcher) => launcher.launch().await,
            Self::Emulator(launcher) => launcher.launch().await,
            Self::Nitro(launcher) => launcher.launch().await,
        }
    }
}
