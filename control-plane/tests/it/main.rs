//! The control plane over real sockets, with evidence from the NSM emulator.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod auth;
mod blobs;
mod deployments;
mod document;
mod functions;
mod idempotency;
mod incidents;
mod market;
mod nodes;
mod organisations;
mod postgres;
mod postgres_tls;
mod registration;
mod replicas;
mod restart;
mod rollouts;
mod s3;
mod server;
mod support;
mod survivors;
mod uptime;
