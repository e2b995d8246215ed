//! Which trace a node's news belong to: so that what a node does because of a request shows up in that request's trace.
//!
//! In memory only and of bounded size. Where the node asks another control plane of the same database, or this one has
//! restarted, the trace ends here; nothing else depends on it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderValue;
use nacre_protocol::ids::NodeId;
use nacre_telemetry::trace;

/// Nodes whose cause is kept.
const MOST: usize = 4096;

/// The last request that changed each node's desired state.
#[derive(Debug, Default)]
pub(crate) struct Causes(Mutex<HashMap<NodeId, HeaderValue>>);

impl Causes {
    /// The current request changed what these nodes shall run.
    pub(crate) fn note(&self, nodes: impl IntoIterator<Item = NodeId>) {
        let Some(cause) = trace::traceparent() else {
            return;
        };
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for node in nodes {
            if causes.len() < MOST || causes.contains_key(&node) {
                causes.insert(node, cause.clone());
            }
        }
    }

    /// What the node is told with its news, once.
    pub(crate) fn take(&self, node: &NodeId) -> Option<HeaderValue> {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        causes.remove(node)
    }
}
