//! What every machine needs, and what process mode builds its walls of.

use super::check::{Check, Mode};
use super::fix::{Package, as_root, install};
use super::machine::{Machine, System};

const ALL: &[Mode] = &Mode::ALL;
const HERE: &[Mode] = &[Mode::Emulator, Mode::Process];
const PROCESS: &[Mode] = &[Mode::Process];

const ENOUGH_FILES: u64 = 65_536;
const FEW_FILES: u64 = 1024;
/// Where `nacre dev` and `nacre proxy` listen if nothing else is said.
const PORTS: [u16; 3] = [7600, 7601, 7610];

/// The image, QEMU and ONNX Runtime are x86-64's.
pub(super) fn architecture(machine: &Machine) -> Check {
    const CODE: &str = "architecture";
    match machine.architecture.as_str() {
        "x86_64" => Check::ok(CODE, ALL, "x86_64"),
        other => Check::missing(CODE, ALL, other, "use an x86-64 machine"),
    }
}

/// pidfds, `close_range` and Landlock are there from 5.13 on.
pub(super) fn kernel(machine: &Machine) -> Check {
    const CODE: &str = "linux";
    let mut numbers = machine.kernel.split(['.', '-', '+']).map(str::parse::<u32>);
    let found = format!("Linux {}", machine.kernel);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (5, 13) => {
            Check::ok(CODE, ALL, found)
        }
        _ => Check::missing(CODE, ALL, found, upgrade(machine)),
    }
}

fn upgrade(machine: &Machine) -> String {
    match machine.system {
        System::Debian | System::Ubuntu => as_root(machine, "apt-get dist-upgrade"),
        System::Amazon => as_root(machine, "dnf upgrade"),
        System::Amazon2 => as_root(machine, "amazon-linux-extras install -y kernel-5.15"),
        System::Other => "install Linux 5.13 or later".to_owned(),
    }
}

/// Memory for a platform on one machine.
pub(super) fn memory(machine: &Machine) -> Check {
    const CODE: &str = "memory";
    let mib = machine.memory_available >> 20;
    let found = format!("{mib} MiB can be had");
    let fix = "end other programs, or use a machine with more memory";
    match mib {
        2048.. => Check::ok(CODE, HERE, found),
        768.. => Check::degraded(CODE, HERE, found, fix),
        _ => Check::missing(CODE, HERE, found, fix),
    }
}

/// The programs that run inside, which process mode starts as they are.
pub(super) fn programs(machine: &Machine) -> Check {
    const CODE: &str = "enclave-programs";
    if machine.not_built.is_empty() {
        return Check::ok(CODE, PROCESS, "nacre-enclave and nacre-worker");
    }
    let found = format!("not beside this program: {}", machine.not_built.join(", "));
    Check::missing(CODE, PROCESS, found, "make build")
}

/// What models run in. An image brings its own.
pub(super) fn onnxruntime(machine: &Machine) -> Check {
    const CODE: &str = "onnxruntime";
    match &machine.onnxruntime {
        Some(file) => Check::ok(CODE, PROCESS, file.display().to_string()),
        None => Check::missing(CODE, PROCESS, "no libonnxruntime.so", "make setup"),
    }
}

/// A worker has no network and sees no other process.
pub(super) fn user_namespaces(machine: &Machine) -> Check {
    const CODE: &str = "user-namespaces";
    if machine.root || machine.walls.user_namespaces {
        return Check::ok(CODE, PROCESS, "namespaces can be made");
    }
    let setting = match machine.system {
        System::Ubuntu => "kernel.apparmor_restrict_unprivileged_userns=0",
        _ => "user.max_user_namespaces=15000",
    };
    let fix = as_root(machine, &format!("sysctl -w {setting}"));
    let found = "this user may make none: workers share the network";
    Check::degraded(CODE, PROCESS, found, fix)
}

/// A worker sees no files.
pub(super) fn landlock(machine: &Machine) -> Check {
    const CODE: &str = "landlock";
    match machine.walls.landlock {
        Some(true) => Check::ok(CODE, PROCESS, "in force"),
        Some(false) => Check::degraded(
            CODE,
            PROCESS,
            "off: workers may open this user's files",
            "add lsm=landlock to the kernel's command line, before the modules that are there now",
        ),
        None => Check::degraded(
            CODE,
            PROCESS,
            "cannot be told: /sys/kernel/security is not mounted",
            as_root(
                machine,
                "mount -t securityfs securityfs /sys/kernel/security",
            ),
        ),
    }
}

/// A worker has few system calls.
pub(super) fn seccomp(machine: &Machine) -> Check {
    const CODE: &str = "seccomp";
    match machine.walls.seccomp {
        true => Check::ok(CODE, PROCESS, "in the kernel"),
        false => Check::degraded(
            CODE,
            PROCESS,
            "not in the kernel: workers have every system call",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

/// Two files a connection.
pub(super) fn open_files(machine: &Machine) -> Check {
    const CODE: &str = "open-files";
    let found = match machine.open_files {
        u64::MAX => "no limit".to_owned(),
        limit => format!("at most {limit}"),
    };
    let fix = as_root(machine, "prlimit --pid \"$$\" --nofile=65536:65536");
    match machine.open_files {
        ENOUGH_FILES.. => Check::ok(CODE, ALL, found),
        FEW_FILES.. => Check::degraded(CODE, ALL, found + ": fewer connections at once", fix),
        _ => Check::missing(CODE, ALL, found, fix),
    }
}

/// Where a platform on this machine listens.
pub(super) fn ports(machine: &Machine) -> Check {
    const CODE: &str = "ports";
    let taken: Vec<String> = PORTS
        .iter()
        .filter(|port| machine.listening.contains(port))
        .map(u16::to_string)
        .collect();
    if taken.is_empty() {
        return Check::ok(CODE, HERE, "7600, 7601 and 7610 are free");
    }
    let found = format!("somebody listens on {}", taken.join(", "));
    let fix = "nacre dev --listen 127.0.0.1:0 --node-listen 127.0.0.1:0; nacre proxy --listen 127.0.0.1:0";
    Check::degraded(CODE, HERE, found, fix)
}

/// The demos' clients are Python's.
pub(super) fn python(machine: &Machine) -> Check {
    let package = Package {
        debian: "python3 python3-venv",
        amazon: "python3",
    };
    for_demos(machine, "python3", package)
}

/// Chain demos run in Node.js.
pub(super) fn node(machine: &Machine) -> Check {
    let package = Package {
        debian: "nodejs",
        amazon: "nodejs",
    };
    for_demos(machine, "node", package)
}

fn for_demos(machine: &Machine, name: &'static str, package: Package) -> Check {
    match machine.programs.contains(name) {
        true => Check::ok(name, HERE, name),
        false => Check::degraded(
            name,
            HERE,
            format!("no {name}: demos and their clients do not run"),
            install(machine, package),
        ),
    }
}
