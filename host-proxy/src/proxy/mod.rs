//! Callers' connections, carried to the enclave and back as bytes.
//!
//! TLS ends inside the enclave, so there is nothing to read here. While the enclave is away (a restart takes about a
//! second), new connections are held for a bounded time and in a bounded number, so that a restart looks like latency
//! and not like refusal.
//!
//! One address cannot keep the others out ([`nacre_tunnel::shares`]): it may hold every place that nobody else wants, and loses them
//! first. The same holds for the handshakes that the enclave is given at once, so that a caller's own waits for a few
//! others and not for the thousands that somebody begins in a loop. The enclave cannot do this, because it sees no
//! addresses; and it need not trust it, because a host that wants to keep callers out can always do so.
//!
//! How bytes go from socket to socket, by which threads, and how places are shared, is [`nacre_tunnel`]'s.

mod connection;
mod counters;
mod entry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use nacre_transport::proxy_header::Network;
use nacre_transport::{Address, BindError, Listener};
use nacre_tunnel::lanes::{Carrier, Lanes};
use nacre_tunnel::shares::Shares;
use nacre_tunnel::{Pools, system};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::supervisor::EnclaveState;
pub(crate) use counters::metrics;
pub use counters::{Counters, Snapshot};
pub use nacre_tunnel::{End, Patience};

/// Between tries to reach an enclave that is about to die.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one connection that is being opened may keep others from it. Who does not finish its first message is not
/// cut off for it; he only is no longer waited for.
pub const OPENING: Duration = Duration::from_millis(250);
/// How long a named proxy may take to say for whom it is connected.
const INTRODUCTION: Duration = Duration::from_secs(3);
/// Connections of named proxies that may be about to say so, at once.
const INTRODUCTIONS: usize = 512;

/// Files beside those of callers and the enclave: pipes for bulk, connections that are about to say for whom, and those
/// of the threads.
pub const OWN_FILES: usize = INTRODUCTIONS + nacre_tunnel::FILES;

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
    /// How long open connections may take to end when the proxy stops; those left are reset. Whether one is idle cannot
    /// be seen from outside its TLS.
    pub drain: Duration,
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
            drain: Duration::from_secs(1),
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
    proxies: Vec<Network>,
    announces: bool,
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
            && let Err(error) = system::notice_dead_peers(&listener)
        {
            tracing::warn!(%error, "callers who vanish will be noticed by their silence only");
        }
        Ok(Self {
            listener,
            limits,
            counters: Arc::default(),
            proxies: Vec::new(),
            announces: false,
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

    /// Takes connections from these networks for those of proxies (a load balancer, a gateway), each of which must begin
    /// with a PROXY protocol v2 header. The address in it is the one whose share counts; without a valid header within
    /// three seconds, a connection is reset. Connections from elsewhere have no header, and one that they send is bytes
    /// for the enclave, as any other.
    #[must_use]
    pub fn behind(mut self, proxies: Vec<Network>) -> Self {
        self.proxies = proxies;
        self
    }

    /// Begins every connection that goes on over TCP with a PROXY protocol v2 header: for a chain of proxies. An enclave
    /// is never told, on any transport that enclaves have: it would have to believe its host.
    #[must_use]
    pub fn announcing(mut self) -> Self {
        self.announces = true;
        self
    }

    /// Carries connections until told to stop. Then it listens no more, sends away who still waits, and gives open
    /// connections the time to end that its limits allow; those left are reset.
    pub async fn serve(self, enclave: watch::Receiver<EnclaveState>, stop: CancellationToken) {
        let open = TaskTracker::new();
        // Who lets go of this future stops the proxy, too.
        let stop = stop.child_token();
        let _stops = stop.clone().drop_guard();
        let shared = Arc::new(Shared {
            limits: self.limits,
            places: Shares::new(self.limits.connections, self.limits.waiting, true),
            openings: Shares::new(self.limits.opening, self.limits.connections, false),
            held: Semaphore::new(self.limits.held),
            introductions: Arc::new(Semaphore::new(INTRODUCTIONS)),
            pools: Pools::default(),
            counters: self.counters,
            proxies: self.proxies,
            announces: self.announces,
            stop: stop.clone(),
            cut: AtomicBool::new(false),
            since: Instant::now(),
        });
        let taking = Arc::clone(&shared);
        let carrier = Carrier {
            take: move |caller, from| entry::take(&taking, &enclave, caller, from),
            open: open.clone(),
            stop: stop.clone(),
            // Who is not connected to the enclave yet has sent nothing that could be lost.
            last_call: Duration::ZERO,
        };
        let lanes = Lanes::start(self.listener, &carrier).await;
        stop.cancelled().await;
        open.close();
        drain(&open, &shared).await;
        lanes.ended().await;
    }
}

async fn drain(open: &TaskTracker, shared: &Shared) {
    let connections = shared.counters.snapshot().open;
    let deadline = Instant::now() + shared.limits.drain;
    if timeout_at(deadline, open.wait()).await.is_err() {
        shared.cut.store(true, Relaxed);
        shared.places.take_all_back();
        open.wait().await;
    }
    let reset = shared.counters.snapshot().cut;
    tracing::info!(connections, reset, "drained");
}

struct Shared {
    limits: ProxyLimits,
    places: Arc<Shares>,
    openings: Arc<Shares>,
    held: Semaphore,
    introductions: Arc<Semaphore>,
    pools: Pools,
    counters: Arc<Counters>,
    proxies: Vec<Network>,
    announces: bool,
    /// The proxy stops: nobody new is connected.
    stop: CancellationToken,
    /// The time to end is over: all places are taken back.
    cut: AtomicBool,
    since: Instant,
}

impl Shared {
    /// Milliseconds since the proxy began to serve.
    fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_proxy(&self, address: SocketAddr) -> bool {
        let mut networks = self.proxies.iter();
        networks.any(|network| network.contains(address.ip()))
    }
}
