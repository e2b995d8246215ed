//! Caps: work stops before they are passed.

use std::time::Duration;

use jiff::civil::Time;
use jiff::{Timestamp, tz::TimeZone};

use crate::{Amount, Overflow, Rate, Reserved, Usage};

/// The span over which a cap counts, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// A calendar month.
    Month,
    /// For ever: a prepaid balance.
    Ever,
}

/// The most that may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// How much.
    pub limit: Amount,
    /// In which span.
    pub period: Period,
}

/// What counts against a cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Booked in the period.
    pub spent: Amount,
    /// Set aside for jobs that run.
    pub held: Amount,
    /// The most that running leases can cost before their next receipts are booked: see [`exposure`](Self::exposure).
    pub exposed: Amount,
}

/// A cap would be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a further {wanted} would pass the cap of {limit}: {committed} is spent or set aside")]
pub struct CapReached {
    /// The cap.
    pub limit: Amount,
    /// What is spent, set aside or may be spent before the next receipt.
    pub committed: Amount,
    /// What was asked for.
    pub wanted: Amount,
}

impl Period {
    /// When the period that `now_ms` (Unix milliseconds) is in began; the end of time for a moment beyond the calendar.
    pub fn start_ms(self, now_ms: u64) -> u64 {
        let civil = i64::try_from(now_ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .map(|now| now.to_zoned(TimeZone::UTC).date());
        let start = match (self, civil) {
            (Self::Ever, _) => return 0,
            (Self::Day, civil) => civil,
            (Self::Month, civil) => civil.map(jiff::civil::Date::first_of_month),
        };
        start
            .and_then(|date| {
                TimeZone::UTC
                    .to_timestamp(date.to_datetime(Time::midnight()))
                    .ok()
            })
            .and_then(|start| u64::try_from(start.as_millisecond()).ok())
            .unwrap_or(u64::MAX)
    }
}

impl Budget {
    /// What a lease can cost at the most until its next receipts are booked: all its workers busy for so long, and this many
    /// bytes carried.
    ///
    /// # Errors
    ///
    /// [`Overflow`].
    pub fn exposure(
        rate: Rate,
        reserved: Reserved,
        workers: u32,
        within: Duration,
        bytes: u64,
    ) -> Result<Amount, Overflow> {
        let micros = within.as_micros().saturating_mul(u128::from(workers));
        let usage = Usage {
            compute_micros: u64::try_from(micros).map_err(|_| Overflow)?,
            bytes,
        };
        rate.cost(reserved, usage)
    }

    /// All that counts against a cap.
    ///
    /// # Errors
    ///
    /// [`Overflow`].
    pub fn committed(&self) -> Result<Amount, Overflow> {
        self.spent.plus(self.held)?.plus(self.exposed)
    }

    /// What may still be committed; negative where more is committed than the cap allows.
    pub fn left(&self, cap: Cap) -> Amount {
        let left = self.committed().and_then(|sum| cap.limit.minus(sum));
        left.unwrap_or(Amount::from_micros(i64::MIN))
    }

    /// Whether so much more may be committed.
    ///
    /// # Errors
    ///
    /// [`CapReached`]; sums beyond counting reach every cap.
    pub fn admit(&self, cap: Cap, wanted: Amount) -> Result<(), CapReached> {
        let limit = cap.limit;
        let committed = self.committed().unwrap_or(Amount::from_micros(i64::MAX));
        match committed.plus(wanted) {
            Ok(sum) if sum <= limit => Ok(()),
            _ => Err(CapReached {
                limit,
                committed,
                wanted,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-29T12:34:56.789Z
    const LEAP_DAY: u64 = 1_709_210_096_789;

    #[test]
    fn periods_begin_at_midnight_and_on_the_first() {
        assert_eq!(Period::Day.start_ms(LEAP_DAY), 1_709_164_800_000);
        assert_eq!(Period::Month.start_ms(LEAP_DAY), 1_706_745_600_000);
        assert_eq!(Period::Ever.start_ms(LEAP_DAY), 0);
        assert_eq!(Period::Day.start_ms(0), 0);
        assert_eq!(Period::Month.start_ms(u64::MAX), u64::MAX);
    }

    #[test]
    fn what_may_still_be_spent_counts() {
        let micros = Amount::from_micros;
        let cap = Cap {
            limit: micros(100),
            period: Period::Day,
        };
        let budget = Budget {
            spent: micros(50),
            held: micros(20),
            exposed: micros(10),
        };
        assert_eq!(budget.admit(cap, micros(20)), Ok(()));
        let refused = budget.admit(cap, micros(21)).unwrap_err();
        assert_eq!(refused.committed, micros(80));
        assert!(budget.admit(cap, micros(i64::MAX)).is_err());
    }

    #[test]
    fn two_busy_workers_cost_twice_as_much() {
        let rate = Rate {
            gib_second: 10,
            ..Rate::default()
        };
        let reserved = Reserved {
            memory_bytes: 1 << 30,
            cpu_milli: 0,
        };
        let exposure =
            |workers| Budget::exposure(rate, reserved, workers, Duration::from_secs(30), 0);
        assert_eq!(exposure(1), Ok(Amount::from_micros(300)));
        assert_eq!(exposure(2), Ok(Amount::from_micros(600)));
    }
}
