//! `nacre image build` and `nacre image update-locks`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum as _};
use serde_json::json;

use crate::build::{BuildError, Built, Options, Prebuilt, build, find_workspace};
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
    /// Only these: kernel, toolchain, rust, userland, qemu (default: all).
    pub names: Vec<LockName>,
}

/// A lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LockName {
    /// The kernel's source.
    Kernel,
    /// The C compiler.
    Toolchain,
    /// The Rust compiler.
    Rust,
    /// The libraries in the image.
    Userland,
    /// The emulator's QEMU.
    Qemu,
}

pub(crate) fn run(args: &BuildArgs, json: bool) -> Result<ExitCode, ImageError> {
    let workspace = workspace(args.workspace.as_deref())?;
    let cache = cache()?;
    if args.update_locks {
        let names = [
            LockName::Kernel,
            LockName::Toolchain,
            LockName::Rust,
            LockName::Userland,
        ];
        update(&cache, &workspace, &names)?;
    }
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
    print(&if json {
        json!(built).to_string()
    } else {
        lines(&built)
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn run_update(args: &UpdateLocksArgs, json: bool) -> Result<ExitCode, ImageError> {
    let workspace = workspace(args.workspace.as_deref())?;
    let all = LockName::value_variants();
    let names = if args.names.is_empty() {
        all
    } else {
        &args.names
    };
    let changes = update(&cache()?, &workspace, names)?;
    let text = if json {
        serde_json::Value::from_iter(changes).to_string()
    } else {
        let lines = changes
            .iter()
            .map(|(name, change)| format!("{name}: {change}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the lock files anew; gives each name and what changed.
fn update(
    cache: &Cache,
    workspace: &Path,
    names: &[LockName],
) -> Result<Vec<(String, String)>, BuildError> {
    let mut changes = Vec::new();
    for name in names {
        let name = name.as_str();
        let old = Lock::of_workspace(workspace, name)?;
        let new = debian::update(cache, &old)?;
        write(&Lock::path_in(workspace, name), new.to_toml().as_bytes())?;
        changes.push((name.to_owned(), old.changes_to(&new)));
    }
    Ok(changes)
}

impl LockName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Toolchain => "toolchain",
            Self::Rust => "rust",
            Self::Userland => "userland",
            Self::Qemu => "qemu",
        }
    }
}

pub(crate) fn workspace(given: Option<&Path>) -> Result<PathBuf, BuildError> {
    find_workspace(given.unwrap_or(Path::new(".")))
}

/// The user's cache; what it tells goes to standard error, as standard output is for the result.
pub(crate) fn cache() -> Result<Cache, BuildError> {
    Ok(Cache::open()?.telling(|line| {
        // Nobody reads it: no reason to stop.
        let _ = writeln!(io::stderr(), "{line}");
    }))
}

pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn lines(built: &Built) -> String {
    let measured = &built.measurements;
    let mut lines = vec![
        format!("PCR0  {}", measured.pcr0),
        format!("PCR1  {}", measured.pcr1),
        format!("PCR2  {}", measured.pcr2),
    ];
    match &built.previous {
        Some(previous) if previous.pcr0 != measured.pcr0 => {
            lines.push(format!(
                "PCR0 was {} in the image that was there before",
                previous.pcr0
            ));
        }
        _ => {}
    }
    lines.push(format!(
        "{}: {:.1} MB",
        built.file.display(),
        built.size as f64 / 1e6
    ));
    let width = built
        .parts
        .iter()
        .map(|part| part.name.len())
        .max()
        .unwrap_or(0);
    lines.extend(
        built
            .parts
            .iter()
            .map(|part| format!("  {:width$}  {:>10}", part.name, part.size)),
    );
    lines.join("\n")
}
