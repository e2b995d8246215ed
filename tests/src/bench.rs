//! `make bench`: what SPECIFICATION.md promises, measured. A section a module: [`models`] and [`attested`].

pub mod attested;
pub mod bare;
pub mod fairness;
pub mod graph;
pub mod load;
pub mod models;
pub mod report;
pub mod samples;
