//! Building the image: kernel, programs, ramdisks, and the list of what they are made of.
//!
//! Everything that makes a byte is fixed: packages and compiler by lock files, crates by
//! `Cargo.lock`, ONNX Runtime by its hash; times, owners, order and paths are the same on every
//! machine.

mod error;
mod machine_paths;
mod onnxruntime;
mod programs;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

pub use error::BuildError;

use crate::cache::{Cache, at};
use crate::debian::{self, Layout, Lock};
use crate::eif::{Architecture, BuildMetadata, Eif, Image, Metadata, Source, write_file};
use crate::kernel::{Kernel, Recipe, kernel};
use crate::licences::{Made, components};
use crate::measure::Measurements;
use crate::ramdisk::{Inputs, Libraries, ramdisks};
use crate::rust::{self, rust};
use crate::sbom::custom_metadata;
use crate::toolchain::{Toolchain, toolchain};
pub(crate) use onnxruntime::VERSION as ONNXRUNTIME_VERSION;
pub(crate) use programs::TARGET;

use machine_paths::MachinePaths;

/// Measured. Panics end the enclave; nothing but the listed devices is looked for; the console is the first serial port;
/// a ramdisk that does not fit into memory is a panic, not half a file system. Entropy comes from the secure module, so
/// the processor's word alone is not trusted.
pub const COMMAND_LINE: &str = "reboot=k panic=30 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux \
                                i8042.nopnp i8042.dumbkbd rootfstype=ramfs";
const KERNEL_CONFIG: &str = "image/kernel/config";
const DEFAULT_MEMORY: u64 = 1 << 30;
const DEFAULT_CPUS: u64 = 2;
/// What is not stamped with a time is the same at every time.
const BUILD_TIME: &str = "1970-01-01T00:00:00Z";

/// What to build, and where from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the root `Cargo.toml`.
    pub workspace: PathBuf,
    /// The image to write.
    pub output: PathBuf,
    /// Programs that were built before, instead of the workspace's.
    pub prebuilt: Prebuilt,
    /// libonnxruntime.so; otherwise the one that `make setup` has put into the workspace.
    pub onnxruntime: Option<PathBuf>,
    /// What the enclave may connect to, a `name:port` a line; otherwise nothing.
    pub egress: Option<PathBuf>,
    /// How many compilers run at once.
    pub jobs: usize,
}

/// Programs that are there already.
#[derive(Clone, Debug, Default)]
pub struct Prebuilt {
    /// `nacre-enclave`.
    pub enclave: Option<PathBuf>,
    /// `nacre-worker`.
    pub worker: Option<PathBuf>,
    /// `nacre-init`, static.
    pub init: Option<PathBuf>,
}

/// What was built.
#[derive(Debug, Serialize)]
pub struct Built {
    /// The image.
    pub file: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// PCR0, PCR1 and PCR2.
    pub measurements: Measurements,
    /// Those of the image that was at its place before.
    pub previous: Option<Measurements>,
    /// What its bytes are.
    pub parts: Vec<Part>,
}

/// A part of an image.
#[derive(Debug, Serialize)]
pub struct Part {
    /// `kernel`, or a file's path in the ramdisks.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
}

/// Builds the image.
///
/// # Errors
///
/// When anything that goes in cannot be had, built, licensed or written; the output is then as it was.
pub fn build(options: &Options, cache: &Cache) -> Result<Built, BuildError> {
    let egress = egress(options.egress.as_deref())?;
    let onnxruntime = onnxruntime::find(options)?;
    let lock = |name| Lock::of_workspace(&options.workspace, name);
    let toolchain = toolchain(cache, &lock("toolchain")?)?;
    let userland = debian::tree(cache, &lock("userland")?, Layout::Apart, "1", |_| Ok(()))?;
    let kernel = kernel_by(&options.workspace, cache, &toolchain, options.jobs)?;
    let rust = rust(cache, &lock(rust::LOCK)?)?;
    let programs = programs::build(options, cache, &toolchain, &rust)?;
    let paths = MachinePaths::of(&options.workspace, cache, &rust);
    for file in programs.built_here() {
        paths.none_in(file)?;
    }
    let inputs = Inputs {
        init: programs.init,
        enclave: programs.enclave,
        worker: programs.worker,
        onnxruntime,
        egress,
    };
    let ramdisks = ramdisks(&inputs, &Libraries::new(&userland, &toolchain))?;
    let made = Made {
        kernel: &kernel,
        userland: &userland,
        libraries: &ramdisks.libraries,
        toolchain: &toolchain,
        rust: &rust,
        workspace: &options.workspace,
    };
    let metadata = metadata(&made, &kernel)?;
    let previous = measurements_of(&options.output);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    ramdisks.init.write(&mut first)?;
    ramdisks.application.write(&mut second)?;
    let image = Image {
        architecture: Architecture::X86_64,
        default_memory: DEFAULT_MEMORY,
        default_cpus: DEFAULT_CPUS,
        kernel: Source::file(&kernel.image).map_err(at(&kernel.image))?,
        command_line: COMMAND_LINE.to_owned(),
        metadata: Some(metadata.to_json()),
        ramdisks: vec![Source::bytes(&first), Source::bytes(&second)],
        signer: None,
    };
    if let Some(folder) = options.output.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let measurements = write_file(image, &options.output)?;
    Ok(Built {
        size: length(&options.output)?,
        file: options.output.clone(),
        measurements,
        previous,
        parts: parts(&kernel, &inputs, &ramdisks.libraries)?,
    })
}

