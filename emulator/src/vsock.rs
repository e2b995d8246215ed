//! The enclave's socket to its parent: a vhost-user **vsock** device.
//!
//! To programs of the host it looks as Firecracker's does. Who wants port 443 of the guest connects to the socket `SOCK`,
//! writes `CONNECT 443\n` and reads `OK <number>\n`; whoever listens on `SOCK_9000` gets the guest's connections to
//! port 9000 of its parent, which the guest may call CID 3 (as in a Nitro enclave) or CID 2 (as vsock's specification).
//! A connection that cannot be is closed without a word.
//!
//! The layers, from the inside out:
//!
//! - [`packet`], [`credit`], [`pipe`], [`connection`], [`table`]: what a connection is and how it ends; pure state machines.
//! - [`handshake`]: the `CONNECT` line of a program on the host.
//! - [`world`]: a guest and a host around those, for tests and fuzzing: what must hold in every order of events.
//! - [`wire`]: faults that are put on connections while the device runs.
//! - `chain`, `queues`: the guest's memory; every number there is the guest's, and none is trusted.
//! - `switch`: moves bytes between queues and sockets. Payload goes from the guest's memory into the socket in one system
//!   call, and from the socket in pieces of up to 64 KiB into the guest's buffers; it rests in the device only while a
//!   program of the host does not read, up to what flow control promised the guest ([`Limits`]).
//! - [`device`]: all of it as one vhost-user backend for QEMU, on one thread, which serves one virtual machine.
//!
//! What was decided where the specification leaves it open:
//!
//! - **A full backlog.** Linux does not let callers wait: it answers a request beyond a listener's backlog with the same
//!   reset as one for a port where nobody listens. The device asks again, for up to one second, where the guest has
//!   accepted on that port before; elsewhere the caller is closed at once. A program on the host whose own backlog is full
//!   is called again for a second and a half, within a Linux guest's patience of two.
//! - **A caller before the guest is up** waits for it, for five seconds from its `CONNECT`.
//! - **A guest that closes** gets its reset at once; what it sent before still reaches a slow program. That program's own
//!   writes fail from then on, as over TCP.
//! - **A reset** ends a Unix socket as a close does: the host's programs see an end, or "connection reset" where bytes of
//!   theirs were never read.
//! - **A virtual machine that pauses** keeps its connections; with the end of QEMU's connection they all end.

mod backend;
mod chain;
pub mod connection;
pub mod credit;
pub mod device;
pub mod handshake;
mod host;
pub mod packet;
pub mod pipe;
mod queues;
mod stop;
mod switch;
pub mod table;
mod timers;
pub mod wire;
pub mod world;

pub use crate::socket_file::SocketError;
pub use device::{Device, DeviceError, Options};
pub use stop::Stop;
pub use table::Limits;

/// A time: microseconds since the device began.
pub type Micros = u64;

/// What makes a connection one and not another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The parent's address as the guest calls it: 3, or 2.
    pub host_cid: u64,
    /// The port on the host's side.
    pub host_port: u32,
    /// The port on the guest's side.
    pub guest_port: u32,
}
