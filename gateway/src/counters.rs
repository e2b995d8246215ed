//! What a gateway has done, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::alert::Alert;

/// Why a caller was not brought to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too many were there, together or from its address.
    TurnedAway,
    /// Its place was needed for an address that has fewer.
    TakenBack,
    /// Its first message did not end in time.
    HelloSlow,
    /// It ended before its first message did.
    HelloIncomplete,
    /// Its first message is longer than may be.
    HelloTooLong,
    /// Its first message is no ClientHello.
    HelloMalformed,
    /// It asks for no name.
    NoName,
    /// It asks for a name that is no function's.
    UnknownName,
    /// No node of the function answered.
    NoNode,
    /// The gateway stopped.
    Stopped,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::TurnedAway,
        Self::TakenBack,
        Self::HelloSlow,
        Self::HelloIncomplete,
        Self::HelloTooLong,
        Self::HelloMalformed,
        Self::NoName,
        Self::UnknownName,
        Self::NoNode,
        Self::Stopped,
    ];

    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::TurnedAway => "turned-away",
            Self::TakenBack => "taken-back",
            Self::HelloSlow => "hello-slow",
            Self::HelloIncomplete => "hello-incomplete",
            Self::HelloTooLong => "hello-too-long",
            Self::HelloMalformed => "hello-malformed",
            Self::NoName => "no-name",
            Self::UnknownName => "unknown-name",
            Self::NoNode => "no-node",
            Self::Stopped => "stopped",
        }
    }

    /// What the caller is told; `None`: it is reset.
    pub(crate) fn alert(self) -> Option<Alert> {
        match self {
            Self::HelloTooLong | Self::HelloMalformed => Some(Alert::DecodeError),
            Self::NoName | Self::UnknownName => Some(Alert::UnrecognizedName),
            Self::NoNode => Some(Alert::InternalError),
            _ => None,
        }
    }
}

/// Live counters; read them with [`Counters::snapshot`].
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    open: AtomicU64,
    carried: AtomicU64,
    tried_again: AtomicU64,
    aborted: AtomicU64,
    cut: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
}

/// The counters at one moment. All but `open` only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Connections that callers opened.
    pub accepted: u64,
    /// Of them, those open now.
    pub open: u64,
    /// Of them, those that a node answered.
    pub carried: u64,
    /// Tries at a node that did not answer.
    pub tried_again: u64,
    /// Connections that ended by an error or by silence after a node had answered.
    pub aborted: u64,
    /// Connections that were reset because the gateway stopped before they ended.
    pub cut: u64,
    /// Bytes from callers to nodes.
    pub bytes_in: u64,
    /// Bytes from nodes to callers.
    pub bytes_out: u64,
    refused: [u64; Refusal::ALL.len()],
}

impl Snapshot {
    /// Connections that were refused for this reason.
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused[why as usize]
    }
}

impl Counters {
    /// Reads them all.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            accepted: self.accepted.load(Relaxed),
            open: self.open.load(Relaxed),
            carried: self.carried.load(Relaxed),
            tried_again: self.tried_again.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
            cut: self.cut.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            refused: self.refused.each_ref().map(|n| n.load(Relaxed)),
        }
    }

    pub(crate) fn open(&self) -> OpenConnection<'_> {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        OpenConnection(self)
    }

    pub(crate) fn refused(&self, why: Refusal) {
        self.refused[why as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn answered(&self, hello: usize) {
        self.carried.fetch_add(1, Relaxed);
        self.bytes_in.fetch_add(hello as u64, Relaxed);
    }

    pub(crate) fn tried_again(&self) {
        self.tried_again.fetch_add(1, Relaxed);
    }

    pub(crate) fn aborted(&self) {
        self.aborted.fetch_add(1, Relaxed);
    }

    pub(crate) fn cut(&self) {
        self.cut.fetch_add(1, Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_count() {
        let counters = Counters::default();
        for (times, why) in Refusal::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counters.refused(why));
        }
        let counts = Refusal::ALL.map(|why| counters.snapshot().refused(why));
        assert_eq!(counts, std::array::from_fn(|n| n as u64));
    }
}
