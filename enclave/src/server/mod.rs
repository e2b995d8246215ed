//! The public server: KServe v2 over the node's TLS.
//!
//! Every request's way: [`router`] says whose it is, [`model`] answers what is asked of a function, and [`signed`]
//! puts the receipt on the answer.

pub(crate) mod answer;
pub(crate) mod headers;
pub(crate) mod model;
mod router;
pub(crate) mod signed;

use std::sync::Arc;

use nacre_transport::Listener;

use crate::boot::Enclave;
use crate::http::Stopping;
use crate::node::{Exporter, Front};

/// Serves callers until the program is stopping.
pub(crate) async fn serve(
    enclave: Arc<Enclave>,
    front: Front,
    listener: Listener,
    stopping: Stopping,
) {
    let limits = enclave.limits.front();
    let connected = move |exporter: Exporter| {
        enclave.counters.connection();
        let enclave = Arc::clone(&enclave);
        move |request| router::answer(Arc::clone(&enclave), exporter.clone(), request)
    };
    front.serve(listener, limits, stopping, connected).await;
}
