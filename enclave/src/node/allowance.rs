//! How often one connection may ask for evidence.
//!
//! A connection that asks again and again costs the module nothing more (all who wait share one call), but each answer
//! is kilobytes to encode and encrypt. A client asks when it connects and then when its policy's age limit has passed,
//! so a few at once and one a second are plenty. How many connections one caller may have is not for the enclave to
//! say: it sees no addresses, and believes nobody who tells it one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many may be asked for at once.
const AT_ONCE: u32 = 16;
/// How soon there is one more.
const ONE_MORE: Duration = Duration::from_secs(1);

/// What one connection may still ask for: a bucket of [`AT_ONCE`] that gains one every [`ONE_MORE`].
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    /// When the bucket is full again; absent before the first question.
    full: Mutex<Option<Instant>>,
}

impl Allowance {
    /// Takes one, if there is one.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let then = full.map_or(now, |full| full.max(now)) + ONE_MORE;
        let granted = then - now <= ONE_MORE * AT_ONCE;
        if granted {
            *full = Some(then);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_at_once_and_then_one_a_second() {
        let (allowance, start) = (Allowance::default(), Instant::now());
        let granted = (0..100).filter(|_| allowance.take(start)).count();
        assert_eq!(granted, 16);
        let after = |millis| start + Duration::from_millis(millis);
        assert!(!allowance.take(after(999)));
        assert!(allowance.take(after(1_000)));
        assert!(!allowance.take(after(1_999)));
        // What was not used is kept, but no more than at first.
        let granted = (0..100).filter(|_| allowance.take(after(3_600_000)));
        assert_eq!(granted.count(), 16);
    }
}
