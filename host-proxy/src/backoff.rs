//! How long to wait before trying again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Delays that double from the first to the longest.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// No failures yet.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// The delay after one more failure.
    pub fn next_delay(&mut self) -> Duration {
        let delay = doubled(self.first, self.longest, self.failures);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// The same, spread over its upper half, so that a platform's nodes do not return all at once.
    pub fn next_jittered(&mut self) -> Duration {
        // Without randomness the whole delay is still a right one.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        upper_half(self.next_delay(), f64::from(random) / f64::from(u32::MAX))
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A point of the delay's upper half: its middle for 0, its end for 1.
fn upper_half(delay: Duration, share: f64) -> Duration {
    delay / 2 + (delay / 2).mul_f64(share)
}

/// Waits between two tries.
pub(crate) async fn pause(delay: Duration) {
    sleep_until(Instant::now() + delay).await;
}

/// `first · 2^times`, at most `longest`.
pub(crate) fn doubled(first: Duration, longest: Duration, times: u32) -> Duration {
    2u32.checked_pow(times)
        .and_then(|factor| first.checked_mul(factor))
        .map_or(longest, |delay| delay.min(longest))
}

/// When to start an enclave again: at once after the first failure, then ever later; a healthy run makes it the first
/// failure again.
#[derive(Debug, Clone)]
pub struct RestartDelay {
    later: Backoff,
    first: bool,
}

impl RestartDelay {
    /// A run this long makes earlier failures forgotten.
    pub const HEALTHY: Duration = Duration::from_secs(30);

    /// No failures yet.
    pub const fn new() -> Self {
        Self {
            later: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
            first: true,
        }
    }

    /// The delay after a run that lasted this long; `share`, from 0 to 1, places it in its upper half.
    pub fn after_run(&mut self, lasted: Duration, share: f64) -> Duration {
        if lasted >= Self::HEALTHY {
            *self = Self::new();
        }
        if std::mem::take(&mut self.first) {
            Duration::ZERO
        } else {
            upper_half(self.later.next_delay(), share)
        }
    }
}

impl Default for RestartDelay {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_immediate_then_rarer_then_forgotten() {
        let mut delay = RestartDelay::new();
        let brief = Duration::from_secs(1);
        let ms = |delay: &mut RestartDelay| delay.after_run(brief, 1.0).as_millis();
        let delays: Vec<u128> = (0..8).map(|_| ms(&mut delay)).collect();
        assert_eq!(delays, [0, 200, 400, 800, 1600, 3200, 5000, 5000]);
        let healthy = RestartDelay::HEALTHY;
        assert_eq!(delay.after_run(healthy, 1.0), Duration::ZERO);
        assert_eq!(delay.after_run(brief, 0.0), Duration::from_millis(100));
        assert_eq!(ms(&mut delay), 400);
    }

    #[test]
    fn jitter_stays_in_the_upper_half_and_endless_failures_overflow_nothing() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for n in 0..100u32 {
            let whole = backoff.clone().next_delay();
            let delay = backoff.next_jittered();
            assert!(
                delay <= whole && delay >= whole / 2,
                "{n}: {delay:?} of {whole:?}"
            );
        }
        assert_eq!(backoff.next_delay(), Duration::from_secs(1));
    }
}
