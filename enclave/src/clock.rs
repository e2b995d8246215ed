//! Attested time: the latest NSM document's timestamp plus monotonic time since (DESIGN §3.1).
//!
//! The host can set an enclave's wall clock, so the wall clock is never read. When the module has not answered for
//! [`MAX_AGE`], there is no time, and what needs one to be signed is not signed.
//!
//! On real hardware the module's time is the hypervisor's. Where somebody else keeps it (an emulator does), it may be stepped,
//! and a paused machine's monotonic time stands still. So every document is held against the one before it: it was
//! signed between question and answer, and if no moment in both spans explains the two timestamps, within [`TOLERANCE`],
//! the time was **stepped**: that is logged (`clock-stepped`) and counted, and the host sees the count. A step forward is
//! followed, as the document says. Signed time never runs backwards: after a small step back it stands still until the
//! module has caught up, and after a larger one there is no time until then, for one of the two documents did not tell it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How old the last document may be.
pub const MAX_AGE: Duration = Duration::from_secs(60);
/// What two documents may differ by and not count as a step, beside a thousandth of the time between them: clocks drift.
pub const TOLERANCE: Duration = Duration::from_secs(1);

/// The clock. Reading it costs an uncontended lock.
#[derive(Debug, Default)]
pub struct AttestedClock {
    last: RwLock<Option<Reading>>,
    steps: AtomicU64,
}

/// A document's time, and when this process asked for it and learned of it.
#[derive(Debug, Clone, Copy)]
struct Reading {
    signed_ms: u64,
    asked: Instant,
    arrived: Instant,
    /// The latest time that may have been signed before this document came.
    floor_ms: u64,
}

/// Why there is no attested time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClockUnavailable {
    /// The module has not answered for [`MAX_AGE`].
    #[error("the secure module has not answered for {} s, so there is no attested time", MAX_AGE.as_secs())]
    Silent,
    /// The module's time is more than [`TOLERANCE`] behind what it was.
    #[error(
        "the secure module's time was stepped back, so there is no attested time until it has caught up"
    )]
    SteppedBack,
}

impl AttestedClock {
    /// Takes the time of a document that was asked for and has just arrived. The clock runs late by at most the time the
    /// module took to answer, and never early.
    pub fn observe(&self, signed_ms: u64, asked: Instant, arrived: Instant) {
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        let mut reading = Reading {
            signed_ms,
            asked,
            arrived,
            floor_ms: 0,
        };
        if let Some(last) = *last {
            if let Some(step_ms) = reading.step_from(&last) {
                let steps = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::warn!(
                    code = "clock-stepped",
                    step_ms,
                    steps,
                    "the secure module's time was stepped"
                );
            }
            // Two documents may arrive in another order than they were asked for in.
            if last.arrived > arrived {
                return;
            }
            // Readers look at the monotonic clock before they take the lock, so none has seen a later time than this.
            let until = arrived.max(Instant::now()).min(last.arrived + MAX_AGE);
            reading.floor_ms = last.at(until);
        }
        *last = Some(reading);
    }

    /// Unix milliseconds, for what is signed.
    ///
    /// # Errors
    ///
    /// [`ClockUnavailable`]; then nothing may be signed.
    pub fn now(&self) -> Result<u64, ClockUnavailable> {
        self.at(Instant::now())
    }

    /// Unix milliseconds for the log of events: goes on when the module has stopped answering; 0 before its first answer.
    pub fn unsigned_now(&self) -> u64 {
        let reading = *self.last.read().unwrap_or_else(PoisonError::into_inner);
        reading.map_or(0, |reading| reading.at(Instant::now()))
    }

    /// How often the module's time was stepped since boot.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    fn at(&self, now: Instant) -> Result<u64, ClockUnavailable> {
        let reading = *self.last.read().unwrap_or_else(PoisonError::into_inner);
        let reading = reading
            .filter(|reading| now.saturating_duration_since(reading.arrived) <= MAX_AGE)
            .ok_or(ClockUnavailable::Silent)?;
        if reading.behind(now) > TOLERANCE {
            return Err(ClockUnavailable::SteppedBack);
        }
        Ok(reading.at(now))
    }
}

impl Reading {
    /// The document's time plus monotonic time since, and never less than the floor.
    fn at(&self, now: Instant) -> u64 {
        self.document_time(now).max(self.floor_ms)
    }

    /// How far the document's time is below the floor.
    fn behind(&self, now: Instant) -> Duration {
        Duration::from_millis(self.floor_ms.saturating_sub(self.document_time(now)))
    }

    fn document_time(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.arrived).as_millis();
        self.signed_ms
            .saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// By how many milliseconds the module's time was stepped between two documents at the least; `None` where it need not
    /// have been. The order of the two does not matter, but for the sign.
    fn step_from(&self, last: &Self) -> Option<i128> {
        // Monotonic time that passed between the two signatures, at least and at most.
        let least = millis_between(last.arrived, self.asked);
        let most = millis_between(last.asked, self.arrived);
        let told = i128::from(self.signed_ms) - i128::from(last.signed_ms);
        let drift = least.abs().max(most.abs()) / 1000;
        // A document's milliseconds are cut off, and so are these.
        let tolerance = i128::try_from(TOLERANCE.as_millis()).unwrap_or(i128::MAX) + drift + 1;
        if told > most + tolerance {
            Some(told - most)
        } else if told < least - tolerance {
            Some(told - least)
        } else {
            None
        }
    }
}

/// Negative where `to` is the earlier.
fn millis_between(from: Instant, to: Instant) -> i128 {
    let forward = to.saturating_duration_since(from).as_millis();
    let backward = from.saturating_duration_since(to).as_millis();
    let signed = |millis: u128| i128::try_from(millis).unwrap_or(i128::MAX);
    signed(forward) - signed(backward)
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
