//! Opening a stream.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, send, socket_with, sockopt,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_vsock::{VsockAddr, VsockStream};

use crate::address::{Address, AddressSyntaxError, checked_path};
use crate::stream::Stream;

/// Longest answer to `CONNECT`: `OK ` and a number.
const MAX_HYBRID_ANSWER: usize = 32;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answered in time.
    #[error("connecting to {0} took too long")]
    Deadline(Address),
    /// The address was built by hand and cannot be connected to.
    #[error("cannot connect to {0}: {1}")]
    Address(Address, #[source] AddressSyntaxError),
    /// The kernel or the peer refused.
    #[error("cannot connect to {0}: {1}")]
    Io(Address, #[source] io::Error),
    /// The virtual machine monitor did not say `OK`: nobody listens on that port in the guest.
    #[error("cannot connect to {0}: the guest does not accept connections on that port")]
    GuestRefused(Address),
}

/// Opens a stream to the address before the deadline.
pub async fn connect(address: &Address, deadline: Instant) -> Result<Stream, ConnectError> {
    let (stream, _) = connect_saying(address, &[], deadline).await?;
    Ok(stream)
}

/// Opens a stream as [`connect`] does, and says these bytes the moment that it is open: as many as it takes without
/// waiting. Returns how many that were; none were said when it fails.
///
/// Who listens there then finds them when it is woken for the connection, and need not be woken again for them.
pub async fn connect_saying(
    address: &Address,
    first: &[u8],
    deadline: Instant,
) -> Result<(Stream, usize), ConnectError> {
    timeout_at(deadline, open(address, first))
        .await
        .map_err(|_| ConnectError::Deadline(address.clone()))?
}

async fn open(address: &Address, first: &[u8]) -> Result<(Stream, usize), ConnectError> {
    let io = |e| ConnectError::Io(address.clone(), e);
    let stream = match address {
        Address::Unix(path) => {
            let (stream, said) = open_unix(address, path, first)?;
            return Ok((Stream::Unix(stream), said));
        }
        Address::Tcp { host, port } => match host.parse::<IpAddr>() {
            Ok(ip) => {
                let open = open_tcp(SocketAddr::new(ip, *port), first).await;
                let (stream, said) = open.map_err(io)?;
                return Ok((Stream::Tcp(stream), said));
            }
            Err(_) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                stream.map(Stream::from_tcp).map_err(io)?
            }
        },
        Address::Vsock { cid, port } => VsockStream::connect(VsockAddr::new(*cid, *port))
            .await
            .and_then(Stream::from_vsock)
            .map_err(io)?,
        Address::Hybrid { socket, port } => {
            let (mut stream, _) = open_unix(address, socket, &[])?;
            if !ask_for_port(&mut stream, *port).await.map_err(io)? {
                return Err(ConnectError::GuestRefused(address.clone()));
            }
            Stream::Unix(stream)
        }
    };
    // What is wrong with it is found by who uses it next.
    let said = say(&stream, first).unwrap_or(0);
    Ok((stream, said))
}

/// Says what is taken without waiting.
fn say(socket: impl AsFd, first: &[u8]) -> Result<usize, Errno> {
    if first.is_empty() {
        return Ok(0);
    }
    send(socket, first, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
}

const NEW: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

fn open_unix(
    address: &Address,
    path: &Path,
    first: &[u8],
) -> Result<(UnixStream, usize), ConnectError> {
    checked_path(path).map_err(|e| ConnectError::Address(address.clone(), e))?;
    connect_unix(path, first).map_err(|e| ConnectError::Io(address.clone(), e))
}

/// A Unix socket is connected at once or not at all (`EAGAIN`: too many wait to be accepted), so nothing is waited for.
fn connect_unix(path: &Path, first: &[u8]) -> io::Result<(UnixStream, usize)> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, NEW, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let said = say(&socket, first).unwrap_or(0);
    Ok((UnixStream::from_std(socket.into())?, said))
}

async fn open_tcp(address: SocketAddr, first: &[u8]) -> io::Result<(TcpStream, usize)> {
    let (socket, said) = begin_tcp(address, first)?;
    let stream = TcpStream::from_std(socket.into())?;
    if said > 0 {
        return Ok((stream, said));
    }
    stream.writable().await?;
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    let said = say(&stream, first).unwrap_or(0);
    Ok((stream, said))
}

/// Begins to connect. On the machine itself that takes no time, so the bytes are tried at once; none are taken before
/// there is a connection.
fn begin_tcp(address: SocketAddr, first: &[u8]) -> io::Result<(OwnedFd, usize)> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, NEW, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    match say(&socket, first) {
        Ok(said) => Ok((socket, said)),
        Err(Errno::AGAIN | Errno::NOTCONN | Errno::INPROGRESS | Errno::ALREADY) => Ok((socket, 0)),
        // The kernel says only once why there is no connection.
        Err(error) => Err(error.into()),
    }
}

/// The handshake of hybrid vsock: `CONNECT <port>\n` out, `OK <number>\n` in; a monitor that finds nobody listening
/// closes instead.
async fn ask_for_port(stream: &mut UnixStream, port: u32) -> io::Result<bool> {
    stream
        .write_all(format!("CONNECT {port}\n").as_bytes())
        .await?;
    let mut answer = Vec::with_capacity(MAX_HYBRID_ANSWER);
    // One byte at a time: what follows the line already belongs to the guest.
    while answer.len() < MAX_HYBRID_ANSWER {
        match stream.read_u8().await {
            Ok(b'\n') => return Ok(is_ok(&answer)),
            Ok(byte) => answer.push(byte),
            Err(e) if is_close(&e) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(false)
}

fn is_ok(answer: &[u8]) -> bool {
    answer
        .strip_prefix(b"OK ")
        .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

fn is_close(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    )
}
