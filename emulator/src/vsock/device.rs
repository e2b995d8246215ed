//! The device as QEMU sees it: a vhost-user backend that serves one virtual machine and ends with it.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vhost::vhost_user::Listener;
use vhost_user_backend::VhostUserDaemon;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

use crate::socket_file::{SocketError, SocketFile};
use crate::vhost_user::{orderly, wait_for};
use crate::vsock::backend::{Backend, HOSTS_EVENT};
use crate::vsock::host::path_of;
use crate::vsock::stop::Stop;
use crate::vsock::switch::Switch;
use crate::vsock::table::Limits;
use crate::vsock::wire::FaultPlan;

/// What a device is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The guest's own address, at least 3; a Nitro enclave's is 4 or more.
    pub guest_cid: u64,
    /// Where QEMU connects: `-chardev socket,id=vsock,path=…`.
    pub vhost_user: PathBuf,
    /// Where the host's programs ask for a port of the guest, and, with `_PORT` behind it, listen for the guest.
    pub socket: PathBuf,
    /// What the guest may cost.
    pub limits: Limits,
}

/// Why there is no device, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// One of the two sockets could not be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The socket's path leaves no room for `_4294967295`.
    #[error("{} is too long for a vsock socket: with a port behind it, a path must not pass 107 bytes", .0.display())]
    PathTooLong(PathBuf),
    /// Addresses below 3 mean the hypervisor, the host itself and "any"; the last 32-bit one is "any" as well.
    #[error("{0} is no address for a guest: use 4 or more")]
    GuestCid(u64),
    /// The system refused something else.
    #[error("the vsock device cannot go on: {0}")]
    Io(#[from] io::Error),
    /// QEMU spoke wrongly.
    #[error("the vsock device and QEMU do not understand each other: {0}")]
    VhostUser(String),
}

impl DeviceError {
    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Socket(error) => error.code(),
            Self::PathTooLong(_) => "vsock-path-too-long",
            Self::GuestCid(_) => "vsock-guest-cid",
            Self::Io(_) => "vsock-io",
            Self::VhostUser(_) => "vsock-vhost-user",
        }
    }
}

/// A device that waits for its virtual machine.
pub struct Device {
    vhost_user: (UnixListener, SocketFile),
    socket: SocketFile,
    switch: Switch,
    faults: FaultPlan,
    guest_cid: u64,
}

/// The longest path of a Unix socket, in bytes.
const MAX_PATH: usize = 107;

impl Device {
    /// Opens both sockets. From now on QEMU may be started, and programs may connect: those that come before the guest
    /// does wait for it, for five seconds.
    ///
    /// # Errors
    ///
    /// When a path or the address does not serve, or the system refuses.
    pub fn bind(options: Options) -> Result<Self, DeviceError> {
        if options.guest_cid < 3 || options.guest_cid >= u64::from(u32::MAX) {
            return Err(DeviceError::GuestCid(options.guest_cid));
        }
        if path_of(&options.socket, u32::MAX).as_os_str().len() > MAX_PATH {
            return Err(DeviceError::PathTooLong(options.socket));
        }
        let vhost_user = SocketFile::bind(&options.vhost_user)?;
        let (listener, socket) = SocketFile::bind(&options.socket)?;
        let faults = FaultPlan::new()?;
        let switch = Switch::new(
            options.guest_cid,
            options.limits,
            options.socket,
            listener,
            faults.clone(),
        )?;
        Ok(Self {
            vhost_user,
            socket,
            switch,
            faults,
            guest_cid: options.guest_cid,
        })
    }

    /// A handle on its faults, for as long as it runs.
    #[must_use]
    pub fn faults(&self) -> FaultPlan {
        self.faults.clone()
    }

    /// Where QEMU connects.
    #[must_use]
    pub fn vhost_user(&self) -> &Path {
        self.vhost_user.1.path()
    }

    /// Serves one virtual machine; returns when QEMU has gone, or `stop` was called. Then all connections are closed,
    /// and the sockets' files are gone. Blocks: give it a thread.
    ///
    /// # Errors
    ///
    /// When QEMU says what makes no sense, or the system refuses.
    pub fn run(self, stop: &Stop) -> Result<(), DeviceError> {
        let (listener, file) = self.vhost_user;
        if !wait_for(&listener, stop)? {
            return Ok(());
        }
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let hosts = self.switch.as_fd().as_raw_fd();
        let backend = Backend::new(self.guest_cid, self.switch, memory.clone());
        let backend = Arc::new(Mutex::new(backend));
        let spoke_wrongly = |error: vhost_user_backend::Error| match error {
            vhost_user_backend::Error::StartDaemon(error) => DeviceError::Io(error),
            error => DeviceError::VhostUser(error.to_string()),
        };
        let mut daemon =
            VhostUserDaemon::new("nacre-vsock".to_owned(), Arc::clone(&backend), memory)
                .map_err(spoke_wrongly)?;
        let workers = daemon.get_epoll_handlers();
        for worker in &workers {
            worker.register_listener(hosts, EventSet::IN, HOSTS_EVENT)?;
        }
        daemon
            .start(&mut Listener::from(listener))
            .map_err(spoke_wrongly)?;
        if let Some(handle) = daemon.shutdown_handle() {
            stop.then(move || handle.shutdown());
        }
        let ended = daemon.wait();
        for worker in &workers {
            let _ = worker.unregister_listener(hosts, EventSet::IN, HOSTS_EVENT);
            worker.send_exit_event();
        }
        drop(workers);
        // Waits for the threads; with the last of them the host's sockets are closed.
        drop(daemon);
        let failed = backend
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failure();
        drop((backend, self.socket, file));
        if let Some(error) = failed {
            return Err(error.into());
        }
        orderly(ended).map_err(spoke_wrongly)
    }
}
