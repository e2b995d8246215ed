//! Compiles the trusted root in: AWS's, or the certificate that `NACRE_VERIFIER_ROOT` names when this is built.

use std::env;
use std::path::{Path, PathBuf};

use nacre_attestation_verifier::Roots;

const VARIABLE: &str = "NACRE_VERIFIER_ROOT";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    if let Err(message) = compile_in() {
        println!("cargo::error={message}");
    }
}

/// Writes the root's DER where the crate includes it from.
fn compile_in() -> Result<(), String> {
    let roots = match env::var_os(VARIABLE) {
        None => Roots::aws(),
        Some(path) => read(Path::new(&path))?,
    };
    let directory = env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?;
    let file = PathBuf::from(directory).join("root.der");
    std::fs::write(&file, roots.der()).map_err(|error| format!("{}: {error}", file.display()))
}

fn read(path: &Path) -> Result<Roots, String> {
    let failed = |error: &dyn std::fmt::Display| {
        let path = path.display();
        format!(
            "{VARIABLE}={path}: {error}; name a root certificate as DER or PEM, or unset it for AWS's root"
        )
    };
    // The build runs in the crate's folder; a relative path would mean another file than the caller's.
    if !path.is_absolute() {
        return Err(failed(&"not an absolute path"));
    }
    println!("cargo::rerun-if-changed={}", path.display());
    let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
    Roots::from_pem_or_der(&bytes).map_err(|error| failed(&error))
}
