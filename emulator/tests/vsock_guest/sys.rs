//! vsock sockets, which the standard library does not have.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::raw::{c_int, c_void};
use std::sync::Arc;

const AF_VSOCK: c_int = 40;
const SOCK_STREAM: c_int = 1;
const SHUT_WR: c_int = 1;
const RLIMIT_NOFILE: c_int = 7;
const CID_ANY: u32 = u32::MAX;

/// `struct sockaddr_vm`.
#[repr(C)]
struct Address {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    zero: [u8; 4],
}

impl Address {
    fn new(cid: u32, port: u32) -> Self {
        Self {
            family: AF_VSOCK as u16,
            reserved: 0,
            port,
            cid,
            zero: [0; 4],
        }
    }
}

unsafe extern "C" {
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn bind(fd: c_int, address: *const Address, length: u32) -> c_int;
    fn listen(fd: c_int, backlog: c_int) -> c_int;
    fn accept(fd: c_int, address: *mut c_void, length: *mut u32) -> c_int;
    fn connect(fd: c_int, address: *const Address, length: u32) -> c_int;
    fn shutdown(fd: c_int, how: c_int) -> c_int;
    fn setrlimit(resource: c_int, limit: *const [u64; 2]) -> c_int;
}

/// Lets the program have as many connections at once.
pub fn allow_files(count: u64) -> io::Result<()> {
    // SAFETY: two 64-bit numbers are what `struct rlimit` is, and they live through the call.
    check(unsafe { setrlimit(RLIMIT_NOFILE, &[count, count]) }).map(drop)
}

/// A connected socket. Clones are the same one.
#[derive(Clone)]
pub struct Socket(Arc<File>);

impl Socket {
    pub fn connect(cid: u32, port: u32) -> io::Result<Self> {
        let fd = new_socket()?;
        // SAFETY: the address is a whole `sockaddr_vm` and lives through the call.
        let done = unsafe { connect(fd.as_raw_fd(), &Address::new(cid, port), LENGTH) };
        check(done)?;
        Ok(Self(Arc::new(fd.into())))
    }

    pub fn shutdown_write(&self) -> io::Result<()> {
        // SAFETY: no memory is involved.
        check(unsafe { shutdown(self.0.as_raw_fd(), SHUT_WR) }).map(drop)
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(bytes)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Listener(OwnedFd);

impl Listener {
    pub fn bind(port: u32, backlog: i32) -> io::Result<Self> {
        let fd = new_socket()?;
        // SAFETY: the address is a whole `sockaddr_vm` and lives through the call.
        check(unsafe { bind(fd.as_raw_fd(), &Address::new(CID_ANY, port), LENGTH) })?;
        // SAFETY: no memory is involved.
        check(unsafe { listen(fd.as_raw_fd(), backlog) })?;
        Ok(Self(fd))
    }

    pub fn accept(&self) -> io::Result<Socket> {
        // SAFETY: null pointers say that the peer's address is not wanted.
        let fd = unsafe {
            accept(
                self.0.as_raw_fd(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        let fd = check(fd)?;
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Socket(Arc::new(unsafe { File::from_raw_fd(fd) })))
    }
}

const LENGTH: u32 = size_of::<Address>() as u32;

fn new_socket() -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = check(unsafe { socket(AF_VSOCK, SOCK_STREAM, 0) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
