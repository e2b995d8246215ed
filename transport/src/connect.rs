//! Opening a stream.

use std::io;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
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
    timeout_at(deadline, open(address))
        .await
        .map_err(|_| ConnectError::Deadline(address.clone()))?
}

async fn open(address: &Address) -> Result<Stream, ConnectError> {
    let io = |e| ConnectError::Io(address.clone(), e);
    match address {
        Address::Vsock { cid, port } => VsockStream::connect(VsockAddr::new(*cid, *port))
            .await
            .and_then(Stream::from_vsock)
            .map_err(io),
        Address::Unix(path) => open_unix(address, path).map(Stream::Unix),
        Address::Hybrid { socket, port } => {
            let mut stream = open_unix(address, socket)?;
            if ask_for_port(&mut stream, *port).await.map_err(io)? {
                Ok(Stream::Unix(stream))
            } else {
                Err(ConnectError::GuestRefused(address.clone()))
            }
        }
        Address::Tcp { host, port } => TcpStream::connect((host.as_str(), *port))
            .await
            .map(Stream::from_tcp)
            .map_err(io),
    }
}

fn open_unix(address: &Address, path: &Path) -> Result<UnixStream, ConnectError> {
    checked_path(path).map_err(|e| ConnectError::Address(address.clone(), e))?;
    connect_unix(path).map_err(|e| ConnectError::Io(address.clone(), e))
}

/// A Unix socket is connected at once or not at all (`EAGAIN`: too many wait to be accepted), so nothing is waited for.
fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    UnixStream::from_std(socket.into())
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
