//! A connected AF_VSOCK socket.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;

use tokio::net::UnixStream;
use tokio_vsock::{VsockAddr, VsockStream};

/// A connected AF_VSOCK socket.
///
/// What is done with a connected socket is the same for every family, so it is held in a type that also lends its
/// readiness ([`Stream::poll_io`](crate::Stream::poll_io)), which the one for vsock does not.
#[derive(Debug)]
pub struct VsockSocket {
    socket: UnixStream,
    peer: VsockAddr,
}

impl VsockSocket {
    pub(crate) fn new(stream: VsockStream) -> io::Result<Self> {
        let peer = stream.peer_addr()?;
        let socket = std::os::unix::net::UnixStream::from(OwnedFd::from(stream));
        let socket = UnixStream::from_std(socket)?;
        Ok(Self { socket, peer })
    }

    /// Who is connected.
    pub fn peer(&self) -> VsockAddr {
        self.peer
    }
}

impl Deref for VsockSocket {
    type Target = UnixStream;

    fn deref(&self) -> &UnixStream {
        &self.socket
    }
}

impl DerefMut for VsockSocket {
    fn deref_mut(&mut self) -> &mut UnixStream {
        &mut self.socket
    }
}
