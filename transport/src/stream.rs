//! A connected stream of bytes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_vsock::VsockStream;

use crate::vsock::VsockSocket;

/// A connected stream. Shutting it down ends the direction that was written; the other direction stays open.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// AF_VSOCK
    Vsock(VsockSocket),
    /// A Unix socket, also the one behind `hybrid:`.
    Unix(UnixStream),
    /// TCP, with Nagle's algorithm off.
    Tcp(TcpStream),
}

/// What a socket is to be ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Bytes, an end or an error to be read.
    Read,
    /// Room for bytes to be written.
    Write,
}

impl Stream {
    /// Takes a TCP stream that was accepted or opened elsewhere and turns Nagle's algorithm off.
    pub fn from_tcp(stream: TcpStream) -> Self {
        // Fails only on a connection that is already gone, which the next read says better.
        let _ = stream.set_nodelay(true);
        Self::Tcp(stream)
    }

    /// Takes a connected vsock stream.
    pub fn from_vsock(stream: VsockStream) -> io::Result<Self> {
        VsockSocket::new(stream).map(Self::Vsock)
    }

    /// The context id of who is connected, where that is vsock.
    pub fn peer_cid(&self) -> Option<u32> {
        match self {
            Self::Vsock(stream) => Some(stream.peer().cid()),
            _ => None,
        }
    }

    /// Makes closing tell the peer of an abort instead of an end: TCP sends RST. The other kinds have no such sign, and
    /// simply close.
    pub fn abort_on_close(&self) {
        if let Self::Tcp(stream) = self {
            // Fails only on a connection that is already gone.
            let _ = stream.set_zero_linger();
        }
    }
}

macro_rules! poll_ready {
    ($stream:ident, $cx:ident, $ready:ident, $io:ident) => {
        loop {
            let interest = match $ready {
                Ready::Read => {
                    ready!($stream.poll_read_ready($cx))?;
                    Interest::READABLE
                }
                Ready::Write => {
                    ready!($stream.poll_write_ready($cx))?;
                    Interest::WRITABLE
                }
            };
            match $stream.try_io(interest, || $io($stream.as_fd())) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    };
}

impl Stream {
    /// Does something with the socket that reading and writing do not cover (splice(2)) once it is ready for it.
    /// `io` must not wait: it fails with [`io::ErrorKind::WouldBlock`] when the socket was not ready after all, and is
    /// called again when it is.
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        ready: Ready,
        mut io: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        match self {
            Self::Vsock(stream) => poll_ready!(stream, cx, ready, io),
            Self::Unix(stream) => poll_ready!(stream, cx, ready, io),
            Self::Tcp(stream) => poll_ready!(stream, cx, ready, io),
        }
    }
}

macro_rules! on_inner {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Vsock(stream) => {
                let $inner = Pin::new(&mut **stream);
                $call
            }
            Self::Unix(stream) => {
                let $inner = Pin::new(stream);
                $call
            }
            Self::Tcp(stream) => {
                let $inner = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_inner!(self, inner => inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_inner!(self, inner => inner.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_inner!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_inner!(self, inner => inner.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_inner!(self, inner => inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Vsock(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}
