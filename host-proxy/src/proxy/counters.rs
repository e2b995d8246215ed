//! What a proxy has done, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Live counters; read them with [`Counters::snapshot`].
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    open: AtomicU64,
    held: AtomicU64,
    refused: AtomicU64,
    waited: AtomicU64,
    turned_away: AtomicU64,
    taken_back: AtomicU64,
    aborted: AtomicU64,
    cut: AtomicU64,
    unintroduced: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
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
        Snapshot {
            accepted: self.accepted.load(Relaxed),
            open: self.open.load(Relaxed),
            held: self.held.load(Relaxed),
            refused: self.refused.load(Relaxed),
            waited: self.waited.load(Relaxed),
            turned_away: self.turned_away.load(Relaxed),
            taken_back: self.taken_back.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
            cut: self.cut.load(Relaxed),
            unintroduced: self.unintroduced.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
        }
    }

    pub(crate) fn open(&self) -> OpenConnection<'_> {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        OpenConnection(self)
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

    pub(crate) fn aborted(&self) {
        self.aborted.fetch_add(1, Relaxed);
    }

    pub(crate) fn cut(&self) {
        self.cut.fetch_add(1, Relaxed);
    }

    pub(crate) fn unintroduced(&self) {
        self.unintroduced.fetch_add(1, Relaxed);
    }

    pub(crate) fn carried(&self, bytes_in: u64, bytes_out: u64) {
        self.bytes_in.fetch_add(bytes_in, Relaxed);
        self.bytes_out.fetch_add(bytes_out, Relaxed);
    }
}

/// Counts a connection as open until it is dropped.
pub(crate) struct OpenConnection<'a>(&'a Counters);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
