//! Peers that lie: everything an attested client must survive, with real TLS and real documents of a development root.
//!
//! [`Enclave`] holds what an enclave's keys and module hold and makes honest evidence and receipts. [`FakeEnclave`]
//! serves one on loopback under a [`Behaviour`], which a test bends at one place, and keeps every byte that it was sent.
//! [`mitm`] stands between a client and an enclave; [`raw`] are peers that do not come as far as HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests want a panic where the peer itself cannot work"
)]

mod behaviour;
mod enclave;
mod log;
pub mod mitm;
pub mod raw;
mod server;

pub use behaviour::{Asked, Behaviour, Call, Reply, answer, echo};
pub use enclave::{Enclave, HONEST, TlsIdentity, function, statement_with, trust_in};
pub use log::Log;
pub use server::FakeEnclave;

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_millis()).unwrap()
}
