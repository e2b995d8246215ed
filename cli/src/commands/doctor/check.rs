//! What a check is, and all of them.

use serde::Serialize;

use super::machine::Machine;
use super::{emulator, nitro, process};

/// A way to run enclaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Real enclaves, on an EC2 instance
    Nitro,
    /// The real image under QEMU, with a development root
    Emulator,
    /// Plain processes with a development root; nothing is protected
    Process,
}

impl Mode {
    pub(super) const ALL: [Self; 3] = [Self::Nitro, Self::Emulator, Self::Process];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nitro => "nitro",
            Self::Emulator => "emulator",
            Self::Process => "process",
        }
    }
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// As it should be.
    Ok,
    /// The modes that need it do not work.
    Missing,
    /// The modes that need it work less well.
    Degraded,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// Stable code.
    pub(super) code: &'static str,
    /// How it stands.
    pub(super) status: Status,
    /// The modes that need it.
    pub(super) modes: Vec<Mode>,
    /// What was found.
    pub(super) found: String,
    /// The command that mends it; absent where nothing is to be mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Check {
    /// Something as it should be.
    pub(super) fn ok(code: &'static str, modes: &[Mode], found: impl Into<String>) -> Self {
        Self {
            code,
            status: Status::Ok,
            modes: modes.to_vec(),
            found: found.into(),
            fix: None,
        }
    }

    /// Something without which its modes do not work.
    pub(super) fn missing(
        code: &'static str,
        modes: &[Mode],
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            status: Status::Missing,
            fix: Some(fix.into()),
            ..Self::ok(code, modes, found)
        }
    }

    /// Something without which its modes work less well.
    pub(super) fn degraded(
        code: &'static str,
        modes: &[Mode],
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            status: Status::Degraded,
            ..Self::missing(code, modes, found, fix)
        }
    }
}

/// Everything that is looked at, in the order in which it is best mended.
pub(super) fn all(machine: &Machine) -> Vec<Check> {
    let checks: [fn(&Machine) -> Check; 21] = [
        process::architecture,
        process::kernel,
        nitro::device,
        nitro::cpu_pool,
        nitro::huge_pages,
        nitro::command_line,
        nitro::vsock,
        emulator::qemu,
        emulator::kernel_image,
        emulator::cache_space,
        emulator::kvm,
        process::memory,
        process::programs,
        process::onnxruntime,
        process::user_namespaces,
        process::landlock,
        process::seccomp,
        process::open_files,
        process::ports,
        process::python,
        process::node,
    ];
    checks.iter().map(|check| check(machine)).collect()
}
