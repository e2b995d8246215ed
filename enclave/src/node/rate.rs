//! Token buckets: so many at once, and so many a second after that.

use std::time::{Duration, Instant};

/// How much is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back each second; at least 1.
    pub per_second: u32,
    /// Tokens that a full bucket holds; at least 1.
    pub burst: u32,
}

/// A bucket. Pure: the time is given.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: Rate,
    /// Thousand-millionths of a token, so that nothing is lost to rounding.
    level: u64,
    at: Instant,
}

/// What one token is in the bucket's own unit: a rate of n a second is n of these units a nanosecond.
const TOKEN: u64 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        let rate = Rate {
            per_second: rate.per_second.max(1),
            burst: rate.burst.max(1),
        };
        Self {
            rate,
            level: u64::from(rate.burst) * TOKEN,
            at: now,
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// How long it takes until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        match self.level.checked_sub(TOKEN) {
            Some(rest) => {
                self.level = rest;
                Ok(())
            }
            None => {
                let missing = TOKEN - self.level;
                let wait = missing.div_ceil(self.rate.per_second.into());
                Err(Duration::from_nanos(wait))
            }
        }
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_nanos();
        let come = since.saturating_mul(self.rate.per_second.into());
        let most = u64::from(self.rate.burst) * TOKEN;
        let level = u128::from(self.level).saturating_add(come);
        self.level = u64::try_from(level).map_or(most, |level| level.min(most));
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 4,
        burst: 2,
    };

    #[test]
    fn a_burst_goes_through_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(RATE, start);
        assert_eq!(bucket.take(start), Ok(()));
        assert_eq!(bucket.take(start), Ok(()));
        assert_eq!(bucket.take(start), Err(Duration::from_millis(250)));
        let soon = start + Duration::from_millis(200);
        assert_eq!(bucket.take(soon), Err(Duration::from_millis(50)));
        let then = start + Duration::from_millis(250);
        assert_eq!(bucket.take(then), Ok(()));
        assert_eq!(bucket.take(then), Err(Duration::from_millis(250)));
    }

    #[test]
    fn waiting_saves_no_more_than_a_burst() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(RATE, start);
        let later = start + Duration::from_secs(3600 * 24 * 365 * 100);
        assert_eq!((bucket.take(later), bucket.take(later)), (Ok(()), Ok(())));
        assert!(bucket.take(later).is_err());
    }

    #[test]
    fn an_earlier_time_gives_nothing() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut bucket = TokenBucket::new(RATE, start);
        let _ = (bucket.take(start), bucket.take(start));
        assert!(bucket.take(start - Duration::from_secs(5)).is_err());
        // And going back does not let time count twice.
        assert!(bucket.take(start).is_err());
    }

    #[test]
    fn in_ten_seconds_exactly_burst_and_rate_go_through() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(RATE, start);
        // Asked at every 7 ms, which divides nothing evenly.
        let through = (0..=10_000 / 7)
            .filter(|i| bucket.take(start + Duration::from_millis(7 * i)).is_ok())
            .count();
        assert_eq!(through, 2 + 39);
    }
}
