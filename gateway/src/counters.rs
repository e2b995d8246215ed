//! What a gateway has done, in numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nacre_telemetry::metrics::Metrics;
use nacre_tunnel::counters::{Carried, Traffic, expose};

use crate::alert::Alert;
use crate::routes::Routes;

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
    pub(crate) traffic: Traffic,
    carried: AtomicU64,
    tried_again: AtomicU64,
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
            carried: self.carried.load(Relaxed),
            tried_again: self.tried_again.load(Relaxed),
            aborted,
            cut,
            bytes_in,
            bytes_out,
            refused: self.refused.each_ref().map(|n| n.load(Relaxed)),
        }
    }

    pub(crate) fn refused(&self, why: Refusal) {
        self.refused[why as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn answered(&self, hello: usize) {
        self.carried.fetch_add(1, Relaxed);
        self.traffic.bytes(hello as u64, 0);
    }

    pub(crate) fn tried_again(&self) {
        self.tried_again.fetch_add(1, Relaxed);
    }
}

/// What a gateway exposes: its counters, and what it thinks of its nodes.
pub(crate) fn metrics(counters: &Arc<Counters>, routes: &Routes) -> Metrics {
    let mut metrics = Metrics::of("gateway", env!("CARGO_PKG_VERSION"));
    expose(&mut metrics, counters, |counters| &counters.traffic);
    let read = |one: fn(Snapshot) -> u64| {
        let counters = Arc::clone(counters);
        move || one(counters.snapshot())
    };
    metrics.observe_one(
        "answered_connections",
        "Callers' connections that a node answered",
        read(|seen| seen.carried),
    );
    metrics.observe_one(
        "failed_tries",
        "Tries at a node that did not answer",
        read(|seen| seen.tried_again),
    );
    let refused = Arc::clone(counters);
    metrics.observe(
        "refused_connections",
        "Callers' connections that were brought to no node, by why",
        ["reason"],
        move || {
            let seen = refused.snapshot();
            let each = Refusal::ALL.map(|why| ([why.code().into()], seen.refused(why)));
            each.into()
        },
    );
    let standing = routes.clone();
    metrics.observe(
        "nodes",
        "Nodes that the routes name: in rotation, or out of it because they did not answer",
        ["rotation"],
        move || {
            let (known, out) = standing.count();
            vec![
                (["in".into()], (known - out) as f64),
                (["out".into()], out as f64),
            ]
        },
    );
    let routes = routes.clone();
    metrics.observe_one("functions", "Functions that the routes name", move || {
        routes.functions() as f64
    });
    metrics
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
