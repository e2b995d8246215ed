//! A node as the gateway knows it, whichever functions it runs: its connections in flight and its health.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use nacre_transport::Address;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::balance::Candidate;
use crate::health::{Health, Sign};
use crate::probe::Prober;

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    address: Address,
    in_flight: AtomicUsize,
    /// As `health` says; beside it, so that choosing takes no lock.
    in_rotation: AtomicBool,
    health: Mutex<Health>,
    /// A probe is due earlier than it was.
    hurry: Notify,
}

impl Node {
    pub(crate) fn new(address: Address, health: Health) -> Arc<Self> {
        Arc::new(Self {
            address,
            in_flight: AtomicUsize::new(0),
            in_rotation: AtomicBool::new(health.in_rotation()),
            health: Mutex::new(health),
            hurry: Notify::new(),
        })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Takes note of what was seen of it.
    pub(crate) fn saw(&self, sign: Sign) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let due = health.next_probe();
        health.on(sign, Instant::now());
        let now_in = health.in_rotation();
        if self.in_rotation.swap(now_in, Relaxed) != now_in {
            let node = &self.address;
            tracing::info!(%node, ?sign, in_rotation = now_in, "a node changed its standing");
        }
        if health.next_probe() < due {
            self.hurry.notify_one();
        }
    }

    /// Counts a connection until the value is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Probes it whenever that is due, until the routes have no place for it any more.
    pub(crate) async fn probe_until(self: Arc<Self>, gone: CancellationToken, prober: Prober) {
        let probing = async {
            loop {
                let due = self.next_probe();
                if Instant::now() < due {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = self.hurry.notified() => {}
                    }
                    continue;
                }
                let answered = prober.probe(&self.address).await;
                self.saw(match answered {
                    true => Sign::ProbeAnswered,
                    false => Sign::ProbeFailed,
                });
            }
        };
        gone.run_until_cancelled(probing).await;
    }

    fn next_probe(&self) -> Instant {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.next_probe()
    }
}

impl Candidate for Arc<Node> {
    fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    fn in_rotation(&self) -> bool {
        self.in_rotation.load(Relaxed)
    }
}

/// A connection to a node, being made or open.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Node>);

impl InFlight {
    /// The node.
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
