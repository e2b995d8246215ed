//! The gateway itself: where callers connect, and how many may.
//!
//! Callers have places of two kinds. While one is about to say whom it wants, it has one of few, and for a few seconds at
//! most: opening connections and saying nothing is cheap. Then it has one of many. In both rooms one address may have all
//! that nobody else wants, up to a bound, and loses them first when somebody does ([`nacre_tunnel::shares`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nacre_telemetry::metrics::Metrics;
use nacre_transport::{Address, BindError, Listener, Stream};
use nacre_tunnel::lanes::{Carrier, Lanes};
use nacre_tunnel::shares::{Asked, Shares};
use nacre_tunnel::{Patience, Pools, system};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::Connection;
use crate::counters::{self, Counters, Refusal};
use crate::dial::{DialLimits, Dialer};
use crate::health::HealthTiming;
use crate::probe::Prober;
use crate::routes::Routes;
use crate::zone::Zone;

/// When the gateway stops, who has begun to connect is accepted for so long at most.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Bounds of a [`Gateway`].
#[derive(Debug, Clone, Copy)]
pub struct GatewayLimits {
    /// Connections that are open to nodes at once.
    pub connections: usize,
    /// Of them, those of one address.
    pub connections_of_one: usize,
    /// Connections that may be about to say whom they want, at once.
    pub hellos: usize,
    /// Of them, those of one address.
    pub hellos_of_one: usize,
    /// Connections that may wait in each of the two rooms at once; more are reset.
    pub waiting: usize,
    /// From accepting to the end of the first message.
    pub hello: Duration,
    /// How long one may wait for a place after that.
    pub wait: Duration,
    /// How long one may wait for a function that has no node now; zero: not at all.
    pub wake: Duration,
    /// How nodes are reached.
    pub dial: DialLimits,
    /// How long silence is borne.
    pub patience: Patience,
    /// How long open connections may take to end when the gateway stops; those left are reset.
    pub drain: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_of_one: 5_000,
            hellos: 1024,
            hellos_of_one: 512,
            waiting: 512,
            hello: Duration::from_secs(5),
            wait: Duration::from_secs(2),
            wake: Duration::ZERO,
            dial: DialLimits::default(),
            patience: Patience::default(),
            drain: Duration::from_secs(30),
        }
    }
}

/// A listening gateway.
#[derive(Debug)]
pub struct Gateway {
    listener: Listener,
    limits: GatewayLimits,
    zone: Zone,
    routes: Routes,
    counters: Arc<Counters>,
}

impl Gateway {
    /// Listens; callers can connect from now on, and are served when the gateway is. The seed decides which nodes are
    /// drawn. There are no routes yet.
    pub async fn bind(
        address: &Address,
        zone: Zone,
        limits: GatewayLimits,
        health: HealthTiming,
        seed: u64,
    ) -> Result<Self, BindError> {
        let prober = Prober {
            within: limits.dial.connect + limits.dial.answer,
            proxy_protocol: limits.dial.proxy_protocol,
        };
        let listener = Listener::bind(address).await?;
        if let Err(error) = system::notice_dead_peers(&listener) {
            tracing::warn!(%error, "callers who vanish will be noticed by their silence only");
        }
        Ok(Self {
            listener,
            limits,
            zone,
            routes: Routes::new(health, prober, seed),
            counters: Arc::default(),
        })
    }

    /// Where callers connect.
    pub fn address(&self) -> &Address {
        self.listener.local_address()
    }

    /// The routes, to be filled.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// What was done so far.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// What the gateway exposes.
    pub(crate) fn metrics(&self) -> Metrics {
        counters::metrics(&self.counters, &self.routes)
    }

    /// Serves callers until told to stop. Then nobody more may begin to connect: who tries is refused before there is a
    /// connection, a second later, when its kernel repeats its first packet. Everybody who had begun is still taken, as
    /// far as its handshake ends soon (200 ms after the last one's, and within a second in all). Open connections are given
    /// the time to end that the limits allow, and those left are reset.
    pub async fn serve(self, stop: CancellationToken) {
        // Who lets go of this future stops the gateway, too.
        let stop = stop.child_token();
        let _stops = stop.clone().drop_guard();
        let limits = self.limits;
        let open = TaskTracker::new();
        let shared = Arc::new(Shared {
            limits,
            zone: self.zone,
            dialer: Dialer {
                routes: self.routes,
                limits: limits.dial,
            },
            hellos: Shares::with_most_of_one(limits.hellos, limits.waiting, limits.hellos_of_one),
            places: Shares::with_most_of_one(
                limits.connections,
                limits.waiting,
                limits.connections_of_one,
            ),
            pools: Pools::default(),
            counters: self.counters,
            cut: CancellationToken::new(),
            since: Instant::now(),
        });
        let taking = Arc::clone(&shared);
        let carrier = Carrier {
            take: move |caller, from| taking.take(caller, from),
            open: open.clone(),
            stop: stop.clone(),
            last_call: LAST_CALL,
        };
        let lanes = Lanes::start(self.listener, &carrier).await;
        stop.cancelled().await;
        open.close();
        shared.drain(&open).await;
        lanes.ended().await;
    }
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) limits: GatewayLimits,
    pub(crate) zone: Zone,
    pub(crate) dialer: Dialer,
    /// Places of those who are about to say whom they want.
    pub(crate) hellos: Arc<Shares>,
    /// Places of those who have said it.
    pub(crate) places: Arc<Shares>,
    pub(crate) pools: Pools,
    pub(crate) counters: Arc<Counters>,
    /// The time to end is over.
    pub(crate) cut: CancellationToken,
    since: Instant,
}

impl Shared {
    /// Milliseconds since the gateway began to serve.
    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes a connection, and gives the rest of its life; `None` when it has been turned away.
    fn take(
        self: &Arc<Self>,
        caller: Stream,
        from: Option<SocketAddr>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let connection = Connection {
            caller,
            from,
            accepted: Instant::now(),
            shared: Arc::clone(self),
        };
        match self.hellos.ask(connection.source()) {
            Asked::Refused => {
                self.counters.refused(Refusal::TurnedAway);
                connection.caller.abort_on_close();
                None
            }
            asked => Some(connection.serve(asked)),
        }
    }

    async fn drain(&self, open: &TaskTracker) {
        let connections = self.counters.snapshot().open;
        let deadline = Instant::now() + self.limits.drain;
        if timeout_at(deadline, open.wait()).await.is_err() {
            self.cut.cancel();
            open.wait().await;
        }
        let done = self.counters.snapshot();
        tracing::info!(connections, ?done, "drained");
    }
}
