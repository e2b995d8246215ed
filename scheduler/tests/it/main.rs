//! What the scheduler promises, checked from outside.

mod leases;
mod market;



mod sharing;
mod support;

