//! Rust for the image's programs: Debian's compiler and cargo, by lock, whatever the machine has itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cache::{Cache, CacheError, at, write};
use crate::command::run;
use crate::debian::{DebianError, Layout, Lock, Package, Tree, tree};
use crate::relocated::{PROGRAMS, Start, write_script};

/// The lock's name.
pub(crate) const LOCK: &str = "rust";
/// The package of the compiler.
const COMPILER: &str = "rustc-web";
/// The package of the standard library that programs are linked with.
const STANDARD_LIBRARY: &str = "libstd-rust-web-dev";
const TOOLS: [&str; 2] = ["cargo", "rustc"];
const PROBING: Duration = Duration::from_secs(60);

/// The unpacked compiler and cargo.
#[derive(Debug)]
pub(crate) struct Rust {
    /// The folder they are in; the compiler's own sysroot is `usr` below it.
    pub(crate) root: PathBuf,
    /// The packages they are made of.
    pub(crate) lock: Lock,
    /// Cargo's folder of this user, with the crates' sources.
    pub(crate) cargo_home: PathBuf,
}

/// The Rust of that lock from the cache, fetched (180 MB) if need be.
///
/// # Errors
///
/// When it cannot be fetched, or does not compile.
pub(crate) fn rust(cache: &Cache, lock: &Lock) -> Result<Rust, DebianError> {
    let recipe = TOOLS.map(script).concat();
    let Tree { root, lock } = tree(cache, lock, Layout::Together, &recipe, |root| {
        let programs = root.join(PROGRAMS);
        fs::create_dir_all(&programs).map_err(at(&programs))?;
        for name in TOOLS {
            write_script(&programs.join(name), &script(name))?;
        }
        probe(root)
    })?;
    Ok(Rust {
        root,
        lock,
        cargo_home: cargo_home()?,
    })
}

impl Rust {
    /// The folder of `cargo` and `rustc`.
    pub(crate) fn programs(&self) -> PathBuf {
        self.root.join(PROGRAMS)
    }

    /// The variables by which cargo finds the compiler, and build scripts find cargo.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        let programs = self.programs();
        [
            ("CARGO", programs.join("cargo")),
            ("RUSTC", programs.join("rustc")),
        ]
    }

    /// The compiler's version, such as `1.96.0+dfsg1-1~deb12u2`.
    pub(crate) fn version(&self) -> Option<&str> {
        Some(self.lock.package(COMPILER)?.version.as_str())
    }

    /// The standard library's package, and the file with its licences.
    pub(crate) fn standard_library(&self) -> Option<(&Package, PathBuf)> {
        let package = self.lock.package(STANDARD_LIBRARY)?;
        let doc = self.root.join("usr/share/doc").join(STANDARD_LIBRARY);
        Some((package, doc.join("copyright")))
    }
}

fn script(name: &str) -> String {
    let place = format!("usr/bin/{name}");
    Start {
        folder: PROGRAMS,
        place: &place,
        // The compiler finds its libraries by where it is.
        name: &format!("$root/{place}"),
        before: "",
        options: "",
    }
    .script()
}

/// Cargo runs, and the compiler finds its standard library and makes machine code.
fn probe(root: &Path) -> Result<(), DebianError> {
    let program = |name| Command::new(root.join(PROGRAMS).join(name));
    run(program("cargo").env_clear().arg("--version"), PROBING)?;
    let dir = tempfile::tempdir_in(root).map_err(at(root))?;
    let source = dir.path().join("probe.rs");
    write(
        &source,
        b"pub fn probe() -> String { \"nacre\".repeat(2) }\n",
    )?;
    let mut compiler = program("rustc");
    run(
        compiler
            .env_clear()
            .args(["--crate-type=lib", "--emit=obj", "--out-dir"])
            .arg(dir.path())
            .arg(&source),
        PROBING,
    )?;
    if dir.path().join("probe.o").is_file() {
        return Ok(());
    }
    let what = "the Rust compiler says that it compiled, and made nothing".to_owned();
    Err(DebianError::Probe { what })
}

fn cargo_home() -> Result<PathBuf, CacheError> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("CARGO_HOME")
        .or_else(|| Some(variable("HOME")?.join(".cargo")))
        .ok_or(CacheError::NoPlace)
}
