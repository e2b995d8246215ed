//! The image that production runs, booted on this machine in an emulated one: from a client outside to a worker inside,
//! with kernel, init, sandbox, secure module and vsock as they are in an enclave.

#[path = "../egress/authority.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the tests of egress need more of it; one that cannot be set up has failed"
)]
mod authority;
mod egress;
mod hostile_host;
mod lies;
mod main_job;
mod recovery;
mod site;
