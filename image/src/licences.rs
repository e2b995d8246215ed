//! What the image is made of: every component with its version, its licence and where its source is.
//!
//! Nothing gets in unlisted: a component of which one of these is unknown fails the build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::build::{ONNXRUNTIME_VERSION, TARGET};
use crate::cache::{CacheError, at};
use crate::command::{CommandError, run};
use crate::debian::{Package, Tree};
use crate::kernel::Kernel;
use crate::ramdisk::{BOOT, CONSOLE, ENCLAVE, INIT, Library, MANIFEST, ONNXRUNTIME, WORKER};
use crate::rust::Rust;
use crate::sbom::{Component, KERNEL};
use crate::toolchain::Toolchain;

/// Licences of the Debian packages whose bytes are in the image, in SPDX's words, each with words of the package's
/// copyright file that it was read from: a package whose file no longer says so must be read anew.
const PACKAGE_LICENCES: [(&str, &str, &str); 7] = [
    (
        "libc6",
        "LGPL-2.1-or-later",
        "GNU C Library is free software; you can redistribute it and/or",
    ),
    (
        "libc6-dev",
        "LGPL-2.1-or-later",
        "GNU C Library is free software; you can redistribute it and/or",
    ),
    (
        "libgcc-12-dev",
        GCC_RUNTIME,
        "GCC Runtime Library Exception",
    ),
    ("libgcc-s1", GCC_RUNTIME, "GCC Runtime Library Exception"),
    ("libstdc++6", GCC_RUNTIME, "GCC Runtime Library Exception"),
    (
        "libstd-rust-web-dev",
        "(MIT OR Apache-2.0) AND Unicode-DFS-2016",
        "License: MIT or Apache-2.0",
    ),
    (
        "linux-source-6.12",
        "GPL-2.0-only WITH Linux-syscall-note",
        "License: GPL-2",
    ),
];
const GCC_RUNTIME: &str = "GPL-3.0-or-later WITH GCC-exception-3.1";
/// Packages of the toolchain that the linker takes start-up code and static libraries from.
const LINKED_IN: [&str; 2] = ["libc6-dev", "libgcc-12-dev"];
const ASKING_CARGO: Duration = Duration::from_secs(300);

/// What took part.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) userland: &'a Tree,
    pub(crate) libraries: &'a [Library],
    pub(crate) toolchain: &'a Toolchain,
    pub(crate) rust: &'a Rust,
    pub(crate) workspace: &'a Path,
}

/// Why the list of components cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LicenceError {
    /// A component's licence or source is not known.
    #[error("{component} goes into the image without a known {what}")]
    Unknown {
        /// Its name and version.
        component: String,
        /// `licence` or `source`.
        what: &'static str,
    },
    /// A Debian package's copyright file no longer has the words that its licence was read from.
    #[error("{file}: {package} is listed as {licence}, but the file no longer says so: read it, and correct the list",
            file = file.display())]
    Changed {
        /// The package.
        package: String,
        /// The licence that is listed.
        licence: &'static str,
        /// The copyright file.
        file: PathBuf,
    },
    /// Cargo cannot tell the crates.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A copyright file cannot be read.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl LicenceError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "component-unknown",
            Self::Changed { .. } => "component-licence-changed",
            Self::Command(error) => error.code(),
            Self::Cache(error) => error.code(),
        }
    }
}

