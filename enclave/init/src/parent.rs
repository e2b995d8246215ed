//! What init says to the parent instance, and how long it waits for it.
//!
//! The parent is not trusted. It may refuse, stay silent or read slowly: each exchange has a deadline, and what comes back
//! is compared and forgotten.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nacre_protocol::vsock::{EXIT_STATUS_PORT, HEARTBEAT, HEARTBEAT_PORT, PARENT_CID};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, connect, recv, send,
    shutdown, socket_with, sockopt,
};

use crate::ending::Ending;
use crate::sys::VsockAddress;

/// Longest that the heartbeat may take.
const HEARTBEAT_TIME: Duration = Duration::from_secs(10);
/// Longest that saying goodbye may take.
const ENDING_TIME: Duration = Duration::from_secs(3);

/// Sends the heartbeat and reads it back (AWS's own init does the same; `nitro-cli` waits for it).
///
/// # Errors
///
/// Where the parent does not answer in time, or with something else.
pub fn heartbeat() -> io::Result<()> {
    let mut parent = Connection::open(HEARTBEAT_PORT, Instant::now() + HEARTBEAT_TIME)?;
    parent.send(&[HEARTBEAT])?;
    let mut answer = [0; 1];
    match parent.receive(&mut answer)? {
        1 if answer[0] == HEARTBEAT => Ok(()),
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::other("the parent sent something else back")),
    }
}

/// Tells how the program ended, and waits until the parent has read it, or not.
///
/// # Errors
///
/// Where the parent does not take it in time. There is nobody else to tell.
pub fn tell(ending: &Ending) -> io::Result<()> {
    let mut parent = Connection::open(EXIT_STATUS_PORT, Instant::now() + ENDING_TIME)?;
    parent.send(format!("{ending}\n").as_bytes())?;
    shutdown(&parent.socket, Shutdown::Write)?;
    // A machine that restarts takes along what its vsock has not passed on yet: the parent closes when it has the line.
    while parent.receive(&mut [0; 64])? != 0 {}
    Ok(())
}

/// A vsock connection to the parent with one deadline for all.
struct Connection {
    socket: OwnedFd,
    deadline: Instant,
}

impl Connection {
    fn open(port: u32, deadline: Instant) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::VSOCK, SocketType::STREAM, flags, None)?;
        let connection = Self { socket, deadline };
        match connect(&connection.socket, &VsockAddress::new(PARENT_CID, port)) {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => {
                connection.wait(PollFlags::OUT)?;
                sockopt::socket_error(&connection.socket)??;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(connection)
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(Errno::AGAIN | Errno::INTR) => self.wait(PollFlags::OUT)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// At least one byte, or none at the end. Whatever comes, the deadline holds.
    fn receive(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            self.left()?;
            match recv(&self.socket, &mut *bytes, RecvFlags::empty()) {
                Ok((read, _)) => return Ok(read),
                Err(Errno::AGAIN | Errno::INTR) => self.wait(PollFlags::IN)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the socket can, has failed, or the deadline has come.
    fn wait(&self, wanted: PollFlags) -> io::Result<()> {
        let left = Timespec::try_from(self.left()?).map_err(io::Error::other)?;
        let mut sockets = [PollFd::new(&self.socket, wanted)];
        match poll(&mut sockets, Some(&left)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(left),
        }
    }
}
