//! The enclave's socket to its parent: a vhost-user **vsock** device.
//!
//! The layers, from the inside out:
//!
//! - [`packet`], [`credit`], [`pipe`], [`connection`], [`table`]: what a connection is and how it ends; pure state machines.
//! - [`handshake`]: the `CONNECT` line of a program on the host.
//! - [`wire`]: faults that are put on connections while the device runs.
//! - [`device`]: all of it as one vhost-user backend for QEMU.

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
mod socket_file;
mod stop;
mod switch;
pub mod table;
mod timers;
pub mod world;
pub mod wire;

pub use device::{Device, DeviceError, Options};
pub use socket_file::SocketError;
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
