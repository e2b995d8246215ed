//! How often somebody may ask: so many a second over time, so many at once.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A): for each asker one number, the time at which all that was taken is
//! paid for. The memory is bounded: those who asked longest ago are forgotten first, and whoever is forgotten begins anew.
//! Ready-made limiters keep every asker they met until they are told to look; an attacker with many addresses fills those.

use core::hash::Hash;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

/// So many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// A second, over time.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// The rate for each of many.
pub(crate) struct Limiter<K: Hash + Eq> {
    /// Microseconds that one request costs.
    cost: u64,
    /// Microseconds that may be owed.
    credit: u64,
    paid: Mutex<LruCache<K, u64>>,
}

impl<K: Hash + Eq> Limiter<K> {
    /// Remembers at most `most`.
    pub(crate) fn new(rate: Rate, most: NonZeroUsize) -> Self {
        let cost = 1_000_000 / u64::from(rate.per_second.max(1));
        Self {
            cost,
            credit: cost * u64::from(rate.burst.max(1) - 1),
            paid: Mutex::new(LruCache::new(most)),
        }
    }

    /// Takes one request at `now`, time since any fixed moment; or says how long to wait.
    pub(crate) fn take(&self, who: K, now: Duration) -> Result<(), Duration> {
        let now = micros(now);
        let mut all = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = all.get_or_insert_mut(who, || now);
        let owed = paid.saturating_sub(now);
        if owed > self.credit {
            return Err(Duration::from_micros(owed - self.credit));
        }
        *paid = now.max(*paid) + self.cost;
        Ok(())
    }

    /// Undoes one `take`.
    pub(crate) fn give_back(&self, who: &K) {
        let mut all = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(paid) = all.get_mut(who) {
            *paid = paid.saturating_sub(self.cost);
        }
    }
}

impl<K: Hash + Eq> core::fmt::Debug for Limiter<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Limiter")
            .field("cost", &self.cost)
            .field("credit", &self.credit)
            .finish_non_exhaustive()
    }
}

/// What counts as one address: an IPv4 address, or the /64 that one subscriber has of IPv6.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(most: usize) -> Limiter<u8> {
        let rate = Rate {
            per_second: 2,
            burst: 3,
        };
        Limiter::new(rate, NonZeroUsize::new(most).unwrap())
    }

    #[test]
    fn a_burst_passes_then_so_many_a_second() {
        let limiter = limiter(8);
        for _ in 0..3 {
            assert_eq!(limiter.take(1, SECOND), Ok(()));
        }
        assert_eq!(limiter.take(1, SECOND), Err(SECOND / 2));
        assert_eq!(limiter.take(2, SECOND), Ok(()), "each has their own");
        assert_eq!(limiter.take(1, SECOND + SECOND / 2), Ok(()));
        assert!(limiter.take(1, SECOND + SECOND / 2).is_err());
        let passed = (0..100).filter(|n| limiter.take(1, SECOND * 2 + SECOND * *n / 10).is_ok());
        // Ten seconds at two a second, and what half a second saved.
        assert!((20..=22).contains(&passed.count()));
    }

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let limiter = limiter(8);
        for _ in 0..100 {
            assert_eq!(limiter.take(1, SECOND), Ok(()));
            limiter.give_back(&1);
        }
    }

    #[test]
    fn a_crowd_does_not_grow_the_memory() {
        let limiter = limiter(8);
        for who in 0..=255 {
            assert_eq!(limiter.take(who, SECOND), Ok(()));
        }
        assert_eq!(limiter.paid.lock().unwrap().len(), 8);
    }

    #[test]
    fn an_address_of_ipv6_counts_by_its_network() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
