//! QEMU's arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::image::path_of;
use super::{Accelerator, LoadedImage, MachineConfig};
use crate::nsm_device::VIRTIO_ID;

/// The processor under TCG: all that TCG can do, AVX2 above all, which models are computed with; but
///
/// - no fast string instructions (`erms`, `fsrm` and their kin). Linux and glibc would copy and clear memory with
///   `rep movsb` and `rep stosb`, of which TCG makes a loop over single bytes: moving bytes through the guest then costs
///   several times as much as with the plain loops that they fall back to.
/// - four levels of page tables, for each level more costs at every miss.
///
/// It calls itself an Intel of 2017, whose time stamp counter Linux knows to be constant: for others it measures each
/// further processor's delay loop, up to a second long on a busy host, and TCG cannot show the bit (`invtsc`) that would
/// say so.
pub const TCG_CPU: &str = "max,erms=off,fsrm=off,fsrs=off,fsrc=off,fzrm=off,la57=off,vendor=GenuineIntel,family=6,model=85";

/// Where QEMU connects.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) nsm: PathBuf,
    pub(super) vsock: PathBuf,
    pub(super) qmp: PathBuf,
}

/// The command that boots the image.
pub(super) fn command(
    config: &MachineConfig,
    accelerator: Accelerator,
    image: &LoadedImage,
    sockets: &Sockets,
    tsc_khz: u64,
) -> Command {
    let memory = config.memory_mib;
    let (cpu, clock) = match accelerator {
        Accelerator::Kvm => ("host", String::new()),
        // The guest's counter is the host's. Its rate cannot be found out reliably against emulated timers.
        _ => (
            TCG_CPU,
            format!(" tsc_early_khz={tsc_khz} tsc=reliable no_timer_check"),
        ),
    };
    // There is no keyboard controller to reset the machine by, only the processor itself.
    let append = format!("{}{clock} reboot=t", image.command_line);
    let mut command = config.qemu.command();
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-no-reboot", "-run-with", "exit-with-parent=on"])
        .args([
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        ])
        .args(["-machine", "microvm,acpi=off,rtc=on,memory-backend=memory"])
        .args(["-accel", &accelerator.to_string(), "-cpu", cpu])
        .args([
            "-smp",
            &config.cpus.to_string(),
            "-m",
            &format!("{memory}M"),
        ])
        .args([
            "-object",
            &format!("memory-backend-memfd,id=memory,size={memory}M,share=on"),
        ])
        .args([
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
        ])
        .arg("-chardev")
        .arg(socket("nsm", &sockets.nsm))
        .args([
            "-device",
            &format!(
                "vhost-user-test-device,chardev=nsm,virtio-id={VIRTIO_ID},num_vqs=1,config_size=0"
            ),
        ])
        .arg("-chardev")
        .arg(socket("vsock", &sockets.vsock))
        .args(["-device", "vhost-user-vsock-device,chardev=vsock"])
        .arg("-kernel")
        .arg(path_of(&image.kernel))
        .arg("-initrd")
        .arg(path_of(&image.ramdisk))
        .args(["-append", &append])
        // Connected last: by then all other names have been used.
        .arg("-chardev")
        .arg(socket("qmp", &sockets.qmp))
        .args(["-mon", "chardev=qmp,mode=control"]);
    command
}

/// A comma in a path is written twice.
fn socket(id: &str, path: &Path) -> OsString {
    let mut text = OsString::from(format!("socket,id={id},path="));
    text.push(path.to_string_lossy().replace(',', ",,"));
    text
}
