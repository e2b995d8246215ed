//! What a process of Nacre says about itself, in one way for all of them.
//!
//! | what | where | how it is told |
//! |---|---|---|
//! | logs | standard error | `--log-format text\|json`, `NACRE_LOG_FORMAT`; `NACRE_LOG` filters |
//! | metrics | `GET /metrics` on an address of its own | `--metrics ADDR`; not at all unless given |
//! | traces | an OpenTelemetry collector | OpenTelemetry's own `OTEL_…` variables; not at all unless an endpoint is given |
//!
//! None of the three carries what a caller sent. Log lines and span names are ours; the spans that leave are those of
//! [`trace`] and no others, and their fields are a method, a route's pattern and a status; a label of a metric is a
//! [`metrics::Label`], which a caller's text becomes only where somebody writes so.
//!
//! An enclave has the first module only, and no way to send: its numbers are read by its host over the control channel.

#![forbid(unsafe_code)]

pub mod metrics;

#[cfg(feature = "host")]
pub mod endpoint;
#[cfg(feature = "host")]
mod export;
#[cfg(feature = "host")]
pub mod log;
#[cfg(feature = "host")]
pub mod trace;
