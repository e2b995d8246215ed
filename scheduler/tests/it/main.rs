//! What the scheduler promises, checked from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adopted;
mod crowd;
mod fairness;
mod leases;
mod market;
mod model;
mod naive;
mod properties;
mod scaling;
mod sharing;
mod support;
mod updates;