/// All components of the image.
///
/// # Errors
///
/// When the licence or source of one is not known.
pub(crate) fn components(made: &Made<'_>) -> Result<Vec<Component>, LicenceError> {
    let mut all = vec![nacre(), onnxruntime()];
    all.push(debian_component(
        &made.kernel.package,
        &made.kernel.copyright,
        vec![KERNEL.to_owned()],
    )?);
    for package in &made.userland.lock.packages {
        let files: Vec<String> = made
            .libraries
            .iter()
            .filter(|library| library.package == package.name)
            .flat_map(|library| [Some(library.path.clone()), library.link.clone()])
            .flatten()
            .collect();
        if !files.is_empty() {
            all.push(debian_component(
                package,
                &copyright(made.userland, package),
                files,
            )?);
        }
    }
    for name in LINKED_IN {
        if let Some(package) = made.toolchain.lock().package(name) {
            let copyright = made
                .toolchain
                .sysroot()
                .join("usr/share/doc")
                .join(name)
                .join("copyright");
            all.push(debian_component(package, &copyright, programs())?);
        }
    }
    if let Some((package, copyright)) = made.rust.standard_library() {
        all.push(debian_component(package, &copyright, programs())?);
    }
    all.extend(crates(made)?);
    Ok(all)
}

/// A package's copyright file, which may be a link into another package of the same source.
fn copyright(userland: &Tree, package: &Package) -> PathBuf {
    let doc = Path::new("usr/share/doc");
    let own = userland
        .root
        .join(&package.name)
        .join(doc)
        .join(&package.name);
    match fs::read_link(&own) {
        Ok(other) => userland
            .root
            .join(&other)
            .join(doc)
            .join(&other)
            .join("copyright"),
        Err(_) => own.join("copyright"),
    }
}

