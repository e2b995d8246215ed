//! The verifier service as a relayer meets it: over attested TLS, from real parts. The enclave that is verified has an
//! emulated module of its own; the service has another, under another development root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod bounds;
mod eip712;
mod program;
mod refusals;
mod setting;
mod verdicts;
