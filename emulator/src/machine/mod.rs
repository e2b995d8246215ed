//! The enclave as a virtual machine: QEMU, its devices, and how it ended.
//!
//! A [`Machine`] boots a [`LoadedImage`] in QEMU's `microvm`, which has what a Nitro enclave has and nothing else: memory,
//! processors, a serial port, the NSM and vsock as virtio-mmio devices that the kernel finds on its command line. Both
//! devices are vhost-user backends in threads of this process.
//!
//! What QEMU is given: argument vectors without a shell, no environment but where its own modules are, a seccomp filter
//! that forbids it to start programs, and sockets in a folder that only this user can enter and that is removed as soon
//! as QEMU has connected. It ends with this process, however that ends (`-run-with exit-with-parent`), and its end ends
//! the devices.

mod accelerator;
mod console;
mod error;
mod heartbeat;
mod image;
mod process;
mod qemu;
mod qmp;
mod tsc;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nacre_image::debian::QemuDir;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle as Task;

pub use accelerator::Accelerator;
pub use error::MachineError;
pub use heartbeat::Heartbeat;
pub use image::LoadedImage;

use crate::faults::FaultyNsm;
use crate::nsm_device::NsmDevice;
use crate::vhost_user;
use crate::vsock::wire::FaultPlan;
use crate::vsock::{self, Stop};
pub use process::Grip;
use process::{Exit, Process};
pub use qemu::TCG_CPU;
use qmp::Said;

/// What a machine is made of, besides its image and its module.
#[derive(Debug)]
pub struct MachineConfig {
    /// The QEMU to run.
    pub qemu: QemuDir,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Virtual processors.
    pub cpus: u32,
    /// Whether the guest's console goes to standard error.
    pub console: bool,
    /// The guest's vsock address.
    pub cid: u64,
    /// The Unix socket that stands for the guest.
    pub vsock: PathBuf,
}

/// A running machine. Dropping it ends it, and waits until it is gone.
pub struct Machine {
    process: Process,
    said: watch::Receiver<Said>,
    listening: Task<()>,
    devices: Vec<(Stop, JoinHandle<()>)>,
    wire: FaultPlan,
}

/// How long a processor's rate is measured while other things are done.
#[derive(Debug)]
pub struct Clockwork(tsc::Measuring);

impl Clockwork {
    /// Begins to measure; best before the image is read.
    #[must_use]
    pub fn begin() -> Self {
        Self(tsc::Measuring::begin())
    }
}

impl Machine {
    /// Starts the machine: when this returns, QEMU runs. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When memory cannot hold the image, a socket cannot be opened, or QEMU does not start.
    pub async fn start(
        config: MachineConfig,
        image: LoadedImage,
        module: FaultyNsm,
        clockwork: Clockwork,
    ) -> Result<Self, MachineError> {
        check_memory(&config, &image)?;
        let folder = private_folder()?;
        let mut devices = Vec::new();
        let nsm = folder.path().join("nsm");
        devices.push(start_nsm(&nsm, module)?);
        let vsock_path = folder.path().join("vsock");
        let started = start_vsock(&config, &vsock_path);
        let qmp = folder.path().join("qmp");
        let listener = tokio::net::UnixListener::bind(&qmp).map_err(MachineError::io(&qmp));
        let (say, said) = watch::channel(Said::default());
        let mut machine = Unfinished { devices };
        let (stop, thread, wire) = started?;
        machine.devices.push((stop, thread));
        let sockets = qemu::Sockets {
            nsm,
            vsock: vsock_path,
            qmp,
        };
        let tsc_khz = clockwork.0.finish();
        let (accelerator, why) = config.accelerator.chosen();
        tracing::info!(%accelerator, why, tsc_khz, "starting QEMU");
        let command = qemu::command(&config, accelerator, &image, &sockets, tsc_khz);
        let process = Process::spawn(command, config.console).await?;
        let listening = tokio::spawn(follow(listener?, say, folder, image));
        Ok(Self {
            process,
            said,
            listening,
            devices: std::mem::take(&mut machine.devices),
            wire,
        })
    }

    /// Waits until the machine has ended. Can be called again if it was not waited for to the end.
    ///
    /// # Errors
    ///
    /// When the guest did not end in order: its kernel panicked, QEMU was killed, or QEMU failed.
    pub async fn ended(&mut self) -> Result<(), MachineError> {
        let exit = tokio::select! {
            exit = self.process.ended() => exit,
            Ok(_) = self.said.wait_for(|said| said.stopped) => return Err(MachineError::Stalled),
        };
        if !self.listening.is_finished() {
            // QEMU has gone, so this ends; what it said last is what matters.
            let _ = (&mut self.listening).await;
        }
        self.judge(exit)
    }

