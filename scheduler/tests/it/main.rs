//! What the scheduler promises, checked from outside.

mod leases;
mod market;
mod model;
mod properties;
mod scaling;
mod sharing;
mod support;
mod updates;
