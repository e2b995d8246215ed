//! The worker process: one function's model, behind walls, with nothing but a socket to its supervisor.
//!
//! A worker is started with an environment that only turns ONNX Runtime's telemetry off, and with a
//! Unix socket as its standard input. It
//!
//! 1. reads its [configuration](wire::Configure),
//! 2. loads ONNX Runtime and does everything that needs files ([`runtime`]),
//! 3. gives up every right that inference does not need ([`sandbox`]) and says which walls stand,
//! 4. and only then receives the model, and answers inferences until the socket closes ([`serve`]).
//!
//! Whatever happens in here, the supervisor ([`crate::workers`]) believes nothing that it has not checked.

pub mod runtime;
pub mod sandbox;
pub mod serve;
pub mod socket;
pub mod wire;
