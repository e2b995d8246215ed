//! Commands that mend, in the words of the machine's distribution.

use super::machine::{Machine, System};

/// A package by the names that the distributions give it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Package {
    pub(super) debian: &'static str,
    pub(super) amazon: &'static str,
}

/// The command that installs a package.
pub(super) fn install(machine: &Machine, package: Package) -> String {
    match machine.system {
        System::Debian | System::Ubuntu => {
            as_root(machine, &format!("apt-get install -y {}", package.debian))
        }
        System::Amazon => as_root(machine, &format!("dnf install -y {}", package.amazon)),
        System::Amazon2 => as_root(machine, &format!("yum install -y {}", package.amazon)),
        System::Other => format!(
            "install {} with this system's package manager",
            package.debian
        ),
    }
}

/// A command that only root may run.
pub(super) fn as_root(machine: &Machine, command: &str) -> String {
    match machine.root {
        true => command.to_owned(),
        false => format!("sudo {command}"),
    }
}

/// The commands that install AWS's own tools for enclaves, with the service that sets CPUs and memory aside.
pub(super) fn install_nitro_cli(machine: &Machine) -> String {
    match machine.system {
        System::Amazon2 => as_root(
            machine,
            "amazon-linux-extras install -y aws-nitro-enclaves-cli",
        ),
        System::Amazon => as_root(machine, "dnf install -y aws-nitro-enclaves-cli"),
        System::Debian | System::Ubuntu | System::Other => {
            "build and install aws-nitro-enclaves-cli from AWS's source, or use Amazon Linux"
                .to_owned()
        }
    }
}

/// How CPUs and memory are set aside for enclaves.
pub(super) fn allocate(machine: &Machine) -> String {
    let start = as_root(
        machine,
        "systemctl enable --now nitro-enclaves-allocator.service",
    );
    format!("set cpu_count and memory_mib in /etc/nitro_enclaves/allocator.yaml, then: {start}")
}
