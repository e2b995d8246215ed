//! PCR0–2 for programs that run as plain processes.
//!
//! A process has no image and no hypervisor that measures it. What stands in for both is the
//! content of the programs that run: a changed byte in any of them changes the registers, so that
//! policies, pins and upgrades can be practised. It proves nothing; only the launcher vouches
//! for it, and only a development root signs it.
//!
//! With `ext(x)` = SHA-384(0^48 ‖ SHA-384(x)), as the hypervisor extends an empty register,
//! `file(f)` = the file's length in eight bytes, big-endian, and its bytes, and
//! `label` = `nacre/process-mode/v1`:
//!
//! | register | is | like an image's |
//! |---|---|---|
//! | PCR0 | `ext(label ‖ file(enclave) ‖ file(worker) ‖ file(onnxruntime))` | everything |
//! | PCR1 | `ext(label ‖ file(enclave))` | what boots |
//! | PCR2 | `ext(label ‖ file(worker) ‖ file(onnxruntime))` | the application |
//!
//! An image's registers begin with a kernel, never with the label, so the two kinds cannot meet.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha384};

use crate::nsm::{Pcr, extended};

/// What every measured content begins with.
pub const LABEL: &[u8] = b"nacre/process-mode/v1";

/// Measures the three files that make up an enclave in process mode; returns PCR0, PCR1, PCR2.
///
/// Files are read once and in pieces.
///
/// # Errors
///
/// When a file cannot be read, or changes its length while it is read.
pub fn measure_process(
    enclave_bin: &Path,
    worker_bin: &Path,
    onnxruntime_lib: &Path,
) -> io::Result<[Pcr; 3]> {
    let labelled = Sha384::new_with_prefix(LABEL);
    let mut registers = [labelled.clone(), labelled.clone(), labelled];
    let [all, boot, application] = &mut registers;
    feed(enclave_bin, &mut [all, boot])?;
    feed(worker_bin, &mut [all, application])?;
    feed(onnxruntime_lib, &mut [all, application])?;
    Ok(registers.map(|content| extended(&[0; 48], &content.finalize())))
}

fn feed(path: &Path, registers: &mut [&mut Sha384]) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot measure {}: {error}", path.display()),
        )
    };
    let mut file = File::open(path).map_err(named)?;
    let length = file.metadata().map_err(named)?.len();
    let mut add = |bytes: &[u8]| {
        registers
            .iter_mut()
            .for_each(|register| register.update(bytes))
    };
    add(&length.to_be_bytes());
    let mut buffer = vec![0; 64 * 1024];
    let mut seen = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                add(&buffer[..count]);
                seen += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(named(error)),
        }
    }
    if seen != length {
        return Err(named(io::Error::other(
            "the file changed while it was read",
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected registers were computed with Python's hashlib from the table above.
    #[test]
    fn registers_follow_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let [enclave, worker, library] =
            [("e", "enclave"), ("w", "worker"), ("l", "")].map(|(name, content)| {
                let path = folder.path().join(name);
                std::fs::write(&path, content).unwrap();
                path
            });
        let pcrs = measure_process(&enclave, &worker, &library).unwrap();
        assert_eq!(
            pcrs.map(hex::encode),
            [
                "e7cf67e5404c8e1216b3061cc9c81babe42805067a8b272087ab43f5e70443c96ed774ccfc14b9c5cee6f00cad5eb00b",
                "5037e0542c2013944a6de048793de7f03d930c950a6d99d767d0d06b38f67d100eacb87828d57f1f1f3e06f29a1f7d16",
                "5b985e91106d15352feaff688b85b042401376f178a3e1f05778ef7d4eb246b0335c688d02baf79849f2a7a179fa8860",
            ]
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = measure_process(
            Path::new("/nonexistent/enclave"),
            Path::new("/"),
            Path::new("/"),
        )
        .unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/enclave"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        assert!(measure_process(folder.path(), folder.path(), folder.path()).is_err());
    }
}
