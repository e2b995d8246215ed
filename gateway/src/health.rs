//! Whether a node is given callers: a state machine that knows neither sockets nor clocks.
//!
//! | sign | what follows |
//! |---|---|
//! | a caller's connection, or a probe, was answered | in rotation |
//! | a connection was refused or not accepted in time | out at once; a probe after a delay that doubles with each failure |
//! | a connection was accepted, and ended or stayed silent before the first byte came back | out at once; a probe at once |
//! | a probe failed | out; the next probe after a delay that doubles |
//!
//! The third case is told apart because a caller can bring it about: a host resets connections of an address that has too
//! many. The probe, which comes for nobody, then finds the node well and brings it back within a round trip.

use std::time::Duration;

use tokio::time::Instant;

/// When nodes are probed.
#[derive(Debug, Clone, Copy)]
pub struct HealthTiming {
    /// While one is in rotation and no caller's connection has been answered for so long.
    pub every: Duration,
    /// After its first failure.
    pub first_retry: Duration,
    /// After many.
    pub longest_retry: Duration,
}

impl Default for HealthTiming {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            first_retry: Duration::from_millis(200),
            longest_retry: Duration::from_secs(5),
        }
    }
}

/// What was seen of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It sent a caller's connection its first byte.
    Answered,
    /// It could not be connected to.
    Unreachable,
    /// It accepted a caller's connection, and there was an end, a reset or silence where its first byte should be.
    Silent,
    /// It answered a probe.
    ProbeAnswered,
    /// It did not.
    ProbeFailed,
}

/// What is thought of a node.
#[derive(Debug, Clone)]
pub struct Health {
    timing: HealthTiming,
    failures: u32,
    next_probe: Instant,
}

impl Health {
    /// A node that was never tried is in rotation: the table says that it answers. `share` of the probing interval, from
    /// 0 to 1, passes before its first probe, so that not all are probed at once.
    pub fn new(timing: HealthTiming, now: Instant, share: f64) -> Self {
        Self {
            timing,
            failures: 0,
            next_probe: now + timing.every.mul_f64(share.clamp(0.0, 1.0)),
        }
    }

    /// Whether it is given callers.
    pub fn in_rotation(&self) -> bool {
        self.failures == 0
    }

    /// When it is to be probed, unless something else is seen before.
    pub fn next_probe(&self) -> Instant {
        self.next_probe
    }

    /// Takes note of what was seen.
    pub fn on(&mut self, sign: Sign, now: Instant) {
        match sign {
            Sign::Answered | Sign::ProbeAnswered => {
                self.failures = 0;
                self.next_probe = now + self.timing.every;
            }
            // Many callers may meet the same failure: it is one.
            Sign::Unreachable | Sign::Silent if !self.in_rotation() => {}
            Sign::Silent => {
                self.failures = 1;
                self.next_probe = now;
            }
            Sign::Unreachable | Sign::ProbeFailed => {
                self.next_probe = now + self.retry_after();
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    fn retry_after(&self) -> Duration {
        let factor = 2u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        let delay = self.timing.first_retry.checked_mul(factor);
        let longest = self.timing.longest_retry;
        delay.map_or(longest, |delay| delay.min(longest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMING: HealthTiming = HealthTiming {
        every: Duration::from_secs(5),
        first_retry: Duration::from_millis(200),
        longest_retry: Duration::from_secs(5),
    };

    fn due_in(health: &Health, now: Instant) -> u128 {
        health.next_probe().duration_since(now).as_millis()
    }

    #[test]
    fn one_failed_connection_takes_it_out_and_probes_bring_it_back() {
        let now = Instant::now();
        let mut health = Health::new(TIMING, now, 1.0);
        assert!(health.in_rotation());
        assert_eq!(due_in(&health, now), 5000);
        health.on(Sign::Unreachable, now);
        assert!(!health.in_rotation());
        assert_eq!(due_in(&health, now), 200);
        let delays = (0..7).map(|_| {
            health.on(Sign::ProbeFailed, now);
            due_in(&health, now)
        });
        assert_eq!(
            delays.collect::<Vec<_>>(),
            [400, 800, 1600, 3200, 5000, 5000, 5000]
        );
        health.on(Sign::ProbeAnswered, now);
        assert!(health.in_rotation());
        assert_eq!(due_in(&health, now), 5000);
        health.on(Sign::ProbeFailed, now);
        assert!(!health.in_rotation());
        assert_eq!(due_in(&health, now), 200, "earlier failures are forgotten");
    }

    #[test]
    fn one_that_says_nothing_is_asked_at_once() {
        let now = Instant::now();
        let mut health = Health::new(TIMING, now, 0.5);
        health.on(Sign::Silent, now);
        assert!(!health.in_rotation());
        assert_eq!(due_in(&health, now), 0);
        health.on(Sign::ProbeFailed, now);
        assert_eq!(due_in(&health, now), 400);
    }

    #[test]
    fn a_crowd_that_fails_together_is_one_failure() {
        let now = Instant::now();
        let mut health = Health::new(TIMING, now, 0.0);
        for _ in 0..1000 {
            health.on(Sign::Unreachable, now);
            health.on(Sign::Silent, now);
        }
        assert_eq!(due_in(&health, now), 200);
    }

    #[test]
    fn traffic_that_is_answered_is_probe_enough() {
        let begun = Instant::now();
        let mut health = Health::new(TIMING, begun, 0.0);
        let later = begun + Duration::from_secs(3);
        health.on(Sign::Answered, later);
        assert_eq!(due_in(&health, later), 5000);
    }

    proptest! {
        #[test]
        fn it_is_in_rotation_exactly_when_the_last_word_was_good(
            signs in proptest::collection::vec(0usize..5, 1..60),
        ) {
            let all = [Sign::Answered, Sign::Unreachable, Sign::Silent, Sign::ProbeAnswered, Sign::ProbeFailed];
            let now = Instant::now();
            let mut health = Health::new(TIMING, now, 0.0);
            for sign in signs {
                health.on(all[sign], now);
                prop_assert_eq!(health.in_rotation(), sign == 0 || sign == 3);
                prop_assert!(health.next_probe() <= now + TIMING.every, "it is never forgotten");
            }
        }
    }
}
