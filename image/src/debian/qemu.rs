//! QEMU with the device that an emulated enclave needs, independent of what the machine has.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{DebianError, Layout, Lock, tree};
use crate::cache::Cache;
use crate::command::run_any;

/// A QEMU for which the NSM can be a vhost-user device has this one.
const NEEDED_DEVICE: &str = "vhost-user-test-device";
/// Its lock's name.
pub(super) const LOCK: &str = "qemu";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const PROBING: Duration = Duration::from_secs(60);

/// A folder with an unpacked QEMU, its libraries and its firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuDir {
    root: PathBuf,
}

/// The locked QEMU from the cache, fetched (38 MB) if need be.
///
/// # Errors
///
/// When it cannot be fetched, or has no `vhost-user-test-device`.
pub fn qemu(cache: &Cache) -> Result<QemuDir, DebianError> {
    let found = tree(cache, &Lock::qemu()?, Layout::Together, "1", |root| {
        QemuDir::at(root).map(drop)
    })?;
    Ok(QemuDir { root: found.root })
}

impl QemuDir {
    /// The QEMU unpacked in `root`, if it runs and has what is needed.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn at(root: &Path) -> Result<Self, DebianError> {
        let qemu = Self {
            root: root.to_owned(),
        };
        let printed = run_any(
            qemu.command().args(["-machine", "none", "-device", "help"]),
            PROBING,
        )?;
        if printed
            .stdout
            .contains(&format!("name \"{NEEDED_DEVICE}\""))
        {
            return Ok(qemu);
        }
        let what = format!(
            "the QEMU in {} does not offer {NEEDED_DEVICE} (11.1 or later does): {}",
            root.display(),
            printed
                .stderr
                .lines()
                .next()
                .unwrap_or("it says nothing else"),
        );
        Err(DebianError::Probe { what })
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `qemu-system-x86_64` through the loader and with the libraries and firmware that came along;
    /// the caller adds the machine.
    #[must_use]
    pub fn command(&self) -> Command {
        let libraries = self.root.join(LIBRARIES);
        let mut path = libraries.clone().into_os_string();
        path.push(":");
        path.push(libraries.join("pulseaudio"));
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        // Otherwise it loads the machine's own modules and aborts.
        command
            .env_clear()
            .env("QEMU_MODULE_DIR", libraries.join("qemu"))
            .env("LC_ALL", "C");
        command
            .arg("--library-path")
            .arg(path)
            .arg(self.root.join("usr/bin/qemu-system-x86_64"));
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(self.root.join(firmware));
        }
        command
    }
}
