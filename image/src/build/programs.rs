//! The Rust programs, built so that the machine leaves no trace in them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{BuildError, Options};
use crate::cache::{Cache, at};
use crate::command::run;
use crate::rust::Rust;
use crate::toolchain::Toolchain;

/// What programs call the folders that they are built from, whatever these are called here: crates, cache, Rust, C
/// toolchain, workspace.
pub(super) const NAMES: [&str; 5] = ["/cargo", "/cache", "/rust", "/toolchain", "/nacre"];
/// glibc of this target; the sysroot says which version.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";
const BUILDING: Duration = Duration::from_secs(2 * 3600);
/// Cargo needs these to reach the registry; they do not reach what is built.
const KEPT_VARIABLES: [&str; 12] = [
    "HOME",
    "CARGO_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CARGO_HTTP_CAINFO",
    "CARGO_NET_OFFLINE",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// The programs' files.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) enclave: PathBuf,
    pub(super) worker: PathBuf,
    pub(super) init: PathBuf,
    prebuilt: Vec<PathBuf>,
}

/// Builds what is not there.
pub(super) fn build(
    options: &Options,
    cache: &Cache,
    toolchain: &Toolchain,
    rust: &Rust,
) -> Result<Programs, BuildError> {
    let workspace = &options.workspace;
    let given = &options.prebuilt;
    let cargo = Cargo {
        workspace,
        toolchain,
        rust,
        cache,
        jobs: options.jobs,
    };
    let target = workspace.join("target/image");
    if given.enclave.is_none() || given.worker.is_none() || given.init.is_none() {
        cache.tell("building the image's programs");
        cargo.fetch()?;
    }
    if given.enclave.is_none() || given.worker.is_none() {
        cargo.build("nacre-enclave", &target.join("enclave"), &[])?;
    }
    if given.init.is_none() {
        // In a folder of its own: other flags would have cargo build the shared crates anew each time.
        cargo.build(
            "nacre-init",
            &target.join("init"),
            &["-Ctarget-feature=+crt-static"],
        )?;
    }
    let built =
        |folder: &str, name: &str| target.join(folder).join(TARGET).join("image").join(name);
    Ok(Programs {
        enclave: given
            .enclave
            .clone()
            .unwrap_or_else(|| built("enclave", "nacre-enclave")),
        worker: given
            .worker
            .clone()
            .unwrap_or_else(|| built("enclave", "nacre-worker")),
        init: given
            .init
            .clone()
            .unwrap_or_else(|| built("init", "nacre-init")),
        prebuilt: [&given.enclave, &given.worker, &given.init]
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
    })
}

/// Whether that folder has what an image is built from.
pub(super) fn is_workspace(folder: &Path) -> bool {
    [
        "Cargo.lock",
        "enclave/init/Cargo.toml",
        "image/locks/kernel.toml",
    ]
    .iter()
    .all(|file| folder.join(file).is_file())
}

impl Programs {
    /// Those that this build answers for.
    pub(super) fn built_here(&self) -> impl Iterator<Item = &Path> {
        let all = [&self.enclave, &self.worker, &self.init];
        all.into_iter()
            .filter(|file| !self.prebuilt.contains(file))
            .map(PathBuf::as_path)
    }
}

struct Cargo<'a> {
    workspace: &'a Path,
    toolchain: &'a Toolchain,
    rust: &'a Rust,
    cache: &'a Cache,
    jobs: usize,
}

impl Cargo<'_> {
    /// Gets the crates' sources: where they are must be known before the build, to be kept out of it.
    fn fetch(&self) -> Result<(), BuildError> {
        run(
            self.command()
                .args(["fetch", "--locked", "--target", TARGET]),
            BUILDING,
        )?;
        Ok(())
    }

    fn build(&self, package: &str, target: &Path, flags: &[&str]) -> Result<(), BuildError> {
        let renamed = self.renamed()?;
        let rust_flags = renamed
            .iter()
            .map(|(from, to)| format!("--remap-path-prefix={from}={to}"));
        let rust_flags: Vec<String> = rust_flags
            .chain(flags.iter().map(|flag| (*flag).to_owned()))
            .collect();
        let c_flags = renamed
            .iter()
            .map(|(from, to)| format!("'-ffile-prefix-map={from}={to}'"));
        let c_flags: Vec<String> = c_flags.collect();
        let mut cargo = self.command();
        cargo
            .env("CARGO_ENCODED_RUSTFLAGS", rust_flags.join("\x1f"))
            .env("CFLAGS", c_flags.join(" "))
            .env("CC_SHELL_ESCAPED_FLAGS", "1")
            .args([
                "build",
                "--offline",
                "--locked",
                "--profile",
                "image",
                "--no-default-features",
            ])
            .args([
                "--target",
                TARGET,
                "--jobs",
                &self.jobs.to_string(),
                "--package",
                package,
            ])
            .arg("--target-dir")
            .arg(target);
        run(&mut cargo, BUILDING)?;
        Ok(())
    }

    /// The locked cargo and compilers, in an environment of ours.
    fn command(&self) -> Command {
        let mut search = OsString::from(self.rust.programs());
        search.push(":");
        search.push(self.toolchain.search_path());
        let kept = KEPT_VARIABLES
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut cargo = Command::new(self.rust.programs().join("cargo"));
        cargo
            .env_clear()
            .envs(kept)
            .envs(self.rust.environment())
            .env("PATH", search)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("SOURCE_DATE_EPOCH", "0")
            .env("CARGO_INCREMENTAL", "0")
            .env("RUSTC_WRAPPER", "")
            .env("CC", self.toolchain.program("gcc"))
            .env("AR", self.toolchain.program("ar"))
            .env(
                "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
                self.toolchain.program("gcc"),
            )
            .current_dir(self.workspace);
        cargo
    }

    /// Folders of this machine, and what the programs call them. The later and longer of two that fit counts.
    fn renamed(&self) -> Result<Vec<(String, &'static str)>, BuildError> {
        let [cargo, cached, rust, toolchain, workspace] = NAMES;
        let mut renamed = vec![
            (self.rust.cargo_home.clone(), cargo),
            (self.cache.dir().to_owned(), cached),
            (self.rust.root.clone(), rust),
            (self.toolchain.sysroot().to_owned(), toolchain),
            (self.workspace.to_owned(), workspace),
        ];
        // The name of the folder below says where the crates were fetched from.
        let sources = self.rust.cargo_home.join("registry/src");
        if sources.is_dir() {
            for entry in fs::read_dir(&sources).map_err(at(&sources))? {
                renamed.push((entry.map_err(at(&sources))?.path(), "/cargo/registry"));
            }
        }
        Ok(renamed
            .into_iter()
            .map(|(from, to)| (from.display().to_string(), to))
            .collect())
    }
}
