//! `make bench`: what SPECIFICATION.md promises, measured. A section a module: [`models`], [`attested`], [`bytes`],
//! [`enclave`], [`gateway`] and [`chain`] (`make bench-chain`).

pub mod attested;
pub mod bare;
pub mod bytes;
pub mod bytes_load;
pub mod bytes_peers;
pub mod chain;
pub mod chain_load;
pub mod enclave;
pub mod fairness;
pub mod gateway;
pub mod gateway_load;
pub mod graph;
pub mod load;
pub mod models;
pub mod report;
pub mod samples;
