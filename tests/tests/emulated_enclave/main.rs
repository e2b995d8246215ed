//! The image that production runs, booted on this machine in an emulated one: from a client outside to a worker inside,
//! with kernel, init, sandbox, secure module and vsock as they are in an enclave.

mod hostile_host;
mod lies;
mod main_job;
mod recovery;
mod site;
