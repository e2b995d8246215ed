//! The public server: TLS, the evidence endpoint, KServe v2.
//!
//! Every request's way: [`router`] says whose it is, [`model`] answers what is asked of a function, and [`signed`]
//! puts the receipt on the answer.

mod answer;
mod attestation;
mod headers;
mod model;
mod router;
mod signed;

use std::sync::Arc;

use nacre_protocol::evidence::EXPORTER_LABEL;
use nacre_transport::{Listener, Stream};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use crate::boot::Enclave;
use crate::http::{Stopping, accept_loop, serve_connection};

/// Serves callers until the program is stopping.
pub(crate) async fn serve(
    enclave: Arc<Enclave>,
    listener: Listener,
    tls: Arc<ServerConfig>,
    stopping: Stopping,
) {
    let acceptor = TlsAcceptor::from(tls);
    let limit = enclave.limits.max_connections;
    accept_loop(listener, limit, stopping.clone(), move |stream| {
        connection(
            Arc::clone(&enclave),
            acceptor.clone(),
            stream,
            stopping.clone(),
        )
    })
    .await;
}

async fn connection(
    enclave: Arc<Enclave>,
    acceptor: TlsAcceptor,
    stream: Stream,
    stopping: Stopping,
) {
    let handshake = tokio::time::timeout(enclave.limits.handshake, acceptor.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "handshake failed"),
        Err(_) => return tracing::debug!("handshake took too long"),
    };
    let exporter = stream
        .get_ref()
        .1
        .export_keying_material([0; 32], EXPORTER_LABEL, Some(&[]));
    let exporter: [u8; 32] = match exporter {
        Ok(exporter) => exporter,
        Err(error) => return tracing::error!(%error, "no exporter"),
    };
    enclave.counters.connection();
    let limits = enclave.limits.connection;
    serve_connection(stream, limits, stopping, |request| {
        router::answer(Arc::clone(&enclave), exporter, request)
    })
    .await;
}
