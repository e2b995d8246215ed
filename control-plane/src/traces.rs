//! Which trace work belongs to that waits in the database, so that what a node does because of a request shows up in that
//! request's trace: after a restart too, and whichever control plane the node asks.
//!
//! A `traceparent` says nothing but random ids and whether it is sampled; nothing else depends on it.

use axum::http::{HeaderMap, HeaderValue};
use nacre_telemetry::trace::{self, TRACEPARENT};

/// The current trace, to be kept with the work that it leaves behind.
pub(crate) fn current() -> Option<String> {
    let value = trace::traceparent()?;
    value.to_str().ok().map(str::to_owned)
}

/// A kept trace as the headers that carry it on.
pub(crate) fn headers(kept: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(value) = kept.and_then(|kept| HeaderValue::from_str(kept).ok()) {
        headers.insert(TRACEPARENT, value);
    }
    headers
}
