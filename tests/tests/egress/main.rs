//! The way out, with the real programs in process mode: an enclave that fetches a model by its address, a host that lies
//! about everything it can, and servers that do.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod authority;
mod honest;
mod host;
mod lies;
mod server;
mod setting;
