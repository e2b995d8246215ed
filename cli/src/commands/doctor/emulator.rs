//! What booting the image under QEMU needs. QEMU, the kernel and the compiler for it come as Debian packages that are
//! unpacked into the cache; nothing is installed and nobody needs to be root.

use super::check::{Check, Mode};
use super::fix::{Package, as_root, install};
use super::machine::{Device, Machine, System};

const EMULATOR: &[Mode] = &[Mode::Emulator];
const IMAGE: &[Mode] = &[Mode::Nitro, Mode::Emulator];

/// Space for packages, sources and objects of a kernel; and for what is kept of them.
const SPACE_TO_BUILD: u64 = 6 << 30;
const SPACE_TO_RUN: u64 = 512 << 20;

/// The pinned QEMU: here already, or to be had.
pub(super) fn qemu(machine: &Machine) -> Check {
    const CODE: &str = "qemu";
    if machine.cache.qemu {
        return Check::ok(CODE, EMULATOR, "in the cache");
    }
    match lacking(machine) {
        None => Check::ok(CODE, EMULATOR, "will be fetched (38 MB)"),
        Some((found, fix)) => Check::missing(CODE, EMULATOR, found, fix),
    }
}

/// The image's kernel: built already, or to be built. On a Nitro machine an image may come from elsewhere.
pub(super) fn kernel_image(machine: &Machine) -> Check {
    const CODE: &str = "kernel";
    if machine.cache.kernel {
        return Check::ok(CODE, IMAGE, "in the cache");
    }
    let unpacks = ["tar", "xz"]
        .iter()
        .all(|name| machine.programs.contains(name));
    match lacking(machine) {
        None if unpacks => Check::ok(CODE, IMAGE, "will be built (some minutes)"),
        None => {
            let package = Package {
                debian: "tar xz-utils",
                amazon: "tar xz",
            };
            let fix = install(machine, package);
            Check::degraded(
                CODE,
                IMAGE,
                "its source cannot be unpacked: no tar or xz",
                fix,
            )
        }
        Some((found, fix)) => Check::degraded(
            CODE,
            IMAGE,
            format!("images cannot be built here, only run: {found}"),
            fix,
        ),
    }
}

/// What is missing to fetch Debian packages, and what brings it.
fn lacking(machine: &Machine) -> Option<(String, String)> {
    let on_debian = matches!(machine.system, System::Debian | System::Ubuntu);
    let tools = machine.programs.contains("apt-get")
        && machine.programs.contains("dpkg-deb")
        && machine.debian.apt_helper;
    if !tools && !on_debian {
        let fix = "build the image and run this in a Debian container: docker build -t nacre .";
        let found = "apt and dpkg-deb, which fetch Debian packages, are not of this system";
        return Some((found.to_owned(), fix.to_owned()));
    }
    let package = |debian| Package {
        debian,
        amazon: debian,
    };
    if !tools {
        let fix = install(machine, package("apt dpkg"));
        return Some(("no apt or dpkg-deb".to_owned(), fix));
    }
    if !machine.debian.keyring {
        let fix = install(machine, package("debian-archive-keyring"));
        return Some(("the keys of Debian's archive are missing".to_owned(), fix));
    }
    if !machine.debian.mirror {
        let fix = "export NACRE_DEBIAN_MIRROR=<address of a Debian mirror>";
        let found = "apt of this machine knows no Debian mirror";
        return Some((found.to_owned(), fix.to_owned()));
    }
    None
}

/// Space where things are kept.
pub(super) fn cache_space(machine: &Machine) -> Check {
    const CODE: &str = "cache-space";
    let cache = &machine.cache;
    let Some(folder) = &cache.folder else {
        let fix = "export NACRE_CACHE=<a folder>";
        return Check::missing(CODE, EMULATOR, "no place for the cache: no HOME", fix);
    };
    let mib = cache.free >> 20;
    let found = format!("{mib} MiB are free for {}", folder.display());
    let elsewhere = "export NACRE_CACHE=<a folder on a larger disk>";
    match (cache.free, cache.kernel && cache.qemu) {
        (SPACE_TO_BUILD.., _) | (SPACE_TO_RUN.., true) => Check::ok(CODE, EMULATOR, found),
        (SPACE_TO_RUN.., false) => {
            let found = format!("{found}; building a kernel needs 6 GiB for a while");
            Check::degraded(CODE, EMULATOR, found, elsewhere)
        }
        _ => Check::missing(CODE, EMULATOR, found, elsewhere),
    }
}

/// Whether a guest's code runs on the processor itself. Without, it is translated: complete, and many times slower.
pub(super) fn kvm(machine: &Machine) -> Check {
    const CODE: &str = "kvm";
    match machine.kvm {
        Device::Usable => Check::ok(CODE, EMULATOR, "/dev/kvm"),
        Device::Denied => Check::degraded(
            CODE,
            EMULATOR,
            "/dev/kvm is there, and this user may not use it: guests are translated, which is slow",
            as_root(machine, "usermod -aG kvm \"$USER\"") + ", then log in again",
        ),
        Device::Absent => Check::degraded(
            CODE,
            EMULATOR,
            "no /dev/kvm: guests are translated, which is slow",
            "use a machine with hardware virtualisation, or be patient",
        ),
    }
}
