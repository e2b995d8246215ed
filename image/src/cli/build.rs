//! `nacre image build` and `nacre image update-locks`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::build::{BuildError, Built, Options, Prebuilt, build};
use crate::cache::{Cache, write};
use crate::cli::print;
use crate::debian::{self, Lock};
use crate::error::ImageError;

/// Arguments of `nacre image build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Where to write the image.
    #[arg(long, short, value_name = "FILE", default_value = "nacre.eif")]
    pub output: PathBuf,
    /// The workspace with Nacre's crates (default: the one around the current folder).
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// nacre-enclave, built before.
    #[arg(long, value_name = "FILE")]
    pub enclave: Option<PathBuf>,
    /// nacre-worker, built before.
    #[arg(long, value_name = "FILE")]
    pub worker: Option<PathBuf>,
    /// nacre-init, built before and static.
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// libonnxruntime.so (`make setup` brings one).
    #[arg(long, value_name = "FILE", env = "NACRE_ONNXRUNTIME")]
    pub onnxruntime: Option<PathBuf>,
    /// What the enclave may connect to, one name:port a line (default: nothing). It is measured.
    #[arg(long, value_name = "FILE")]
    pub egress: Option<PathBuf>,
    /// How many compilers run at once (default: as many as there are processors).
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Take the newest signed Debian packages and write the workspace's lock files anew first. PCRs change.
    #[arg(long)]
    pub update_locks: bool,
}

/// Arguments of `nacre image update-locks`.
#[derive(Debug, Args)]
pub struct UpdateLocksArgs {
    /// The workspace with Nacre's crates (default: the one around the current folder).
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Only these: kernel, toolchain, userland, qemu (default: all).
    pub names: Vec<LockName>,
}

/// A lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LockName {
    /// The kernel's source.
    Kernel,
    /// The compiler.
    Toolchain,
    /// The libraries in the image.
    Userland,
    /// The emulator's QEMU.
    Qemu,
}

pub(crate) fn run(args: &BuildArgs, json: bool) -> Result<ExitCode, ImageError> {
    let workspace = workspace(args.workspace.as_deref())?;
    let cache = cache(json)?;
    let locks = if args.update_locks {
        update(&cache, &workspace, &[LockName::Kernel, LockName::Toolchain, LockName::Userland])?;
        Locks::of_workspace(&workspace)?
    } else {
        Locks::of_workspace(&workspace)?
    };
    let options = Options {
        workspace,
        output: args.output.clone(),
        prebuilt: Prebuilt {
            enclave: args.enclave.clone(),
            worker: args.worker.clone(),
            init: args.init.clone(),
        },
        onnxruntime: args.onnxruntime.clone(),
        egress: args.egress.clone(),
        jobs: args.jobs.map_or_else(processors, usize::from),
    };
    let built = build(&options, &cache)?;
    print(&if json { to_json(&built)? } else { lines(&built) })?;
    Ok(ExitCode::SUCCESS)
}
