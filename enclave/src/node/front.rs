//! Connections: TLS with the attested certificate, an exporter for each, and HTTP within limits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use nacre_protocol::evidence::EXPORTER_LABEL;
use nacre_transport::{Listener, Stream};
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::rate::{Rate, TokenBucket};
use crate::http::{ConnectionLimits, accept_loop, serve_connection};
use crate::tls::{Certificates, TlsError};

/// RFC 9266 `tls-exporter` of one connection, with what evidence it may still ask for. Clones are of the same connection.
#[derive(Debug, Clone)]
pub struct Exporter {
    bytes: [u8; 32],
    allowance: Arc<Mutex<TokenBucket>>,
}

/// How often one connection is given evidence.
///
/// A connection that asks again and again costs the module nothing more (all who wait share one call), but each answer
/// is kilobytes to encode and encrypt. A client asks when it connects and then when its policy's age limit has passed,
/// so a few at once and one a second are plenty. How many connections one caller may have is not for the enclave to
/// say: it sees no addresses, and believes nobody who tells it one.
const EVIDENCE: Rate = Rate {
    per_second: 1,
    burst: 16,
};

impl Exporter {
    fn new(bytes: [u8; 32]) -> Self {
        Self {
            bytes,
            allowance: Arc::new(Mutex::new(TokenBucket::new(EVIDENCE, Instant::now()))),
        }
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether this connection may be given evidence now; counts as given if so.
    pub(super) fn may_ask(&self) -> bool {
        let mut allowance = self
            .allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        allowance.take(Instant::now()).is_ok()
    }
}

/// Limits of a program's listener.
#[derive(Debug, Clone, Copy)]
pub struct FrontLimits {
    /// Most connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Time limits of a connection.
    pub connection: ConnectionLimits,
}

/// The public side of a node: its certificate, kept current, and its TLS configuration.
pub struct Front {
    certificates: Certificates,
    next_certificate: Duration,
    config: Arc<ServerConfig>,
}

impl Front {
    pub(super) fn new(
        certificates: Certificates,
        next_certificate: Duration,
    ) -> Result<Self, TlsError> {
        let config = Arc::new(certificates.server_config()?);
        Ok(Self {
            certificates,
            next_certificate,
            config,
        })
    }

    /// Serves callers until the program is stopping, and then what they have begun. `connected` is asked once for each
    /// connection, and what it gives answers that connection's requests.
    pub async fn serve<C, A, F>(
        self,
        listener: Listener,
        limits: FrontLimits,
        stopping: watch::Receiver<bool>,
        connected: C,
    ) where
        C: Fn(Exporter) -> A + Clone + Send + 'static,
        A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(self.config);
        let handle = |stream| {
            let (acceptor, connected) = (acceptor.clone(), connected.clone());
            let stopping = stopping.clone();
            connection(acceptor, stream, limits, stopping, connected)
        };
        let accepting = accept_loop(listener, limits.max_connections, stopping.clone(), handle);
        tokio::select! {
            () = accepting => {}
            () = self.certificates.keep_current(self.next_certificate) => {}
        }
    }
}

async fn connection<C, A, F>(
    acceptor: TlsAcceptor,
    stream: Stream,
    limits: FrontLimits,
    stopping: watch::Receiver<bool>,
    connected: C,
) where
    C: Fn(Exporter) -> A,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let handshake = tokio::time::timeout(limits.handshake, acceptor.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "handshake failed"),
        Err(_) => return tracing::debug!("handshake took too long"),
    };
    let exporter = stream
        .get_ref()
        .1
        .export_keying_material([0; 32], EXPORTER_LABEL, Some(&[]));
    let exporter = match exporter {
        Ok(exporter) => Exporter::new(exporter),
        Err(error) => return tracing::error!(%error, "no exporter"),
    };
    let answer = connected(exporter);
    serve_connection(stream, limits.connection, stopping, answer).await;
}

/// Serves HTTP without TLS, for whoever watches the process, until the program is stopping.
pub async fn serve_plain<A, F>(
    listener: Listener,
    max_connections: usize,
    limits: ConnectionLimits,
    stopping: watch::Receiver<bool>,
    answer: A,
) where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let handle = |stream| {
        let (answer, stopping) = (answer.clone(), stopping.clone());
        async move { serve_connection(stream, limits, stopping, answer).await }
    };
    accept_loop(listener, max_connections, stopping.clone(), handle).await;
}
