//! What a node exposes: its callers' connections, its enclave's life, what its agent does, and what the enclave counts.
//!
//! The enclave's own numbers come with every answer to the supervisor's question whether it is there
//! ([`nacre_protocol::control::EnclaveStatus`]), so that reading the metrics asks nothing of it.

mod enclave;
mod seen;
mod work;

use std::sync::Arc;

use nacre_telemetry::metrics::Metrics;

pub use seen::Seen;
pub use work::{JobEnd, Work};

use crate::proxy::{self, Counters};

/// All of a node's metrics.
pub(crate) fn node(counters: &Arc<Counters>, seen: &Arc<Seen>, work: &Arc<Work>) -> Metrics {
    let mut metrics = Metrics::of("node", env!("CARGO_PKG_VERSION"));
    seen::expose(&mut metrics, seen);
    work::expose(&mut metrics, work);
    proxy::metrics(metrics.part("host_proxy"), counters);
    enclave::expose(metrics.part("enclave"), seen);
    metrics
}
