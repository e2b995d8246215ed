//! A machine as plain values: all that the checks know.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// What was found on a machine.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// `/etc/os-release`.
    pub(super) system: System,
    /// Such as `x86_64`.
    pub(super) architecture: String,
    /// Release of the running kernel, such as `6.12.1-cloud`.
    pub(super) kernel: String,
    /// Whether this is root, who needs no `sudo`.
    pub(super) root: bool,
    /// Whether the machine says that it is an EC2 instance.
    pub(super) ec2: bool,
    /// `/dev/nitro_enclaves`.
    pub(super) nitro: Device,
    /// `/dev/kvm`.
    pub(super) kvm: Device,
    /// `/dev/vsock`.
    pub(super) vsock: Device,
    /// CPUs that are set aside for enclaves, as the driver has them; `None` where there is no driver.
    pub(super) cpu_pool: Option<String>,
    /// Bytes of free huge pages.
    pub(super) huge_free: u64,
    /// Bytes of memory that can be had.
    pub(super) memory_available: u64,
    /// Programs that are on the path, of those that matter.
    pub(super) programs: BTreeSet<&'static str>,
    /// What Debian packages are fetched with.
    pub(super) debian: Debian,
    /// Nacre's cache.
    pub(super) cache: Cache,
    /// What lets an unprivileged process build its own walls.
    pub(super) walls: Walls,
    /// Most files that a process may ever open.
    pub(super) open_files: u64,
    /// TCP ports of this machine that somebody listens on.
    pub(super) listening: BTreeSet<u16>,
    /// Programs of Nacre that are missing beside this one.
    pub(super) not_built: Vec<&'static str>,
    /// The ONNX Runtime library.
    pub(super) onnxruntime: Option<PathBuf>,
}

/// Which distribution this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    /// Debian itself.
    Debian,
    /// Ubuntu, and others that come from Debian.
    Ubuntu,
    /// Amazon Linux 2023 and later.
    Amazon,
    /// Amazon Linux 2.
    Amazon2,
    /// Another.
    Other,
}

/// A device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Device {
    /// Not there.
    Absent,
    /// There, and this user may not use it.
    Denied,
    /// There, and this user may use it.
    Usable,
}

/// What Debian packages are fetched with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Debian {
    /// apt's downloader, which stands beside apt.
    pub(super) apt_helper: bool,
    /// The keys of Debian's archive.
    pub(super) keyring: bool,
    /// A mirror is known: apt's own, or one that the environment names.
    pub(super) mirror: bool,
}

/// Nacre's cache.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    /// Where it is, or would be; `None` without a home.
    pub(super) folder: Option<PathBuf>,
    /// Free bytes there.
    pub(super) free: u64,
    /// Whether an unpacked QEMU is in it.
    pub(super) qemu: bool,
    /// Whether a built kernel is in it.
    pub(super) kernel: bool,
}

/// What lets an unprivileged process build its own walls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walls {
    /// Namespaces of users may be made by anyone.
    pub(super) user_namespaces: bool,
    /// Landlock is in force; `None` where the machine does not say.
    pub(super) landlock: Option<bool>,
    /// The kernel filters system calls.
    pub(super) seccomp: bool,
}