/// The kernel that images of this workspace boot, from the cache, built if need be.
///
/// # Errors
///
/// When compiler or source cannot be had, or the build fails.
pub fn kernel_of(workspace: &Path, cache: &Cache, jobs: usize) -> Result<Kernel, BuildError> {
    let toolchain = toolchain(cache, &Lock::of_workspace(workspace, "toolchain")?)?;
    kernel_by(workspace, cache, &toolchain, jobs)
}

fn kernel_by(
    workspace: &Path,
    cache: &Cache,
    toolchain: &Toolchain,
    jobs: usize,
) -> Result<Kernel, BuildError> {
    let config = workspace.join(KERNEL_CONFIG);
    let recipe = Recipe {
        lock: &Lock::of_workspace(workspace, "kernel")?,
        config: &fs::read_to_string(&config).map_err(at(&config))?,
        toolchain,
    };
    Ok(kernel(cache, &recipe, jobs)?)
}

/// The allow-list's text; a malformed one would only be noticed when the enclave boots.
fn egress(file: Option<&Path>) -> Result<Vec<u8>, BuildError> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let text = fs::read(file).map_err(at(file))?;
    match nacre_protocol::egress::AllowList::from_text(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(BuildError::Egress {
            file: file.to_owned(),
            error: error.to_string(),
        }),
    }
}

fn metadata(made: &Made<'_>, kernel: &Kernel) -> Result<Metadata, BuildError> {
    let mut custom = custom_metadata(&components(made)?);
    custom["nacre.built-with"] = json!({
        "rustc": made.rust.version(),
        "packages": versions(made.toolchain.lock()),
        "rust-packages": versions(&made.rust.lock),
    });
    let version = &kernel.package.version;
    Ok(Metadata {
        image_name: "nacre".to_owned(),
        image_version: env!("CARGO_PKG_VERSION").to_owned(),
        build_metadata: BuildMetadata {
            build_time: BUILD_TIME.to_owned(),
            build_tool: "nacre image build".to_owned(),
            build_tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            operating_system: "Linux".to_owned(),
            kernel_version: version.split('-').next().unwrap_or(version).to_owned(),
        },
        docker_info: serde_json::Value::Null,
        custom_metadata: custom,
    })
}

fn versions(lock: &Lock) -> serde_json::Map<String, serde_json::Value> {
    let packages = lock.packages.iter();
    packages
        .map(|package| (package.name.clone(), package.version.clone().into()))
        .collect()
}

/// The folder around `start` that is the root of Nacre's workspace.
///
/// # Errors
///
/// When there is none.
pub fn find_workspace(start: &Path) -> Result<PathBuf, BuildError> {
    let start = fs::canonicalize(start).map_err(at(start))?;
    let found = start
        .ancestors()
        .find(|folder| programs::is_workspace(folder));
    found
        .map(Path::to_owned)
        .ok_or(BuildError::NoWorkspace(start))
}

/// What the file at that place measures, if it is an image.
fn measurements_of(file: &Path) -> Option<Measurements> {
    Some(*Eif::open(fs::File::open(file).ok()?).ok()?.measurements())
}

fn parts(
    kernel: &Kernel,
    inputs: &Inputs,
    libraries: &[crate::ramdisk::Library],
) -> Result<Vec<Part>, BuildError> {
    use crate::ramdisk::{ENCLAVE, INIT, ONNXRUNTIME, WORKER};
    let programs = [
        ("kernel", &kernel.image),
        (INIT, &inputs.init),
        (ENCLAVE, &inputs.enclave),
        (WORKER, &inputs.worker),
        (ONNXRUNTIME, &inputs.onnxruntime),
    ];
    let libraries = libraries
        .iter()
        .map(|library| (library.path.as_str(), &library.file));
    let parts = programs.into_iter().chain(libraries).map(|(name, file)| {
        Ok(Part {
            name: name.to_owned(),
            size: length(file)?,
        })
    });
    parts.collect()
}

fn length(file: &Path) -> Result<u64, BuildError> {
    Ok(fs::metadata(file).map_err(at(file))?.len())
}
