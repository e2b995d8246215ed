//! The file systems that an enclave has besides its ramdisk.
//!
//! Nothing that can be written can be executed, nothing that is not `/dev` can hold a device, and what can be written is
//! bounded, because it is the enclave's memory. Control groups are not mounted: workers are held by resource limits.

use std::ffi::CStr;

use rustix::mount::{MountFlags, mount, mount_remount};

use crate::refusal::Refusal;

const PLAIN: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// File system, folder, flags, options.
const MOUNTS: [(&str, &str, MountFlags, Option<&CStr>); 5] = [
    ("proc", "/proc", PLAIN, None),
    ("sysfs", "/sys", PLAIN.union(MountFlags::RDONLY), None),
    (
        "devtmpfs",
        "/dev",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
        Some(c"size=64k,mode=0755"),
    ),
    (
        "tmpfs",
        "/tmp",
        PLAIN,
        Some(c"size=4m,nr_inodes=1024,mode=1777"),
    ),
    (
        "tmpfs",
        "/run",
        PLAIN,
        Some(c"size=1m,nr_inodes=1024,mode=0755"),
    ),
];

/// Mounts them, and takes the right to write away from the root.
///
/// # Errors
///
/// `mount-failed`, with the folder.
pub fn mount_all() -> Result<(), Refusal> {
    let failed = |folder: &str, error| Refusal::new("mount-failed", format!("{folder}: {error}"));
    for (kind, folder, flags, options) in MOUNTS {
        mount(kind, folder, kind, flags, options).map_err(|error| failed(folder, error))?;
    }
    // The mount and not the file system: a test in a namespace of its own must not reach the machine's.
    let root = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount("/", root, c"").map_err(|error| failed("/", error))
}
