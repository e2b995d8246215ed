//! What runs the guest's instructions.

use std::fmt;
use std::fs::{self, OpenOptions};

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Accelerator {
    /// KVM where this user can use it, otherwise TCG.
    Auto,
    /// The processor, through Linux's KVM.
    Kvm,
    /// QEMU's translator: slower, and runs anywhere.
    Tcg,
}

impl Accelerator {
    /// KVM or TCG, and why.
    pub(crate) fn chosen(self) -> (Self, &'static str) {
        match self {
            Self::Auto => match missing() {
                None => (Self::Kvm, "/dev/kvm can be used"),
                Some(reason) => (Self::Tcg, reason),
            },
            chosen => (chosen, "as asked for"),
        }
    }
}

/// What KVM lacks here. A device node alone says little: virtual machines without nested virtualisation may have one
/// on which nothing runs.
fn missing() -> Option<&'static str> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let virtualises = cpuinfo
        .lines()
        .find(|line| line.starts_with("flags"))
        .is_some_and(|line| line.split(' ').any(|flag| flag == "vmx" || flag == "svm"));
    let mut device = OpenOptions::new();
    match device.read(true).write(true).open("/dev/kvm") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("there is no /dev/kvm"),
        Err(_) => Some("this user may not open /dev/kvm"),
        Ok(_) if !virtualises => Some("this processor shows no virtualisation (vmx, svm)"),
        Ok(_) => None,
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}
