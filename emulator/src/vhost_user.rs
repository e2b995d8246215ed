//! Running a vhost-user backend for one virtual machine, from QEMU's connection to its end.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use vhost::vhost_user::{Error as Protocol, Listener};
use vhost_user_backend::{Error, VhostUserBackend, VhostUserDaemon, VringRwLock};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use crate::vsock::Stop;

/// A device that ended before its machine did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ServeError {
    /// The system refused.
    #[error("the {device} device cannot go on: {source}")]
    Io {
        /// Which.
        device: &'static str,
        /// Why.
        source: io::Error,
    },
    /// QEMU spoke wrongly.
    #[error("the {device} device and QEMU do not understand each other: {reason}")]
    Protocol {
        /// Which.
        device: &'static str,
        /// Why.
        reason: String,
    },
}

/// Serves the one machine that connects to `listener`; returns when QEMU has gone, or `stop` was called. Blocks: give it
/// a thread.
///
/// # Errors
///
/// When QEMU says what makes no sense, or the system refuses.
pub(crate) fn serve<B>(
    device: &'static str,
    backend: Arc<B>,
    listener: UnixListener,
    stop: &Stop,
) -> Result<(), ServeError>
where
    B: VhostUserBackend<Bitmap = (), Vring = VringRwLock> + 'static,
{
    let failed = |error: Error| match error {
        Error::StartDaemon(source) => ServeError::Io { device, source },
        error => ServeError::Protocol {
            device,
            reason: error.to_string(),
        },
    };
    if !wait_for(&listener, stop).map_err(|source| ServeError::Io { device, source })? {
        return Ok(());
    }
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let mut daemon =
        VhostUserDaemon::new(format!("nacre-{device}"), backend, memory).map_err(failed)?;
    daemon
        .start(&mut Listener::from(listener))
        .map_err(failed)?;
    if let Some(handle) = daemon.shutdown_handle() {
        stop.then(move || handle.shutdown());
    }
    orderly(daemon.wait()).map_err(failed)
}

/// How QEMU left: it may do so at any moment, in the middle of a word as well.
pub(crate) fn orderly(ended: Result<(), Error>) -> Result<(), Error> {
    match ended {
        Err(Error::HandleRequest(
            Protocol::Disconnected | Protocol::PartialMessage | Protocol::SocketBroken(_),
        )) => Ok(()),
        ended => ended,
    }
}

/// Waits until QEMU connects. `false`: it is not to be waited for any longer.
pub(crate) fn wait_for(listener: &UnixListener, stop: &Stop) -> io::Result<bool> {
    loop {
        let mut waits = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut waits, None) {
            Ok(_) if stop.is_set() => return Ok(false),
            Ok(_) if !waits[0].revents().is_empty() => return Ok(true),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
