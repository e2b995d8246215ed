//! What all our servers share: accepting, HTTP/1.1 connections with limits, bodies, the form of answers.

mod accept;
mod body;
mod guard;
pub mod reply;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub(crate) use accept::{Stopping, accept_loop};
pub use body::{Arrived, BodyError, BodyLimits, Room, linger, read_body};
use guard::{Guard, Phase};

/// Most header lines of a request.
const MAX_HEADERS: usize = 64;
/// Most bytes of a request's head.
const MAX_HEAD: usize = 32 * 1024;
/// Most bytes that one connection buffers.
const MAX_BUFFER: usize = 64 * 1024;

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// From a request's first byte to the end of its head.
    pub head: Duration,
    /// Without any request.
    pub idle: Duration,
    /// Without the peer taking any byte of an answer.
    pub write_stall: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            write_stall: Duration::from_secs(60),
        }
    }
}

/// Serves one connection until it ends, or, once the program is stopping, until its current request is answered.
pub(crate) async fn serve_connection<S, F, Fut>(
    stream: S,
    limits: ConnectionLimits,
    stopping: watch::Receiver<bool>,
    answer: F,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Fut,
    Fut: Future<Output = Response<Full<Bytes>>>,
{
    let phase = Arc::new(Phase::default());
    let guard = Guard::new(stream, Arc::clone(&phase), limits);
    let service = service_fn(|request| {
        phase.request_begins();
        let (answer, phase) = (answer(request), Arc::clone(&phase));
        async move {
            let response = answer.await;
            phase.request_ends();
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_BUFFER)
        // The enclave has no clock that the host could not set, but for the attested one.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(guard), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = accept::stopped(stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
