//! `make bench`: what SPECIFICATION.md promises, measured. A section a module: [`models`], [`attested`] and [`bytes`].

pub mod attested;
pub mod bare;
pub mod bytes;
pub mod bytes_load;
pub mod bytes_peers;
pub mod fairness;
pub mod graph;
pub mod load;
pub mod models;
pub mod report;
pub mod samples;
