//! A gateway with its routes, in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nacre_gateway::counters::{Counters, Snapshot};
use nacre_gateway::health::HealthTiming;
use nacre_gateway::routes::Routes;
use nacre_gateway::table::Table;
use nacre_gateway::{Gateway, GatewayLimits};
use nacre_transport::Address;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

/// What must happen, happens within this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) routes: Routes,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// Limits that end a test soon.
pub(crate) fn limits() -> GatewayLimits {
    let mut limits = GatewayLimits {
        hello: Duration::from_secs(2),
        drain: Duration::from_secs(5),
        ..GatewayLimits::default()
    };
    limits.dial.connect = Duration::from_millis(500);
    limits.dial.answer = Duration::from_millis(500);
    limits.dial.last_answer = Duration::from_secs(3);
    limits
}

/// Nodes are probed only after a failure.
pub(crate) const AFTER_FAILURES: HealthTiming = HealthTiming {
    every: Duration::from_secs(3600),
    first_retry: Duration::from_secs(3600),
    longest_retry: Duration::from_secs(3600),
};

impl World {
    pub(crate) async fn start(limits: GatewayLimits, health: HealthTiming) -> Self {
        let listen: Address = "tcp://127.0.0.1:0".parse().unwrap();
        let zone = "fn.example.org".parse().unwrap();
        let gateway = Gateway::bind(&listen, zone, limits, health, 7)
            .await
            .unwrap();
        let address = gateway.address().to_string();
        let address = address.strip_prefix("tcp://").unwrap().parse().unwrap();
        let (routes, counters) = (gateway.routes(), gateway.counters());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(gateway.serve(stop.clone()));
        Self {
            address,
            routes,
            counters,
            stop,
            serving,
        }
    }

    /// One with `iris` on these nodes.
    pub(crate) async fn with_nodes(nodes: &[SocketAddr]) -> Self {
        let world = Self::start(limits(), AFTER_FAILURES).await;
        world.routes.replace(&iris_on(nodes));
        world
    }

    pub(crate) fn seen(&self) -> Snapshot {
        self.counters.snapshot()
    }

    /// Waits until the counters say so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Snapshot) -> bool) {
        until(what, || is_so(&self.seen())).await;
    }

    /// Waits until it has stopped serving.
    pub(crate) async fn ended(self) {
        let ended = tokio::time::timeout(DEADLINE, self.serving).await;
        ended.unwrap().unwrap();
    }
}

pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    let mut ticks = interval(Duration::from_millis(5));
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        ticks.tick().await;
    }
}

pub(crate) fn iris_on(nodes: &[SocketAddr]) -> Table {
    let nodes: Vec<String> = nodes
        .iter()
        .map(|node| format!("{:?}", node.to_string()))
        .collect();
    let text = format!("[[functions.iris]]\nnodes = [{}]\n", nodes.join(", "));
    Table::from_toml(text.as_bytes()).unwrap()
}
