//! The enclave's way out: a CONNECT proxy that carries bytes to the names that the operator allows.
//!
//! TLS ends in the enclave, which checks the name itself and believes nothing that comes from here. What this side
//! protects is the host: whoever runs an enclave for others does not want to be the door to his own network. So
//!
//! - nothing is allowed by default; the operator names destinations, or says `any` ([`EgressPolicy`]),
//! - a name is resolved once, and the very address that was judged is connected to ([`judge`]): loopback, private and
//!   link-local networks and the instance's metadata are refused, also where they hide in an IPv6 address,
//! - a request is `CONNECT name:port` by a strict parser ([`Request`]), within bounds of size and time, and there are
//!   bounds of connections, bytes and silence.
//!
//! The log has names, ports, bytes and durations, and nothing else of what was carried.

mod args;
mod dial;
mod follow;
mod judge;
mod policy;
mod request;

use std::sync::Arc;
use std::time::Duration;

use nacre_protocol::egress::{Destination, REFUSAL_HEADER};
use nacre_transport::{Listener, Stream};
use nacre_tunnel::{End, First, Patience, Pools, carry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::pause;

pub use args::EgressArgs;
pub use judge::{Reach, judge};
pub use policy::{Allowed, AllowedSyntaxError, EgressPolicy};
pub use request::{MAX_HEAD, Request, RequestError};

/// After a failed `accept`: no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for open connections when the proxy stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Bounds of an [`Egress`].
#[derive(Debug, Clone, Copy)]
pub struct EgressLimits {
    /// Connections at once; more are refused.
    pub connections: usize,
    /// From accepting until the request's head is whole.
    pub request: Duration,
    /// Resolving the name and connecting, all addresses together.
    pub connect: Duration,
    /// How long silence is borne.
    pub idle: Duration,
    /// Longest life of a connection.
    pub life: Duration,
    /// Most bytes that one connection carries, both ways together.
    pub bytes: u64,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            request: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            life: Duration::from_secs(3600),
            // The largest file of a function, and what TLS adds to it.
            bytes: nacre_protocol::bundle::MAX_FILE + (1 << 30),
        }
    }
}

/// The proxy. Clones share bounds and policy, so that one serves several enclaves.
#[derive(Debug, Clone)]
pub struct Egress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    policy: EgressPolicy,
    limits: EgressLimits,
    places: Arc<Semaphore>,
    dialer: dial::Dialer,
    pools: Pools,
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// Not a request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The head did not arrive in time.
    #[error("the request did not arrive in time")]
    RequestTimeout,
    /// [`EgressLimits::connections`] are open.
    #[error("too many connections are open")]
    TooMany,
    /// The operator does not allow the destination.
    #[error("the operator does not allow {0}")]
    NotAllowed(Destination),
    /// The name has no address.
    #[error("the name has no address: {0}")]
    Unresolved(std::io::Error),
    /// All its addresses lie where nothing may be reached.
    #[error("the name's addresses are not on the internet")]
    Address,
    /// None of its addresses accepted.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// No address accepted in time.
    #[error("no address accepted in time")]
    ConnectTimeout,
    /// The enclave broke its connection.
    #[error("the enclave's connection broke: {0}")]
    Io(#[from] std::io::Error),
}

impl EgressError {
    /// Stable code; the enclave reads it in the header `nacre-error`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Request(error) => error.code(),
            Self::RequestTimeout => "egress-request-timeout",
            Self::TooMany => "egress-too-many-connections",
            Self::NotAllowed(_) => "egress-name-not-allowed",
            Self::Unresolved(_) => "egress-name-unresolved",
            Self::Address => "egress-address-refused",
            Self::Connect(_) => "egress-connect-failed",
            Self::ConnectTimeout => "egress-connect-timeout",
            Self::Io(_) => "egress-connection-broken",
        }
    }

    /// The status line's number and words.
    fn status(&self) -> &'static str {
        match self {
            Self::Request(RequestError::TooLong) => "431 Request Header Fields Too Large",
            Self::Request(RequestError::Method) => "405 Method Not Allowed",
            Self::Request(_) | Self::Io(_) => "400 Bad Request",
            Self::RequestTimeout => "408 Request Timeout",
            Self::TooMany => "503 Service Unavailable",
            Self::NotAllowed(_) | Self::Address => "403 Forbidden",
            Self::Unresolved(_) | Self::Connect(_) => "502 Bad Gateway",
            Self::ConnectTimeout => "504 Gateway Timeout",
        }
    }
}

impl Egress {
    /// A proxy with this policy.
    pub fn new(policy: EgressPolicy, limits: EgressLimits) -> Self {
        Self(Arc::new(Shared {
            policy,
            limits,
            places: Arc::new(Semaphore::new(limits.connections)),
            dialer: dial::Dialer::default(),
            pools: Pools::default(),
        }))
    }

