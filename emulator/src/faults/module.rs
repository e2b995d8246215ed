//! The module with its faults: what both fronts serve.

use std::time::Duration;

use super::{Faults, Served};
use crate::nsm::{self, ErrorCode, Nsm};

/// A module that misbehaves as it is told. Without faults it is the module itself.
#[derive(Debug)]
pub struct FaultyNsm {
    nsm: Nsm,
    faults: Faults,
    clock: fn() -> u64,
    latency: Duration,
    served: Served,
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The response; none: the module never answers.
    pub response: Option<Vec<u8>>,
    /// How long the module is busy with it before it answers or falls silent; others wait meanwhile.
    pub busy: Duration,
}

/// What faults make of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Serve,
    Refuse(ErrorCode),
    Constant(u8),
    Silence,
}

impl FaultyNsm {
    /// The module, the faults that are or will be in force, its clock (milliseconds since the Unix epoch), and how long
    /// it is busy with a request in any case.
    #[must_use]
    pub fn new(nsm: Nsm, faults: Faults, clock: fn() -> u64, latency: Duration) -> Self {
        Self {
            nsm,
            faults,
            clock,
            latency,
            served: Served::default(),
        }
    }

    /// Counts what it is asked.
    #[must_use]
    pub fn counting(mut self, served: Served) -> Self {
        self.served = served;
        self
    }

    /// Answers one request, or says that it shall not be answered.
    pub fn ask(&mut self, request: &[u8]) -> Answer {
        let operation = nsm::operation(request);
        let (verdict, latency) = self.faults.judge(operation);
        self.served.note(operation, verdict);
        let response = match verdict {
            Verdict::Serve => Some(self.serve(request)),
            Verdict::Refuse(code) => Some(nsm::error_response(code)),
            Verdict::Constant(byte) => Some(nsm::constant_random_response(byte)),
            Verdict::Silence => None,
        };
        Answer {
            response,
            busy: self.latency + latency,
        }
    }

    /// The module inside.
    #[must_use]
    pub fn nsm(&self) -> &Nsm {
        &self.nsm
    }

    fn serve(&mut self, request: &[u8]) -> Vec<u8> {
        let now_ms = (self.clock)();
        self.nsm
            .handle_stamped(request, now_ms, self.faults.stamp(now_ms))
    }
}

impl Verdict {
    /// The first fault that hits wins, but silence is the end of all words.
    pub(super) fn or(self, found: Option<Self>) -> Self {
        match found {
            Some(Self::Silence) => Self::Silence,
            Some(found) if self == Self::Serve => found,
            _ => self,
        }
    }
}
