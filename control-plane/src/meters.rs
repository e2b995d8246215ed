//! What a control plane counts, for Prometheus.
//!
//! What it does itself it counts as it does it. What is in the database it counts when somebody asks, at most every few
//! seconds ([`census`]): control planes of one database all show the same there, and each its own requests.

mod census;
mod observe;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nacre_telemetry::metrics::{Counter, Family, Histogram, Label, Metrics, SECONDS};
use tokio::time::{Instant, timeout};

use crate::error::Error;
use crate::store::Store;
use crate::store::census::Census;
pub(crate) use observe::{Refused, observe};

/// How old what was counted in the database may be.
const CENSUS_AGE: Duration = Duration::from_secs(5);
/// How long counting may take; what was counted before stays until it has been done.
const CENSUS_TIME: Duration = Duration::from_secs(2);

/// Upper ends in seconds for a run of the auction.
const AUCTION: [f64; 10] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 2.5,
];

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Meters {
    exposed: Metrics,
    requests: Family<Counter, 3>,
    seconds: Family<Histogram, 2>,
    refusals: Family<Counter, 1>,
    database_errors: Family<Counter, 1>,
    auction: Histogram,
    market: Family<Counter, 1>,
    census: Arc<Mutex<Census>>,
    counted: tokio::sync::Mutex<Option<Instant>>,
}

impl Meters {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        let mut metrics = Metrics::of("control_plane", env!("CARGO_PKG_VERSION"));
        let census = Arc::default();
        census::expose(&mut metrics, &census);
        Self {
            requests: metrics.counters(
                "requests",
                "Requests by method, route and status; a route is a pattern, or none",
                ["method", "route", "status"],
            ),
            seconds: metrics.histograms(
                "request_seconds",
                "From a request's head to its answer's; that of a long poll is how long it waited",
                ["method", "route"],
                &SECONDS,
            ),
            refusals: metrics.counters(
                "refusals",
                "Requests that were refused, by the error's code",
                ["code"],
            ),
            database_errors: metrics.counters(
                "database_errors",
                "Times that the database did not do what it was asked: passing (it was away or busy) or lasting",
                ["kind"],
            ),
            auction: metrics.histogram(
                "auction_seconds",
                "How long the auction took to decide who runs what",
                &AUCTION,
            ),
            market: metrics.counters(
                "market_events",
                "What the auction decided: leases granted, and leases ended",
                ["event"],
            ),
            census,
            counted: tokio::sync::Mutex::default(),
            exposed: metrics,
        }
    }

    /// An error that nobody is told of, or everybody.
    pub(crate) fn failed(&self, error: &Error) {
        if let Some(kind) = error.database() {
            self.database_errors.of([kind.into()]).inc();
        }
    }

    /// The auction was run: how long it took, and how much it changed.
    pub(crate) fn auction(&self, took: Duration, decided: [(&'static str, usize); 2]) {
        self.auction.observe(took.as_secs_f64());
        for (event, count) in decided {
            self.market.of([event.into()]).inc_by(count as u64);
        }
    }

    /// All of it as text; what is in the database is counted first, if that is due.
    pub(crate) async fn read(&self, store: &Store, now_ms: u64) -> String {
        // Whoever asks meanwhile waits for the same count.
        let mut counted = self.counted.lock().await;
        if counted.is_none_or(|at| at.elapsed() >= CENSUS_AGE) {
            match timeout(CENSUS_TIME, store.census(now_ms)).await {
                Ok(Ok(census)) => {
                    *self.census.lock().unwrap_or_else(PoisonError::into_inner) = census;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "what is in the database cannot be counted");
                    self.failed(&error.into());
                }
                Err(_) => {
                    tracing::warn!("counting in the database takes longer than {CENSUS_TIME:?}")
                }
            }
            *counted = Some(Instant::now());
        }
        drop(counted);
        self.exposed.encode()
    }

    fn answered(&self, method: &'static str, route: Label, status: Label, took: Duration) {
        self.seconds
            .of([method.into(), route.clone()])
            .observe(took.as_secs_f64());
        self.requests.of([method.into(), route, status]).inc();
    }

    fn refused(&self, refused: Refused) {
        self.refusals.of([refused.code.into()]).inc();
        if let Some(kind) = refused.database {
            self.database_errors.of([kind.into()]).inc();
        }
    }
}
