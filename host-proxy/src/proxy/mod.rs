//! Callers' connections, carried to the enclave and back as bytes.
//!
//! TLS ends inside the enclave, so there is nothing to read here. While the enclave is away (a restart takes about a
//! second), new connections are held for a bounded time and in a bounded number, so that a restart looks like latency
//! and not like refusal.
//!
//! One address cannot keep the others out ([`shares`]): it may hold every place that nobody else wants, and loses them
//! first. The same holds for the handshakes that the enclave is given at once, so that a caller's own waits for a few
//! others and not for the thousands that somebody begins in a loop. The enclave cannot do this, because it sees no
//! addresses; and it need not trust it, because a host that wants to keep callers out can always do so.

mod buffer;
mod connection;
mod counters;
mod pipes;
mod shares;
mod side;
pub(crate) mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use nacre_transport::{Address, BindError, Listener};
use rustix::net::sockopt;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::pause;
use crate::supervisor::EnclaveState;
use connection::Connection;
pub use counters::{Counters, Snapshot};
use shares::{Asked, Shares, Source};
use tunnel::Pools;
pub use tunnel::{End, Patience};

/// After a failed `accept` (no file descriptors left), and between tries to reach an enclave that is about to die.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one connection that is being opened may keep others from it. Who does not finish its first message is not
/// cut off for it; he only is no longer waited for.
pub const OPENING: Duration = Duration::from_millis(250);
/// Longest wait for open connections when the node stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Bounds of a [`Proxy`].
#[derive(Debug, Clone, Copy)]
pub struct ProxyLimits {
    /// Places: connections that are open to the enclave. Fewer than it takes itself (4096), so that the waiting is done
    /// here, where there are addresses.
    pub connections: usize,
    /// Connections that may wait for a place at once; more are closed.
    pub waiting: usize,
    /// Connections that may be opened to the enclave at once, each until the enclave's first byte, but for no longer
    /// than [`OPENING`].
    pub opening: usize,
    /// Connections that may wait for an enclave at once; more are closed.
    pub held: usize,
    /// How long one may wait for a place, and then for an enclave.
    pub hold: Duration,
    /// How long a running enclave may take to accept.
    pub connect: Duration,
    /// How long silence is borne.
    pub patience: Patience,
}

impl Default for ProxyLimits {
    fn default() -> Self {
        Self {
            connections: 4000,
            waiting: 1024,
            opening: 64,
            held: 4000,
            hold: Duration::from_secs(5),
            connect: Duration::from_secs(2),
            patience: Patience::default(),
        }
    }
}

/// Who may be able to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Only this machine: process mode, where nothing protects the enclave from it.
    LoopbackOnly,
    /// Anyone.
    Public,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Process mode on an address that others can reach.
    #[error(
        "process-mode-loopback-only: in process mode nothing protects the enclave's memory, so it listens on loopback only, not on {0}"
    )]
    LoopbackOnly(Address),
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl ProxyError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LoopbackOnly(_) => "process-mode-loopback-only",
            Self::Bind(BindError::InUse(_)) => "address-in-use",
            Self::Bind(_) => "cannot-listen",
        }
    }
}

/// A listening proxy.
#[derive(Debug)]
pub struct Proxy {
    listener: Listener,
    limits: ProxyLimits,
    counters: Arc<Counters>,
}

impl Proxy {
    /// Listens; callers can connect from now on.
    pub async fn bind(
        address: &Address,
        exposure: Exposure,
        limits: ProxyLimits,
    ) -> Result<Self, ProxyError> {
        if exposure == Exposure::LoopbackOnly && !address.is_loopback() {
            return Err(ProxyError::LoopbackOnly(address.clone()));
        }
        let listener = Listener::bind(address).await?;
        if let Address::Tcp { .. } = address
            && let Err(error) = notice_dead_peers(&listener)
        {
            tracing::warn!(%error, "callers who vanish will be noticed by their silence only");
        }
        Ok(Self {
            listener,
            limits,
            counters: Arc::default(),
        })
    }

    /// Where callers connect.
    pub fn address(&self) -> &Address {
        self.listener.local_address()
    }

    /// What was carried so far.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Carries connections until told to stop; then listens no more, and gives open ones a moment to end.
    pub async fn serve(self, enclave: watch::Receiver<EnclaveState>, stop: CancellationToken) {
        let open = TaskTracker::new();
        let abort = CancellationToken::new();
        let shared = Arc::new(Shared {
            limits: self.limits,
            places: Shares::new(self.limits.connections, self.limits.waiting, true),
            openings: Shares::new(self.limits.opening, self.limits.connections, false),
            held: Semaphore::new(self.limits.held),
            pools: Pools::default(),
            counters: self.counters,
            since: Instant::now(),
        });
        tokio::select! {
            () = stop.cancelled() => {}
            () = accept_all(&self.listener, &shared, &enclave, &open, &abort) => {}
        }
        drop(self.listener);
        open.close();
        if timeout_at(Instant::now() + DRAIN, open.wait())
            .await
            .is_err()
        {
            abort.cancel();
            open.wait().await;
        }
    }
}

struct Shared {
    limits: ProxyLimits,
    places: Arc<Shares>,
    openings: Arc<Shares>,
    held: Semaphore,
    pools: Pools,
    counters: Arc<Counters>,
    since: Instant,
}

impl Shared {
    /// Milliseconds since the proxy began to serve.
    fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

async fn accept_all(
    listener: &Listener,
    shared: &Arc<Shared>,
    enclave: &watch::Receiver<EnclaveState>,
    open: &TaskTracker,
    abort: &CancellationToken,
) {
    loop {
        let (caller, from) = match listener.accept_from().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                pause(PAUSE).await;
                continue;
            }
        };
        let source = from.map_or(Source::Unnamed, |from| from.ip().into());
        let asked = shared.places.ask(source);
        if matches!(asked, Asked::Refused) {
            shared.counters.turned_away();
            caller.abort_on_close();
            continue;
        }
        let connection = Connection {
            caller,
            source,
            shared: Arc::clone(shared),
        };
        let (enclave, abort) = (enclave.clone(), abort.clone());
        open.spawn(async move {
            tokio::select! {
                () = connection.serve(asked, enclave) => {}
                () = abort.cancelled() => {}
            }
        });
    }
}

/// Asks the kernel to probe silent callers, so that one who vanished does not hold its place. What is accepted inherits it.
fn notice_dead_peers(listener: &Listener) -> std::io::Result<()> {
    sockopt::set_tcp_keepidle(listener, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(listener, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(listener, 3)?;
    Ok(sockopt::set_socket_keepalive(listener, true)?)
}
