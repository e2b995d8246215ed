//! Accepts callers, so many at once, and ends in order.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nacre_transport::{Listener, Stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Shared, forward};

/// How long a connection may be without a whole request's head.
const IDLE: Duration = Duration::from_secs(300);
/// Most header lines of a request.
const MAX_HEADERS: usize = 64;
/// Most bytes that a connection buffers, and so most bytes of a head.
const MAX_BUFFER: usize = 64 << 10;
/// How long requests may take to finish once the proxy stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after an accept that failed for want of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` is ready.
pub(super) async fn serve(
    listener: Listener,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(
        shared.max_connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
                connections.spawn(async move {
                    connection(stream, shared, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a caller failed");
                sleep_until(Instant::now() + PAUSE).await;
            }
        }
    }
    // A Unix socket's file goes before the last answers do, so that nobody connects in vain.
    drop(listener);
    drop(stop);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("requests were cut that did not end in time");
    }
}

async fn accept(
    listener: &Listener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(Stream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(std::io::Error::other)?;
    Ok((listener.accept().await?, place))
}

async fn connection(stream: Stream, shared: Arc<Shared>, mut stopped: watch::Receiver<()>) {
    let _open = shared.meters.connected();
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(forward::answer(&shared, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // Nothing is ever sent: the channel closes when the proxy stops.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a caller's connection ended");
    }
}
