//! Where metrics are read: plain HTTP on an address of its own, apart from everything else that the process serves.
//!
//! It is off unless an address is given. It asks nobody who they are, so the address is the protection: loopback, a Unix
//! socket, or a network of the operator's own. What it shows are counts; never content. A process that serves nothing else says
//! there, too, whether it is well: `/healthz`.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nacre_transport::{Address, BindError, Listener, Stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::metrics::{Metrics, OPENMETRICS};

/// Where the metrics are.
const PATH: &str = "/metrics";
/// Where a process says whether it is well.
const HEALTH: &str = "/healthz";
/// Most connections at once; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection may take in all. Each carries one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most header lines, and most bytes, of a request's head.
const MAX_HEADERS: usize = 32;
const MAX_HEAD: usize = 8 << 10;
/// Pause after an accept that failed for want of files or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether and where a process shows its metrics.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MetricsArgs {
    /// Serve numbers for Prometheus under http://ADDR/metrics: IP:PORT or unix:PATH. Whoever can connect may read them, so
    /// keep it to loopback or a network of your own [default: not served]
    #[arg(long = "metrics", value_name = "ADDR", value_parser = listen)]
    pub address: Option<Address>,
}

impl MetricsArgs {
    /// Listens and serves, if that was asked for, for as long as what this gives is kept.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn serve(
        &self,
        metrics: impl Into<Arc<Metrics>>,
    ) -> Result<Option<Endpoint>, BindError> {
        let metrics = metrics.into();
        let read = move || {
            let metrics = Arc::clone(&metrics);
            async move { metrics.encode() }
        };
        self.serve_read(read).await
    }

    /// The same, and says under `/healthz` whether the process is well: 200, or 503 with the reason that `health` gives.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn serve_with_health(
        &self,
        metrics: impl Into<Arc<Metrics>>,
        health: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<Option<Endpoint>, BindError> {
        let metrics = metrics.into();
        let read = move || {
            let metrics = Arc::clone(&metrics);
            async move { metrics.encode() }
        };
        let Some(address) = &self.address else {
            return Ok(None);
        };
        Endpoint::start_with(address, read, Some(Box::new(health)))
            .await
            .map(Some)
    }

    /// The same for metrics of which some must be fetched before they are read.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn serve_read<F: Future<Output = String> + Send + 'static>(
        &self,
        read: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<Option<Endpoint>, BindError> {
        match &self.address {
            Some(address) => Endpoint::start(address, read).await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads `IP:PORT` or `unix:PATH`.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn parse_address(text: &str) -> Result<Address, String> {
        listen(text)
    }

    /// The words that give another process its address.
    pub fn words(&self) -> Vec<std::ffi::OsString> {
        let words = self.address.as_ref().map(|address| {
            let text = address.to_string();
            let text = text.strip_prefix("tcp://").unwrap_or(&text);
            ["--metrics".into(), text.into()]
        });
        words.into_iter().flatten().collect()
    }
}

/// `IP:PORT` or `unix:PATH`.
fn listen(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        return Ok(Address::Unix(PathBuf::from(path)));
    }
    let address: Result<SocketAddr, _> = text.parse();
    let address = address.map_err(|_| "not IP:PORT or unix:PATH".to_owned())?;
    Ok(address.into())
}

/// Metrics that are served until this is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: Address,
    serving: AbortHandle,
}

impl Endpoint {
    /// Listens on an address, and serves what `read` gives at each request.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn start<F: Future<Output = String> + Send + 'static>(
        address: &Address,
        read: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<Self, BindError> {
        Self::start_with(address, read, None).await
    }

    async fn start_with<F: Future<Output = String> + Send + 'static>(
        address: &Address,
        read: impl Fn() -> F + Send + Sync + 'static,
        health: Option<Health>,
    ) -> Result<Self, BindError> {
        let listener = Listener::bind(address).await?;
        let address = listener.local_address().clone();
        if !address.is_loopback() {
            tracing::warn!(%address, "metrics are served to whoever can connect");
        }
        tracing::info!(%address, "metrics");
        let served = Arc::new(Served { read, health });
        let serving = tokio::spawn(serve(listener, served));
        Ok(Self {
            address,
            serving: serving.abort_handle(),
        })
    }

    /// Where it listens, with the port that the kernel chose.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// Whether a process is well, and where not, why.
type Health = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What is asked for.
struct Served<R> {
    read: R,
    health: Option<Health>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve<R, F>(listener: Listener, served: Arc<Served<R>>)
where
    R: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = String> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        match accept(&listener, &places).await {
            Ok((stream, place)) => {
                let served = Arc::clone(&served);
                connections.spawn(async move {
                    // Whoever is slower is cut off.
                    let _ = timeout(PATIENCE, connection(stream, &served)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a reader of metrics was not accepted");
                sleep_until(Instant::now() + PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
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

async fn connection<R, F>(stream: Stream, served: &Served<R>)
where
    R: Fn() -> F,
    F: Future<Output = String>,
{
    let service = service_fn(|request| async move {
        let answer = answer(&request, served).await;
        Ok::<_, Infallible>(answer)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a reader of metrics went away");
    }
}

/// A body that comes along is not read.
async fn answer<B, R, F>(request: &Request<B>, served: &Served<R>) -> Response<Full<Bytes>>
where
    R: Fn() -> F,
    F: Future<Output = String>,
{
    let is_known = match request.uri().path() {
        PATH => true,
        HEALTH => served.health.is_some(),
        _ => false,
    };
    if !is_known {
        return plain(
            StatusCode::NOT_FOUND,
            "there is /metrics, and nothing else\n",
        );
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
        let allow = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allow);
        return refused;
    }
    let asks_health = request.uri().path() == HEALTH;
    match served.health.as_ref().filter(|_| asks_health) {
        Some(health) => match health() {
            Ok(()) => plain(StatusCode::OK, "ok\n"),
            Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        None => with_type(StatusCode::OK, OPENMETRICS, (served.read)().await),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", text)
}

fn with_type(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static(media_type);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
