//! The programs on the host: their sockets, and how far each has come.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::event::epoll::{EventData, EventFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::vsock::Micros;
use crate::vsock::handshake::MAX_LINE;
use crate::vsock::table::Token;

/// What of a socket is waited for. Edges only: a state stays known until a read or a write says otherwise.
const INTEREST: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

/// What an event of the system is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Programs that want to connect.
    Listener,
    /// The timer.
    Timer,
    /// Orders from outside.
    Orders,
    /// A program whose `CONNECT` has not been granted.
    Caller(u32),
    /// A connection's program.
    Connection(Token),
}

const CALLER: u64 = 1 << 63;

impl Source {
    pub(crate) fn data(self) -> EventData {
        EventData::new_u64(match self {
            Self::Listener => 0,
            Self::Timer => 1,
            Self::Orders => 2,
            Self::Caller(number) => CALLER | u64::from(number),
            Self::Connection(token) => u64::from(token.generation) << 32 | u64::from(token.index),
        })
    }

    pub(crate) fn from_data(data: EventData) -> Self {
        match data.u64() {
            0 => Self::Listener,
            1 => Self::Timer,
            2 => Self::Orders,
            caller if caller & CALLER != 0 => Self::Caller(caller as u32),
            token => Self::Connection(Token {
                generation: (token >> 32) as u32,
                index: token as u32,
            }),
        }
    }
}

/// A program that said, or has yet to say, `CONNECT`.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) stream: UnixStream,
    /// The line as far as it has come.
    pub(crate) line: Vec<u8>,
    pub(crate) ask: Option<Ask>,
    /// When it is given up.
    pub(crate) deadline: Micros,
}

/// Which port a program asked for.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) port: u32,
    /// What it sent behind the line, which is for the guest.
    pub(crate) early: Vec<u8>,
    /// When the guest was asked first.
    pub(crate) since: Micros,
    /// How long to wait before the guest is asked again.
    pub(crate) pause: Micros,
}

impl Caller {
    /// Reads on. `Ok(true)`: something came.
    pub(crate) fn read(&mut self) -> io::Result<bool> {
        let mut bytes = [0; MAX_LINE];
        let missing = MAX_LINE - self.line.len();
        match (&self.stream).read(&mut bytes[..missing]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.line.extend(&bytes[..count]);
                Ok(true)
            }
            Err(error) if is_later(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A connection's end on the host.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// `None`: not there yet, or no longer.
    pub(crate) stream: Option<UnixStream>,
    /// What the program asked for, while the guest has not answered.
    pub(crate) ask: Option<Ask>,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// Both directions of the socket are over.
    pub(crate) hung_up: bool,
    pub(crate) write_ended: bool,
    pub(crate) read_ended: bool,
    /// When something has to happen; zero: never.
    pub(crate) deadline: Micros,
    /// How long to wait before the program is called again.
    pub(crate) pause: Micros,
    /// Until when it is.
    pub(crate) patience: Micros,
    /// When the connection is looked at next, for the sake of bytes that are held back; zero: not.
    pub(crate) looked_at: Micros,
}

impl Host {
    pub(crate) fn with(stream: UnixStream) -> Self {
        Self {
            stream: Some(stream),
            writable: true,
            readable: true,
            ..Self::default()
        }
    }

    pub(crate) fn happened(&mut self, flags: EventFlags) {
        self.readable |= flags
            .intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.writable |= flags.intersects(EventFlags::OUT);
        self.hung_up |= flags.intersects(EventFlags::HUP);
    }

    /// Reads what the program sent. `None`: nothing now.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> Option<io::Result<usize>> {
        let Some(mut stream) = self.stream.as_ref() else {
            self.readable = false;
            return None;
        };
        loop {
            match stream.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_later(&error) => {
                    self.readable = false;
                    return None;
                }
                done => return Some(done),
            }
        }
    }

    /// Writes what the program takes. `None`: it takes nothing now.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        let mut stream = self.stream.as_ref()?;
        if !self.writable {
            return None;
        }
        loop {
            match stream.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_later(&error) => {
                    self.writable = false;
                    return None;
                }
                done => return Some(done),
            }
        }
    }

    /// Ends one direction of the socket.
    pub(crate) fn end(&mut self, write: bool) {
        let (done, how) = if write {
            (&mut self.write_ended, Shutdown::Write)
        } else {
            (&mut self.read_ended, Shutdown::Read)
        };
        if !*done && let Some(stream) = &self.stream {
            *done = true;
            // A program that has gone needs no telling.
            let _ = stream.shutdown(how);
        }
    }
}

/// The socket on which the programs listen for a port: `SOCK_PORT`.
pub(crate) fn path_of(socket: &Path, port: u32) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(format!("_{port}"));
    path.into()
}

/// Calls the program that listens there. `WouldBlock`: it is there, but too many wait already.
pub(crate) fn call(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket.into())
}

/// Begins to watch a socket.
pub(crate) fn watch(epoll: impl AsFd, stream: &UnixStream, source: Source) -> io::Result<()> {
    Ok(rustix::event::epoll::add(
        epoll,
        stream,
        source.data(),
        INTEREST,
    )?)
}

/// Goes on watching a socket under another name. Its present state comes as an event.
pub(crate) fn rename(epoll: impl AsFd, stream: &UnixStream, source: Source) -> io::Result<()> {
    Ok(rustix::event::epoll::modify(
        epoll,
        stream,
        source.data(),
        INTEREST,
    )?)
}

pub(crate) fn is_later(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
