//! Ports between an enclave and its parent instance, and who listens on them.
//!
//! The parent is [`PARENT_CID`]. Ports of the parent are below the enclave's own choice only by convention: vsock has no
//! privileged ports that a guest could not reach.

/// The parent instance, as seen from inside an enclave (AWS: `VMADDR_CID_PARENT`).
pub const PARENT_CID: u32 = 3;

/// Enclave: callers' TLS.
pub const TLS_PORT: u32 = 443;
/// Enclave: the control channel, plain HTTP; everything that arrives on it is hostile input.
pub const CONTROL_PORT: u32 = 7001;

/// Parent: HTTP `CONNECT` proxy, the enclave's only way out.
pub const EGRESS_PORT: u32 = 7002;
/// Parent: init says that it runs. It sends [`HEARTBEAT`] and reads the same byte back (AWS's own init and `nitro-cli`).
pub const HEARTBEAT_PORT: u32 = 9000;
/// Parent: init says how the enclave's program ended, one line of text, before it powers off.
pub const EXIT_STATUS_PORT: u32 = 9001;

/// The byte that goes both ways on [`HEARTBEAT_PORT`].
pub const HEARTBEAT: u8 = 0xB7;
