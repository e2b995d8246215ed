//! A Nitro enclave without AWS: its Secure Module, its connections, and the image itself in a virtual machine.
//!
//! The crate speaks the NSM's own request and response encoding, keeps PCRs as the hardware
//! does, and signs attestation documents of exactly the shape that AWS signs, under a
//! **development root** that it makes itself. A verifier that pins AWS's root refuses every
//! one of them, and a verifier that is told to trust the development root checks them by the
//! same rules as real ones.
//!
//! The layers, from the inside out:
//!
//! - [`nsm`]: the module itself, a pure state machine: request bytes and a time in, response
//!   bytes out. It knows no socket, so that another front (a vhost-user device, a test) can
//!   drive it.
//! - [`document`]: the attestation document and its COSE envelope.
//! - [`pki`]: the development root on disk, and the chain of short-lived certificates below it.
//! - [`measure`]: PCR0–2 for programs that run as plain processes.
//! - [`socket`]: the Unix socket front.
//! - [`nsm_device`]: the vhost-user front: the module as a device of a virtual machine.
//! - [`vsock`]: the machine's connections to its parent.
//! - [`machine`]: an enclave image in QEMU with both devices.
//! - [`faults`]: what can go wrong, put in force on purpose on any of them.
//! - [`cli`] and [`emulate`]: the arguments and the main loops of `nacre nsm-emulator` and `nacre emulate`.
//! - [`testing`]: signed and forged documents for other crates' tests.

mod cbor;
pub mod cli;
pub mod document;
pub mod emulate;
pub mod faults;
pub mod machine;
pub mod measure;
pub mod nsm;
pub mod nsm_device;
pub mod pki;
pub mod socket;
mod socket_file;
pub mod testing;
mod vhost_user;
pub mod vsock;
