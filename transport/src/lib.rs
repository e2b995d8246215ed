//! One address type and one stream type for every way in which a host and its enclave reach each other.
//!
//! | address | used by |
//! |---|---|
//! | `vsock://CID:PORT` | a Nitro enclave and its parent (AF_VSOCK) |
//! | `unix:PATH` | process mode: everything on one machine |
//! | `hybrid:SOCKET:PORT` | a guest of QEMU or Firecracker, whose vsock is a Unix socket on the host |
//! | `tcp://HOST:PORT` | callers |
//!
//! [`proxy_header`] is how proxies before and behind this one tell of callers' addresses.
//!
//! [`Address`] is pure; [`connect`] and [`Listener`] do the I/O and give [`Stream`]s, whose shutdown closes only the
//! direction that was written (half-close), on all of them.

mod address;
mod connect;
mod listener;
pub mod proxy_header;
mod socket_file;
mod stream;
mod vsock;

pub use address::{Address, AddressSyntaxError, MAX_UNIX_PATH, VSOCK_CID_ANY};
pub use connect::{ConnectError, connect, connect_saying};
pub use listener::{BindError, Listener};
pub use stream::{Ready, Stream};
pub use vsock::VsockSocket;
