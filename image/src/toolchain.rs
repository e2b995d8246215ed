//! The compiler that makes the image's bytes: Debian's, by lock, whatever the machine has itself.
//!
//! The packages are unpacked side by side into a folder that also serves as the sysroot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cache::{Cache, Key, at, write};
use crate::command::run;
use crate::debian::{DebianError, Layout, Lock, Tree, tree};
use crate::relocated::{PROGRAMS, Start, write_script};

/// What gcc itself starts, by script as well.
const INNER_PROGRAMS: &str = "nacre/exec";
const PROBING: Duration = Duration::from_secs(60);

/// The programs by name, and where the packages have them.
const TOOLS: [(&str, &str); 17] = [
    ("ar", "usr/bin/x86_64-linux-gnu-ar"),
    ("as", "usr/bin/x86_64-linux-gnu-as"),
    ("awk", "usr/bin/mawk"),
    ("bc", "usr/bin/bc"),
    ("bison", "usr/bin/bison"),
    ("flex", "usr/bin/flex"),
    ("gzip", "bin/gzip"),
    ("ld", "usr/bin/x86_64-linux-gnu-ld.bfd"),
    ("m4", "usr/bin/m4"),
    ("make", "usr/bin/make"),
    ("nm", "usr/bin/x86_64-linux-gnu-nm"),
    ("objcopy", "usr/bin/x86_64-linux-gnu-objcopy"),
    ("objdump", "usr/bin/x86_64-linux-gnu-objdump"),
    ("ranlib", "usr/bin/x86_64-linux-gnu-ranlib"),
    ("readelf", "usr/bin/x86_64-linux-gnu-readelf"),
    ("strip", "usr/bin/x86_64-linux-gnu-strip"),
    ("zstd", "usr/bin/zstd"),
];
const GCC: &str = "usr/bin/x86_64-linux-gnu-gcc-12";
const INNER_TOOLS: [(&str, &str); 4] = [
    ("as", "usr/bin/x86_64-linux-gnu-as"),
    ("cc1", "usr/lib/gcc/x86_64-linux-gnu/12/cc1"),
    ("collect2", "usr/lib/gcc/x86_64-linux-gnu/12/collect2"),
    ("ld", "usr/bin/x86_64-linux-gnu-ld.bfd"),
];

/// The unpacked compiler.
#[derive(Debug)]
pub struct Toolchain {
    root: PathBuf,
    lock: Lock,
}

/// The toolchain of that lock from the cache, fetched (60 MB) if need be.
///
/// # Errors
///
/// When it cannot be fetched, or does not compile.
pub fn toolchain(cache: &Cache, lock: &Lock) -> Result<Toolchain, DebianError> {
    let recipe = format!(
        "{}{}{}",
        script("TOOL", "TOOL", ""),
        compiler("", ""),
        HOST_LINKING
    );
    let Tree { root, lock } = tree(cache, lock, Layout::Together, &recipe, |root| {
        finish(root)?;
        probe(root)
    })?;
    Ok(Toolchain { root, lock })
}

impl Toolchain {
    /// The folder whose `usr/include` and libraries programs are compiled against.
    #[must_use]
    pub fn sysroot(&self) -> &Path {
        &self.root
    }

    /// A program of it, such as `gcc`, `hostcc` or `ar`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.root.join(PROGRAMS).join(name)
    }

    /// A `PATH` with its programs first, and the machine's shell and small tools after them.
    #[must_use]
    pub fn search_path(&self) -> String {
        format!("{}:/usr/bin:/bin", self.root.join(PROGRAMS).display())
    }

    /// Another toolchain has another key.
    #[must_use]
    pub fn key(&self) -> Key {
        let hashes: Vec<&str> = self
            .lock
            .packages
            .iter()
            .map(|package| package.sha256.as_str())
            .collect();
        Key::of(&[("toolchain", hashes.join("\n").as_bytes())])
    }

    /// The packages it is made of.
    #[must_use]
    pub fn lock(&self) -> &Lock {
        &self.lock
    }
}

/// Makes the unpacked packages usable where they are.
fn finish(root: &Path) -> Result<(), DebianError> {
    make_links_relative(root, 0)?;
    for folder in [PROGRAMS, INNER_PROGRAMS] {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
    }
    for (name, place) in TOOLS {
        write_script(
            &root.join(PROGRAMS).join(name),
            &script(PROGRAMS, place, ""),
        )?;
    }
    for (name, place) in INNER_TOOLS {
        write_script(
            &root.join(INNER_PROGRAMS).join(name),
            &script(INNER_PROGRAMS, place, ""),
        )?;
    }
    for name in ["gcc", "cc"] {
        write_script(&root.join(PROGRAMS).join(name), &compiler(PROGRAMS, ""))?;
    }
    write_script(
        &root.join(PROGRAMS).join("hostcc"),
        &compiler(PROGRAMS, HOST_LINKING),
    )?;
    Ok(())
}

/// Programs that run during the build find the toolchain's loader and libraries too.
const HOST_LINKING: &str = r#" "-Wl,--dynamic-linker=$root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" "-Wl,-rpath=$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu""#;

fn compiler(folder: &str, options: &str) -> String {
    script(
        folder,
        GCC,
        &format!(r#" "-B$root/{INNER_PROGRAMS}/" "--sysroot=$root"{options}"#),
    )
}

/// They know each other by absolute paths otherwise.
const BISON_AND_M4: &str =
    "export M4=\"$root/nacre/bin/m4\" BISON_PKGDATADIR=\"$root/usr/share/bison\"\n";

/// `place` started through the loader in the same tree, with `options` before the caller's own.
fn script(folder: &str, place: &str, options: &str) -> String {
    // make calls itself by its own name; gcc finds its parts by where it is.
    let name = if place.ends_with("/make") {
        "$0".to_owned()
    } else {
        format!("$root/{place}")
    };
    Start {
        folder,
        place,
        name: &name,
        before: BISON_AND_M4,
        options,
    }
    .script()
}

/// Packages have links from the root of the file system, which is elsewhere here.
fn make_links_relative(dir: &Path, depth: usize) -> Result<(), DebianError> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(at(&path))?;
        if kind.is_dir() {
            make_links_relative(&path, depth + 1)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(at(&path))?;
            if let Ok(from_root) = target.strip_prefix("/") {
                fs::remove_file(&path).map_err(at(&path))?;
                let target = PathBuf::from("../".repeat(depth)).join(from_root);
                symlink(target, &path).map_err(at(&path))?;
            }
        }
    }
    Ok(())
}

/// It compiles, and what it compiled runs.
fn probe(root: &Path) -> Result<(), DebianError> {
    let dir = tempfile::tempdir_in(root).map_err(at(root))?;
    let (source, program) = (dir.path().join("probe.c"), dir.path().join("probe"));
    write(
        &source,
        b"#include <stdio.h>\nint main(void) { return puts(\"nacre\") < 0; }\n",
    )?;
    let mut compiler = Command::new(root.join(PROGRAMS).join("hostcc"));
    run(
        compiler
            .env_clear()
            .arg("-O2")
            .arg("-o")
            .arg(&program)
            .arg(&source),
        PROBING,
    )?;
    let said = run(Command::new(&program).env_clear(), PROBING)?.stdout;
    if said == "nacre\n" {
        return Ok(());
    }
    let what = format!("the toolchain compiles programs that do not work: {said:?}");
    Err(DebianError::Probe { what })
}
