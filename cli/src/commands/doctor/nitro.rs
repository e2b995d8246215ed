//! What real enclaves need of their parent instance (AWS Nitro Enclaves User Guide).

use super::check::{Check, Mode};
use super::fix::{allocate, as_root, install_nitro_cli};
use super::machine::{Device, Machine};

const NITRO: &[Mode] = &[Mode::Nitro];
/// The least memory that the image boots with, and room for a small model.
const LEAST_MEMORY: u64 = 512 << 20;

/// The driver's device, and whether this user may use it.
pub(super) fn device(machine: &Machine) -> Check {
    const CODE: &str = "nitro-device";
    match machine.nitro {
        Device::Usable => Check::ok(CODE, NITRO, "/dev/nitro_enclaves"),
        Device::Denied => Check::missing(
            CODE,
            NITRO,
            "/dev/nitro_enclaves is there, and this user may not use it",
            as_root(machine, "usermod -aG ne \"$USER\"") + ", then log in again",
        ),
        Device::Absent if machine.ec2 => Check::missing(
            CODE,
            NITRO,
            "this EC2 instance has no /dev/nitro_enclaves",
            as_root(machine, "modprobe nitro_enclaves")
                + "; if that fails, start the instance anew with --enclave-options Enabled=true",
        ),
        Device::Absent => Check::missing(
            CODE,
            NITRO,
            "this is no EC2 instance",
            "aws ec2 run-instances --instance-type m5.xlarge --enclave-options Enabled=true …",
        ),
    }
}

/// CPUs for enclaves.
pub(super) fn cpu_pool(machine: &Machine) -> Check {
    const CODE: &str = "nitro-cpu-pool";
    match machine.cpu_pool.as_deref() {
        Some(pool) if !pool.is_empty() => {
            Check::ok(CODE, NITRO, format!("CPUs {pool} are set aside"))
        }
        Some(_) => Check::missing(CODE, NITRO, "no CPU is set aside", allocate(machine)),
        None => Check::missing(CODE, NITRO, "no driver", allocate(machine)),
    }
}

/// Memory for enclaves.
pub(super) fn huge_pages(machine: &Machine) -> Check {
    const CODE: &str = "nitro-hugepages";
    let found = format!("{} MiB of free huge pages", machine.huge_free >> 20);
    match machine.huge_free >= LEAST_MEMORY {
        true => Check::ok(CODE, NITRO, found),
        false => Check::missing(CODE, NITRO, found, allocate(machine)),
    }
}

/// AWS's command line. Nacre starts enclaves by itself; the package brings the service that sets CPUs and memory aside,
/// and the console of debug enclaves.
pub(super) fn command_line(machine: &Machine) -> Check {
    const CODE: &str = "nitro-cli";
    match machine.programs.contains("nitro-cli") {
        true => Check::ok(CODE, NITRO, "nitro-cli"),
        false => Check::degraded(CODE, NITRO, "no nitro-cli", install_nitro_cli(machine)),
    }
}

/// How parent and enclave reach each other.
pub(super) fn vsock(machine: &Machine) -> Check {
    const CODE: &str = "vsock";
    match machine.vsock {
        Device::Absent => Check::missing(
            CODE,
            NITRO,
            "no /dev/vsock",
            as_root(machine, "modprobe vmw_vsock_virtio_transport"),
        ),
        // Sockets need no right to the device, which only tells the own context id.
        Device::Denied | Device::Usable => Check::ok(CODE, NITRO, "/dev/vsock"),
    }
}
