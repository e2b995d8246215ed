//! What is asked about a document: time, trusted root, policy, binding.

use std::collections::BTreeMap;
use std::time::Duration;

use nacre_attestation_verifier::{Measurements, Pcr, Policy, PolicyError, UnixSeconds};

use super::NOW_MS;

/// A relying party's question.
#[derive(Clone)]
pub struct Question {
    pub at_ms: u64,
    pub pin: Pin,
    pub sets: Vec<Set>,
    pub max_age_s: u64,
    pub allow_debug: bool,
    /// What the document must be bound to: a claim and its value.
    pub bound_to: Option<(&'static str, Vec<u8>)>,
}

/// Which root is trusted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// That of an unchanged document.
    Usual,
    /// The one that the document has, as if it had been handed out that way.
    Own,
    /// One that has nothing to do with it.
    Foreign,
}

/// A set of measurements: PCRs by index, and a window in Unix seconds.
#[derive(Clone, Default)]
pub struct Set {
    pub pcrs: BTreeMap<u8, [u8; 48]>,
    pub not_before: Option<u64>,
    pub not_after: Option<u64>,
}

impl Question {
    pub fn right() -> Self {
        Self {
            at_ms: NOW_MS,
            pin: Pin::Usual,
            sets: vec![Set::usual()],
            max_age_s: 300,
            allow_debug: false,
            bound_to: None,
        }
    }

    /// The policy, as the verifier takes it.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        let sets = self.sets.iter().map(Set::measurements).collect();
        let policy = Policy::new(sets)?.with_allow_debug(self.allow_debug);
        Ok(policy.with_max_age(Duration::from_secs(self.max_age_s)))
    }
}

impl Set {
    /// What an unchanged document shows.
    pub fn usual() -> Self {
        Self {
            pcrs: (0..3).map(|index| (index, usual_pcr(index))).collect(),
            ..Self::default()
        }
    }

    fn measurements(&self) -> Measurements {
        let pcr = |index: u8| self.pcrs.get(&index).map(|value| Pcr(*value));
        let image = |index| pcr(index).unwrap_or(Pcr::ZERO);
        let extra = self.pcrs.iter().filter(|(index, _)| **index > 8);
        Measurements {
            pcr3: pcr(3),
            pcr4: pcr(4),
            pcr8: pcr(8),
            extra: extra.map(|(index, value)| (*index, Pcr(*value))).collect(),
            not_before: self.not_before.map(UnixSeconds),
            not_after: self.not_after.map(UnixSeconds),
            ..Measurements::new(image(0), image(1), image(2))
        }
    }
}

/// The value that a PCR of an unchanged document has.
pub fn usual_pcr(index: u8) -> [u8; 48] {
    [index + 1; 48]
}
