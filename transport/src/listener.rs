//! Waiting for streams.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio_vsock::{VsockAddr, VsockListener};

use crate::address::{Address, AddressSyntaxError, checked_path};
use crate::socket_file::SocketFile;
use crate::stream::Stream;

/// Connections that may wait to be accepted; the kernel lowers it to its own limit.
pub(crate) const BACKLOG: u32 = 4096;

/// A listening socket. A Unix socket's file has mode 0600 and is removed on drop.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    inner: Inner,
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Inner {
    Vsock(VsockListener),
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Why nobody can listen there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address was built by hand and cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Address(Address, #[source] AddressSyntaxError),
    /// Another process listens there (also a Unix socket's, which is then left alone).
    #[error("cannot listen on {0}: another process already does")]
    InUse(Address),
    /// The kernel refused.
    #[error("cannot listen on {0}: {1}")]
    Io(Address, #[source] io::Error),
}

impl Listener {
    /// Listens on the address.
    pub async fn bind(address: &Address) -> Result<Self, BindError> {
        if let Some(path) = address.listening_path() {
            checked_path(&path).map_err(|e| BindError::Address(address.clone(), e))?;
        }
        bind(address).await.map_err(|e| match e.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address.clone()),
            _ => BindError::Io(address.clone(), e),
        })
    }

    /// The address, with the port that the kernel chose where 0 was asked for.
    pub fn local_address(&self) -> &Address {
        &self.address
    }

    /// The next connection. An error is the machine's (no file descriptors left): wait a moment before the next try.
    pub async fn accept(&self) -> io::Result<Stream> {
        let (stream, _) = self.accept_from().await?;
        Ok(stream)
    }

    /// The next connection, and where it comes from if that is TCP.
    pub async fn accept_from(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        loop {
            let accepted = match &self.inner {
                Inner::Vsock(listener) => {
                    let accepted = listener.accept().await;
                    accepted.and_then(|(stream, _)| Ok((Stream::from_vsock(stream)?, None)))
                }
                Inner::Unix(listener) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, _)| (Stream::Unix(stream), None))
                }
                // Nagle's algorithm is off as it is on the listening socket (tcp(7)).
                Inner::Tcp(listener) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, from)| (Stream::Tcp(stream), Some(from)))
                }
            };
            match accepted {
                // The peer gave up while it waited; accept(2).
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                other => return other,
            }
        }
    }
}

/// For socket options: on Linux, TCP's are inherited by what is accepted.
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.inner {
            Inner::Vsock(listener) => listener.as_fd(),
            Inner::Unix(listener) => listener.as_fd(),
            Inner::Tcp(listener) => listener.as_fd(),
        }
    }
}

async fn bind(address: &Address) -> io::Result<Listener> {
    if let Some(path) = address.listening_path() {
        let (listener, file) = SocketFile::bind(&path).await?;
        return Ok(Listener {
            address: address.clone(),
            inner: Inner::Unix(listener),
            _file: Some(file),
        });
    }
    let (address, inner) = match address {
        Address::Vsock { cid, port } => {
            let listener = VsockListener::bind(VsockAddr::new(*cid, *port))?;
            (address.clone(), Inner::Vsock(listener))
        }
        Address::Tcp { host, port } => {
            let listener = bind_tcp(host, *port).await?;
            (listener.local_addr()?.into(), Inner::Tcp(listener))
        }
        Address::Unix(_) | Address::Hybrid { .. } => unreachable!("these have a path"),
    };
    Ok(Listener {
        address,
        inner,
        _file: None,
    })
}

async fn bind_tcp(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for candidate in tokio::net::lookup_host((host, port)).await? {
        match listen_tcp(candidate) {
            Ok(listener) => return Ok(listener),
            Err(e) => error = e,
        }
    }
    Err(error)
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restarted program gets its port back while old connections are still in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