    /// A handle on what befalls its connections.
    #[must_use]
    pub fn wire(&self) -> FaultPlan {
        self.wire.clone()
    }

    /// A handle to hold it up or end it by.
    #[must_use]
    pub fn grip(&self) -> Grip {
        self.process.grip()
    }

    fn judge(&self, exit: Exit) -> Result<(), MachineError> {
        let reason = self.said.borrow().shutdown.clone();
        if exit.panicked {
            return Err(MachineError::GuestPanicked);
        }
        match (reason.as_deref(), exit.status.success()) {
            (Some("guest-reset" | "guest-shutdown"), true) => Ok(()),
            (_, success) => Err(MachineError::QemuEnded {
                status: exit.status,
                reason: reason
                    .filter(|_| success)
                    .or(exit.complaint)
                    .unwrap_or_else(|| "it said nothing".to_owned()),
            }),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.process.grip().kill();
        self.listening.abort();
        stop(&mut self.devices);
    }
}

/// Devices without a machine yet.
struct Unfinished {
    devices: Vec<(Stop, JoinHandle<()>)>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        stop(&mut self.devices);
    }
}

fn stop(devices: &mut Vec<(Stop, JoinHandle<()>)>) {
    for (stop, _) in &*devices {
        stop.stop();
    }
    for (_, thread) in devices.drain(..) {
        // One that panicked has said so already.
        let _ = thread.join();
    }
}

/// Hears QEMU out. Once it has connected here, which it does last, it has opened all it was told the names of.
async fn follow(
    listener: tokio::net::UnixListener,
    say: watch::Sender<Said>,
    folder: TempDir,
    image: LoadedImage,
) {
    let Ok((stream, _)) = listener.accept().await else {
        return;
    };
    drop((listener, folder));
    qmp::listen(stream, &say).await;
    // QEMU reads kernel and ramdisks from this process's own files.
    drop(image);
}

fn check_memory(config: &MachineConfig, image: &LoadedImage) -> Result<(), MachineError> {
    /// What a kernel takes for itself before it has unpacked anything.
    const KERNEL: u64 = 32;
    let needed = image.size.div_ceil(1 << 20) + KERNEL;
    if config.memory_mib < needed {
        return Err(MachineError::TooLittleMemory {
            given: config.memory_mib,
            needed,
        });
    }
    Ok(())
}

fn private_folder() -> Result<TempDir, MachineError> {
    let base = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|folder| folder.is_dir())
        .unwrap_or_else(std::env::temp_dir);
    tempfile::Builder::new()
        .prefix("nacre-vm-")
        .tempdir_in(&base)
        .map_err(MachineError::io(&base))
}

fn start_nsm(path: &Path, module: FaultyNsm) -> Result<(Stop, JoinHandle<()>), MachineError> {
    let listener = UnixListener::bind(path).map_err(MachineError::io(path))?;
    let stop = Stop::new().map_err(MachineError::io(path))?;
    let device = Arc::new(NsmDevice::new(module, stop.clone()));
    let end = stop.clone();
    let thread = in_thread("nsm", move || {
        vhost_user::serve("nsm", device, listener, &end).map_err(|error| error.to_string())
    })?;
    Ok((stop, thread))
}

fn start_vsock(
    config: &MachineConfig,
    path: &Path,
) -> Result<(Stop, JoinHandle<()>, FaultPlan), MachineError> {
    let device = vsock::Device::bind(vsock::Options {
        guest_cid: config.cid,
        vhost_user: path.to_owned(),
        socket: config.vsock.clone(),
        limits: vsock::Limits::default(),
    })?;
    let wire = device.faults();
    let stop = Stop::new().map_err(MachineError::io(path))?;
    let end = stop.clone();
    let thread = in_thread("vsock", move || {
        device.run(&end).map_err(|error| error.to_string())
    })?;
    Ok((stop, thread, wire))
}

fn in_thread(
    name: &'static str,
    run: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<JoinHandle<()>, MachineError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if let Err(error) = run() {
                tracing::error!(device = name, error, "a device ended before its machine");
            }
        })
        .map_err(|source| MachineError::Io {
            what: "a thread".to_owned(),
            source,
        })
}
