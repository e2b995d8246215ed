//! The control plane over real sockets, with evidence from the NSM emulator.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod audit;
mod auth;
mod blobs;
mod chain_keys;
mod conditional;
mod deployments;
mod docs;
mod document;
mod followed;
mod functions;
mod gateways;
mod idempotency;
mod incidents;
mod keys;
mod limits;
mod market;
mod nodes;
mod organisations;
mod postgres;
mod postgres_tls;
mod processors;
mod registration;
mod replicas;
mod restart;
mod rollouts;
mod s3;
mod schemathesis;
mod server;
mod strangers;
mod support;
mod survivors;
mod uptime;
