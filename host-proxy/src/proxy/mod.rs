//! Callers' connections, carried to the enclave and back as bytes.
//!
//! TLS ends inside the enclave, so there is nothing to read here. While the enclave is away (a restart takes about a
//! second), new connections are held for a bounded time and in a bounded number, so that a restart looks like latency
//! and not like refusal.

mod buffer;
mod counters;
mod tunnel;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nacre_transport::{Address, BindError, Listener, Stream, connect};
use rustix::net::sockopt;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::pause;
use crate::supervisor::EnclaveState;
use buffer::BufferPool;
pub use counters::{Counters, Snapshot};
pub use tunnel::{End, Patience};

/// After a failed `accept` (no file descriptors left), and between tries to reach an enclave that is about to die.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for open connections when the node stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Bounds of a [`Proxy`].
#[derive(Debug, Clone, Copy)]
pub struct ProxyLimits {
    /// Open connections; above this, callers wait in the kernel's backlog.
    pub connections: usize,
    /// Connections that may wait for an enclave at once; more are closed.
    pub held: usize,
    /// How long one may wait for an enclave.
    pub hold: Duration,
    /// How long a running enclave may take to accept.
    pub connect: Duration,
    /// How long silence is borne.
    pub patience: Patience,
}

impl Default for ProxyLimits {
    fn default() -> Self {
        Self {
            connections: 16 * 1024,
            held: 2048,
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
        Ok(Self {
            listener: Listener::bind(address).await?,
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
            held: Semaphore::new(self.limits.held),
            buffers: BufferPool::default(),
            counters: self.counters,
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
    held: Semaphore,
    buffers: BufferPool,
    counters: Arc<Counters>,
}

async fn accept_all(
    listener: &Listener,
    shared: &Arc<Shared>,
    enclave: &watch::Receiver<EnclaveState>,
    open: &TaskTracker,
    abort: &CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(shared.limits.connections));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let caller = match listener.accept().await {
            Ok(caller) => caller,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                pause(PAUSE).await;
                continue;
            }
        };
        let (shared, enclave, abort) = (Arc::clone(shared), enclave.clone(), abort.clone());
        open.spawn(async move {
            let _open = shared.counters.open();
            tokio::select! {
                () = carry(caller, enclave, &shared) => {}
                () = abort.cancelled() => {}
            }
            drop(slot);
        });
    }
}

async fn carry(mut caller: Stream, enclave: watch::Receiver<EnclaveState>, shared: &Shared) {
    notice_dead_peers(&caller);
    let Some(mut inside) = reach(enclave, shared).await else {
        shared.counters.refused();
        caller.abort_on_close();
        return;
    };
    let (patience, counters) = (&shared.limits.patience, &*shared.counters);
    let end = tunnel::carry(
        &mut caller,
        &mut inside,
        &shared.buffers,
        patience,
        counters,
    )
    .await;
    if !matches!(end, End::Closed) {
        tracing::debug!(?end, "a connection was aborted");
        counters.aborted();
        caller.abort_on_close();
        inside.abort_on_close();
    }
}

/// Connects to the enclave; while there is none, waits for the next, within bounds.
async fn reach(mut enclave: watch::Receiver<EnclaveState>, shared: &Shared) -> Option<Stream> {
    let limits = &shared.limits;
    let hold_until = Instant::now() + limits.hold;
    let mut held = None;
    loop {
        let current = enclave.borrow_and_update().clone();
        if let Some(endpoints) = current {
            let deadline = Instant::now() + limits.connect;
            match connect(&endpoints.tls, deadline.min(hold_until)).await {
                Ok(stream) => return Some(stream),
                Err(error) => tracing::debug!(%error, "the enclave does not accept"),
            }
        }
        if held.is_none() {
            held = Some(shared.held.try_acquire().ok()?);
            shared.counters.held();
        }
        // A refused connection usually means that the enclave just died and its end is about to be noticed.
        let next = async {
            tokio::select! {
                changed = enclave.changed() => changed.is_ok(),
                () = pause(PAUSE) => true,
            }
        };
        if !timeout_at(hold_until, next).await.unwrap_or(false) {
            return None;
        }
    }
}

/// Asks the kernel to probe a silent caller, so that one who vanished does not hold its slot.
fn notice_dead_peers(caller: &Stream) {
    if !matches!(caller, Stream::Tcp(_)) {
        return;
    }
    let set = || -> io::Result<()> {
        sockopt::set_tcp_keepidle(caller, Duration::from_secs(30))?;
        sockopt::set_tcp_keepintvl(caller, Duration::from_secs(10))?;
        sockopt::set_tcp_keepcnt(caller, 3)?;
        Ok(sockopt::set_socket_keepalive(caller, true)?)
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "no keep-alive on a connection");
    }
}
