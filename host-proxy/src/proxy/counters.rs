//! What a proxy has done, in numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nacre_telemetry::metrics::Metrics;
use nacre_tunnel::counters::{Carried, Traffic, expose};

/// Live counters; read them with [`Counters::snapshot`].
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) traffic: Traffic,
    held: AtomicU64,
    refused: AtomicU64,
    waited: AtomicU64,
    turned_away: AtomicU64,
    taken_back: AtomicU64,
    unintroduced: AtomicU64,
}

/// The counters at one moment. All but `open` only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Connections that got a place.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections that had to wait for an enclave.
    pub held: u64,
    /// Connections closed because no enclave came in time, or too many waited.
    pub refused: u64,
    /// Connections that had to wait for a place.
    pub waited: u64,
    /// Connections closed because no place came in time, or too many waited for one.
    pub turned_away: u64,
    /// Connections closed because an address with fewer needed the place.
    pub taken_back: u64,
    /// Connections that ended by an error or by silence.
    pub aborted: u64,
    /// Connections that were reset because the proxy stopped before they ended.
    pub cut: u64,
    /// Connections from named proxies that were reset because they did not say for whom they came.
    pub unintroduced: u64,
    /// Bytes from callers to the enclave.
    pub bytes_in: u64,
    /// Bytes from the enclave to callers.
    pub bytes_out: u64,
}

impl Counters {
    /// Reads them all.
    pub fn snapshot(&self) -> Snapshot {
        let Carried {
            accepted,
            open,
            aborted,
            cut,
            bytes_in,
            bytes_out,
        } = self.traffic.carried();
        Snapshot {
            accepted,
            open,
            held: self.held.load(Relaxed),
            refused: self.refused.load(Relaxed),
            waited: self.waited.load(Relaxed),
            turned_away: self.turned_away.load(Relaxed),
            taken_back: self.taken_back.load(Relaxed),
            aborted,
            cut,
            unintroduced: self.unintroduced.load(Relaxed),
            bytes_in,
            bytes_out,
        }
    }

    pub(crate) fn held(&self) {
        self.held.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn waited(&self) {
        self.waited.fetch_add(1, Relaxed);
    }

    pub(crate) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Relaxed);
    }

    pub(crate) fn taken_back(&self) {
        self.taken_back.fetch_add(1, Relaxed);
    }

    pub(crate) fn unintroduced(&self) {
        self.unintroduced.fetch_add(1, Relaxed);
    }
}

/// Exposes the counters of a proxy.
pub(crate) fn metrics(metrics: &mut Metrics, counters: &Arc<Counters>) {
    expose(metrics, counters, |counters| &counters.traffic);
    let seen = Arc::clone(counters);
    metrics.observe(
        "waited_connections",
        "Callers' connections that had to wait: for a place, or for an enclave",
        ["for"],
        move || {
            let seen = seen.snapshot();
            vec![
                (["place".into()], seen.waited),
                (["enclave".into()], seen.held),
            ]
        },
    );
    let seen = Arc::clone(counters);
    metrics.observe(
        "refused_connections",
        "Callers' connections that were closed by this node, by why",
        ["reason"],
        move || {
            let seen = seen.snapshot();
            vec![
                (["no-enclave".into()], seen.refused),
                (["turned-away".into()], seen.turned_away),
                (["taken-back".into()], seen.taken_back),
                (["unintroduced".into()], seen.unintroduced),
            ]
        },
    );
}