    /// Serves an enclave's connections until told to stop; then gives open ones a moment to end.
    pub async fn serve(&self, listener: Listener, stop: CancellationToken) {
        let open = TaskTracker::new();
        let abort = CancellationToken::new();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.accept_all(&listener, &open, &abort) => {}
        }
        drop(listener);
        open.close();
        if timeout(DRAIN, open.wait()).await.is_err() {
            abort.cancel();
            open.wait().await;
        }
    }

    async fn accept_all(&self, listener: &Listener, open: &TaskTracker, abort: &CancellationToken) {
        loop {
            let enclave = match listener.accept().await {
                Ok(enclave) => enclave,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept the enclave's connection");
                    pause(PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() else {
                // Dropped unanswered: an answer to each of a flood would be one more thing to wait for.
                tracing::warn!(code = EgressError::TooMany.code(), "egress refused");
                continue;
            };
            let (shared, abort) = (Arc::clone(&self.0), abort.clone());
            open.spawn(async move {
                let _place = place;
                tokio::select! {
                    () = shared.connection(enclave) => {}
                    () = abort.cancelled() => {}
                }
            });
        }
    }
}

impl Shared {
    async fn connection(&self, mut enclave: Stream) {
        let began = Instant::now();
        let mut wanted = None;
        let opened = self.open(&mut enclave, &mut wanted).await;
        let (name, port) = wanted
            .as_ref()
            .map_or(("-", 0), |to: &Destination| (to.name(), to.port()));
        match opened {
            Ok(peer) => {
                let (bytes_out, bytes_in, end) = self.tunnel(enclave, peer).await;
                let ms = millis_since(began);
                tracing::info!(name, port, bytes_out, bytes_in, ms, end, "egress");
            }
            Err(error) => {
                let (code, ms) = (error.code(), millis_since(began));
                tracing::warn!(name, port, code, ms, "egress refused");
                self.refuse(enclave, &error).await;
            }
        }
    }

    /// Reads what is wanted, and connects to it.
    async fn open(
        &self,
        enclave: &mut Stream,
        wanted: &mut Option<Destination>,
    ) -> Result<TcpStream, EgressError> {
        let request = timeout(self.limits.request, read_request(enclave)).await;
        let request = request.map_err(|_| EgressError::RequestTimeout)??;
        let to = &*wanted.insert(request.to);
        if !self.policy.allows(to) {
            return Err(EgressError::NotAllowed(to.clone()));
        }
        let deadline = Instant::now() + self.limits.connect;
        let peer = timeout_at(deadline, self.dialer.dial(to, self.policy.private()));
        let peer = peer.await.map_err(|_| EgressError::ConnectTimeout)??;
        let answer = enclave.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n");
        timeout(self.limits.request, answer)
            .await
            .map_err(|_| EgressError::RequestTimeout)??;
        Ok(peer)
    }

    /// Carries until an end; bytes out of the enclave, into it, and how it ended.
    async fn tunnel(&self, mut enclave: Stream, peer: TcpStream) -> (u64, u64, &'static str) {
        let mut peer = Stream::from_tcp(peer);
        let patience = Patience {
            idle: self.limits.idle,
            half_closed: self.limits.idle,
            ..Patience::default()
        };
        let enough = CancellationToken::new();
        let (mut outward, mut inward) = (0, 0);
        let carried = |sent: u64, received: u64| {
            outward += sent;
            inward += received;
            if outward + inward > self.limits.bytes {
                enough.cancel();
            }
        };
        let end = tokio::select! {
            end = carry(&mut enclave, &mut peer, First::nothing(&self.pools), &patience, carried) => match end {
                End::Closed => "closed",
                End::Broken => "broken",
                End::Idle => "idle",
            },
            () = enough.cancelled() => "too-many-bytes",
            () = sleep_until(Instant::now() + self.limits.life) => "too-long",
        };
        if end != "closed" {
            peer.abort_on_close();
        }
        (outward, inward, end)
    }

    async fn refuse(&self, mut enclave: Stream, error: &EgressError) {
        let (status, code) = (error.status(), error.code());
        let answer = format!(
            "HTTP/1.1 {status}\r\n{REFUSAL_HEADER}: {code}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let told = async {
            enclave.write_all(answer.as_bytes()).await?;
            enclave.shutdown().await
        };
        // An enclave that does not listen to its refusal has lost nothing.
        let _ = timeout(self.limits.request, told).await;
    }
}

async fn read_request(enclave: &mut Stream) -> Result<Request, EgressError> {
    let mut head = [0; MAX_HEAD];
    let mut length = 0;
    loop {
        let count = enclave.read(&mut head[length..]).await?;
        if count == 0 {
            return Err(RequestError::Incomplete.into());
        }
        length += count;
        if let Some(request) = Request::read(&head[..length])? {
            return Ok(request);
        }
    }
}

fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