/// What this project writes itself beside its programs, which are crates.
fn nacre() -> Component {
    Component {
        name: "nacre".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        licence: env!("CARGO_PKG_LICENSE").to_owned(),
        source: crate_url("nacre-image", env!("CARGO_PKG_VERSION")),
        files: [
            MANIFEST,
            BOOT,
            nacre_protocol::egress::ALLOW_LIST_FILE,
            CONSOLE,
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}

fn onnxruntime() -> Component {
    Component {
        name: "onnxruntime".to_owned(),
        version: ONNXRUNTIME_VERSION.to_owned(),
        // Its own licence, and those of the libraries inside, which its ThirdPartyNotices.txt has.
        licence: "MIT AND LicenseRef-onnxruntime-ThirdPartyNotices".to_owned(),
        source: format!("pkg:pypi/onnxruntime@{ONNXRUNTIME_VERSION}"),
        files: vec![ONNXRUNTIME.to_owned()],
    }
}

fn programs() -> Vec<String> {
    [ENCLAVE, WORKER, INIT].map(str::to_owned).to_vec()
}

fn debian_component(
    package: &Package,
    copyright: &Path,
    files: Vec<String>,
) -> Result<Component, LicenceError> {
    let unknown = |what| LicenceError::Unknown {
        component: format!("{} {}", package.name, package.version),
        what,
    };
    let listed = PACKAGE_LICENCES
        .iter()
        .find(|(name, ..)| *name == package.name);
    let (_, licence, words) = *listed.ok_or_else(|| unknown("licence"))?;
    let text = fs::read_to_string(copyright).map_err(at(copyright))?;
    if !text.contains(words) {
        return Err(LicenceError::Changed {
            package: package.name.clone(),
            licence,
            file: copyright.to_owned(),
        });
    }
    if package.source.is_empty() || package.source_version.is_empty() {
        return Err(unknown("source"));
    }
    Ok(Component {
        name: package.name.clone(),
        version: package.version.clone(),
        licence: licence.to_owned(),
        source: format!(
            "pkg:deb/debian/{}@{}?arch=source",
            package.source, package.source_version
        ),
        files,
    })
}

/// The crates that are linked into the programs, as Cargo chooses them for just these.
fn crates(made: &Made<'_>) -> Result<Vec<Component>, LicenceError> {
    let mut all: Vec<Component> = Vec::new();
    for (package, files) in [
        ("nacre-enclave", vec![ENCLAVE, WORKER]),
        ("nacre-init", vec![INIT]),
    ] {
        let mut cargo = Command::new(made.rust.programs().join("cargo"));
        cargo
            .envs(made.rust.environment())
            .current_dir(made.workspace)
            .args([
                "tree",
                "--locked",
                "--package",
                package,
                "--no-default-features",
                "--target",
                TARGET,
            ])
            .args([
                "--edges",
                "normal,no-proc-macro",
                "--prefix",
                "none",
                "--no-dedupe",
                "--format",
                "{p}\t{l}",
            ]);
        let printed = run(&mut cargo, ASKING_CARGO)?.stdout;
        for (name, version, licence) in printed.lines().filter_map(line_of_tree) {
            if licence.is_empty() {
                let component = format!("the crate {name} {version}");
                return Err(LicenceError::Unknown {
                    component,
                    what: "licence",
                });
            }
            let known = all
                .iter_mut()
                .find(|known| known.name == name && known.version == version);
            let files = files.iter().map(|file| (*file).to_owned());
            match known {
                Some(known) => {
                    known.files.extend(files);
                    known.files.sort();
                    known.files.dedup();
                }
                None => all.push(Component {
                    name: name.to_owned(),
                    version: version.to_owned(),
                    licence: spdx(licence),
                    source: crate_url(name, version),
                    files: files.collect(),
                }),
            }
        }
    }
    Ok(all)
}

/// `sha2 v0.11.1\tMIT OR Apache-2.0`; crates of the workspace have their folder behind the version.
fn line_of_tree(line: &str) -> Option<(&str, &str, &str)> {
    let (package, licence) = line.split_once('\t')?;
    let mut words = package.split(' ');
    Some((
        words.next()?,
        words.next()?.strip_prefix('v')?,
        licence.trim(),
    ))
}

/// Cargo still takes `MIT/Apache-2.0`, which SPDX does not know.
fn spdx(licence: &str) -> String {
    licence.replace('/', " OR ")
}

fn crate_url(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0-1".to_owned(),
            architecture: "amd64".to_owned(),
            suite: "bookworm".to_owned(),
            source: "source".to_owned(),
            source_version: "1.0-1".to_owned(),
            filename: "pool/x.deb".to_owned(),
            size: 1,
            sha256: "0".repeat(64),
        }
    }

    #[test]
    fn old_licence_fields_become_spdx_expressions() {
        assert_eq!(spdx("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(spdx("MIT OR Zlib"), "MIT OR Zlib");
    }

    #[test]
    fn a_package_without_a_listed_licence_fails_the_build() {
        let error =
            debian_component(&package("libnew1"), Path::new("/nowhere"), Vec::new()).unwrap_err();
        assert_eq!(error.code(), "component-unknown");
    }

    #[test]
    fn a_licence_that_has_changed_fails_the_build() {
        let dir = tempfile::tempdir().unwrap();
        let copyright = dir.path().join("copyright");
        fs::write(&copyright, "Now under other terms.\n").unwrap();
        let error = debian_component(&package("libgcc-s1"), &copyright, Vec::new()).unwrap_err();
        assert_eq!(error.code(), "component-licence-changed");
    }

    #[test]
    fn a_package_without_a_source_fails_the_build() {
        let dir = tempfile::tempdir().unwrap();
        let copyright = dir.path().join("copyright");
        fs::write(&copyright, "with the GCC Runtime Library Exception\n").unwrap();
        let sourceless = Package {
            source: String::new(),
            ..package("libgcc-s1")
        };
        let error = debian_component(&sourceless, &copyright, Vec::new()).unwrap_err();
        assert!(
            matches!(error, LicenceError::Unknown { what: "source", .. }),
            "{error}"
        );
    }

    #[test]
    fn what_cargo_prints_is_read() {
        let line = "nacre-init v0.1.0 (/nacre/enclave/init)\tApache-2.0";
        assert_eq!(
            line_of_tree(line),
            Some(("nacre-init", "0.1.0", "Apache-2.0"))
        );
        assert_eq!(line_of_tree("odd v1.0.0\t"), Some(("odd", "1.0.0", "")));
        assert_eq!(line_of_tree(""), None);
    }
}
