//! A gateway between callers and nodes that are played here: what it promises about each connection.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod bounds;
mod callers;
mod delivery;
mod drain;
mod nodes;
mod refusals;
mod routes;
mod world;
