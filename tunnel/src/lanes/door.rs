//! Where connections come in.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use nacre_transport::{Address, Listener, Stream};
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::shut::shut;

/// Where connections come in.
pub(super) enum Door {
    /// A lane's own handle of the TCP socket that all lanes listen on. Held in a type that lends its readiness, which
    /// the one for listening sockets does not.
    Tcp(TcpStream),
    /// The one handle of a socket of any kind.
    Any(Listener),
}

/// One that came in.
pub(super) enum Accepted {
    /// Its socket, which no runtime knows yet, and where it comes from.
    Tcp(OwnedFd, Option<SocketAddr>),
    /// A stream of the runtime that accepted it.
    Any(Stream, Option<SocketAddr>),
}

impl Door {
    pub(super) fn tcp(socket: OwnedFd) -> io::Result<Self> {
        TcpStream::from_std(socket.into()).map(Self::Tcp)
    }

    /// Nobody more begins to connect; those who have begun can be accepted.
    pub(super) fn shut(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => shut(listener),
            Self::Any(listener) => match listener.local_address() {
                Address::Tcp { .. } => shut(listener),
                _ => Ok(()),
            },
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Any(listener) => {
                let (stream, from) = listener.accept_from().await?;
                Ok(Accepted::Any(stream, from))
            }
            Self::Tcp(listener) => loop {
                match listener
                    .async_io(Interest::READABLE, || accept(listener))
                    .await
                {
                    // The peer gave up while it waited; accept(2).
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    done => return done,
                }
            },
        }
    }
}

fn accept(listener: &TcpStream) -> io::Result<Accepted> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, from) = acceptfrom_with(listener, flags)?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
    Ok(Accepted::Tcp(socket, from))
}

impl Accepted {
    /// Its stream, of the runtime in which this is called.
    pub(super) fn into_stream(self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            // Nagle's algorithm is off as it is on the listening socket (tcp(7)).
            Self::Tcp(socket, from) => Ok((Stream::Tcp(TcpStream::from_std(socket.into())?), from)),
            Self::Any(stream, from) => Ok((stream, from)),
        }
    }
}
