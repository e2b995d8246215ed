//! What the end-to-end tests and benchmarks share.

pub mod attacker;
pub mod bench;
pub mod beside;
pub mod dev_chain;
pub mod evil;
pub mod examples;
pub mod hostile_wire;
pub mod http;
pub mod image;
pub mod platform;
pub mod processes;
pub mod tls;
pub mod traffic;
