//! Accepts connections, so many at once, and ends them in order.

use std::sync::Arc;
use std::time::Duration;

use nacre_transport::{Listener, Stream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long connections may take to finish what they do when the program stops.
const DRAIN: Duration = Duration::from_secs(10);
/// Pause after an accept that failed for want of file descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Becomes `true` once, when the program is to stop.
pub(crate) type Stopping = watch::Receiver<bool>;

/// Waits until the program is to stop.
pub(super) async fn stopped(mut stopping: Stopping) {
    // An error means that nobody is left who could say stop: then it is time to.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Hands each connection to `handle` in a task of its own, at most `limit` at once. Returns when the program is to
/// stop and the connections have ended, or [`DRAIN`] has passed.
pub(crate) async fn accept_loop<F, Fut>(
    listener: Listener,
    limit: usize,
    stopping: Stopping,
    handle: F,
) where
    F: Fn(Stream) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limit));
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stopped(stopping));
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            // Finished connections are reaped as they end.
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((place, stream)) => {
                let connection = handle(stream);
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep_until(Instant::now() + BACK_OFF).await;
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("connections were cut that did not end in time");
    }
}

async fn accept(
    listener: &Listener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(tokio::sync::OwnedSemaphorePermit, Stream)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    Ok((place, listener.accept().await?))
}
