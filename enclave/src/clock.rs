//! Attested time: the latest NSM document's timestamp plus monotonic time since (DESIGN §3.1).
//!
//! The host can set an enclave's wall clock, so the wall clock is never read. When the module has not answered for
//! [`MAX_AGE`], there is no time, and what needs one to be signed is not signed.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How old the last document may be.
pub const MAX_AGE: Duration = Duration::from_secs(60);

/// The clock. Reading it costs an uncontended lock.
#[derive(Debug, Default)]
pub struct AttestedClock {
    last: RwLock<Option<Reading>>,
}

/// A document's time, and when this process learned of it.
#[derive(Debug, Clone, Copy)]
struct Reading {
    signed_ms: u64,
    arrived: Instant,
}

/// The module has not answered for [`MAX_AGE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secure module has not answered for {} s, so there is no attested time", MAX_AGE.as_secs())]
pub struct ClockUnavailable;

impl AttestedClock {
    /// Takes the time of a document that has just arrived. The clock runs late by at most the time the module took to
    /// answer, and never early.
    pub fn observe(&self, signed_ms: u64, arrived: Instant) {
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        // Two documents may arrive in another order than they were signed in.
        if last.is_none_or(|last| last.arrived <= arrived && last.signed_ms <= signed_ms) {
            *last = Some(Reading { signed_ms, arrived });
        }
    }

    /// Unix milliseconds, for what is signed.
    pub fn now(&self) -> Result<u64, ClockUnavailable> {
        self.at(Instant::now())
    }

    /// Unix milliseconds for the log of events: goes on when the module has stopped answering; 0 before its first answer.
    pub fn unsigned_now(&self) -> u64 {
        let reading = *self.last.read().unwrap_or_else(PoisonError::into_inner);
        reading.map_or(0, |reading| reading.at(Instant::now()))
    }

    fn at(&self, now: Instant) -> Result<u64, ClockUnavailable> {
        let reading = *self.last.read().unwrap_or_else(PoisonError::into_inner);
        reading
            .filter(|reading| now.saturating_duration_since(reading.arrived) <= MAX_AGE)
            .map(|reading| reading.at(now))
            .ok_or(ClockUnavailable)
    }
}

impl Reading {
    fn at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.arrived).as_millis();
        self.signed_ms
            .saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_from_the_document_and_ends_without_one() {
        let (clock, start) = (AttestedClock::default(), Instant::now());
        assert_eq!(clock.at(start), Err(ClockUnavailable));
        clock.observe(1_000_000, start);
        assert_eq!(clock.at(start + Duration::from_millis(250)), Ok(1_000_250));
        assert_eq!(clock.at(start + MAX_AGE), Ok(1_060_000));
        assert_eq!(
            clock.at(start + MAX_AGE + Duration::from_millis(1)),
            Err(ClockUnavailable)
        );
        clock.observe(1_070_000, start + Duration::from_secs(70));
        assert_eq!(clock.at(start + Duration::from_secs(71)), Ok(1_071_000));
    }

    #[test]
    fn an_older_document_does_not_turn_it_back() {
        let (clock, start) = (AttestedClock::default(), Instant::now());
        clock.observe(2_000, start);
        clock.observe(1_000, start + Duration::from_secs(1));
        assert_eq!(clock.at(start + Duration::from_secs(1)), Ok(3_000));
    }
}
