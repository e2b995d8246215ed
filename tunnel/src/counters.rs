//! What was carried, in numbers: those that every program has that carries connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nacre_telemetry::metrics::Metrics;

/// Live counters; read them with [`Traffic::carried`].
#[derive(Debug, Default)]
pub struct Traffic {
    accepted: AtomicU64,
    open: AtomicU64,
    aborted: AtomicU64,
    cut: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// The counters at one moment. All but `open` only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Connections that were taken.
    pub accepted: u64,
    /// Of them, those open now.
    pub open: u64,
    /// Connections that ended by an error or by silence.
    pub aborted: u64,
    /// Connections that were reset because the program stopped before they ended.
    pub cut: u64,
    /// Bytes from callers.
    pub bytes_in: u64,
    /// Bytes to callers.
    pub bytes_out: u64,
}

impl Traffic {
    /// Reads them all.
    pub fn carried(&self) -> Carried {
        Carried {
            accepted: self.accepted.load(Relaxed),
            open: self.open.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
            cut: self.cut.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
        }
    }

    /// A connection was taken; it is open until what this gives is dropped.
    pub fn open(&self) -> OpenConnection<'_> {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        OpenConnection(self)
    }

    /// A connection ended by an error or by silence.
    pub fn aborted(&self) {
        self.aborted.fetch_add(1, Relaxed);
    }

    /// A connection was reset because the program stops.
    pub fn cut(&self) {
        self.cut.fetch_add(1, Relaxed);
    }

    /// Bytes were carried from a caller, and to it.
    pub fn bytes(&self, inward: u64, outward: u64) {
        self.bytes_in.fetch_add(inward, Relaxed);
        self.bytes_out.fetch_add(outward, Relaxed);
    }
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub struct OpenConnection<'a>(&'a Traffic);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Exposes the counters of whatever `of` finds them in.
pub fn expose<T: Send + Sync + 'static>(
    metrics: &mut Metrics,
    counters: &Arc<T>,
    of: fn(&T) -> &Traffic,
) {
    let read = |one: fn(Carried) -> u64| {
        let counters = Arc::clone(counters);
        move || one(of(&counters).carried())
    };
    metrics.observe_one("connections", "Callers' connections that were taken", {
        read(|carried| carried.accepted)
    });
    metrics.observe_one("open_connections", "Of them, those open now", {
        let open = read(|carried| carried.open);
        move || open() as f64
    });
    metrics.observe(
        "ended_connections",
        "Of them, those that ended otherwise than by both sides' word: aborted (an error or silence), cut (this program stopped)",
        ["how"],
        {
            let (aborted, cut) = (read(|c| c.aborted), read(|c| c.cut));
            move || vec![(["aborted".into()], aborted()), (["cut".into()], cut())]
        },
    );
    metrics.observe(
        "carried_bytes",
        "Bytes from callers (in) and to them (out)",
        ["direction"],
        {
            let (inward, outward) = (read(|c| c.bytes_in), read(|c| c.bytes_out));
            move || vec![(["in".into()], inward()), (["out".into()], outward())]
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_open_until_it_is_dropped() {
        let traffic = Traffic::default();
        let (first, second) = (traffic.open(), traffic.open());
        drop(first);
        let Carried { accepted, open, .. } = traffic.carried();
        assert_eq!((accepted, open), (2, 1));
        drop(second);
        assert_eq!(traffic.carried().open, 0);
    }
}
